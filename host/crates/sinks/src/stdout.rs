//! Standard output: every entry is one whole line.

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{Entry, Fault, Outcome, Sink, TimeSpan};

use crate::aside::Aside;
use crate::cause::cause;

/// Writes every entry as one line to standard output. The program's own log goes to standard error.
///
/// When the reader of a pipe is slow, entries wait in the queue of this sink. When it has gone, nothing can bring it back: the
/// sink gives up if that was so from the start, and else when the program is to stop; until then other sinks are at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "StdoutSink")]
pub struct Config {
    /// How an entry looks.
    pub format: Format,
}

/// How an entry looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For reading: a message is its body, a document `put <name> <body>`, a name to be forgotten `forget <name>` or
    /// `forget <name> after 1m`; a collection stands before the name as `<collection>/`. Line breaks and other control characters
    /// within a body are escaped, except tabs and one line break at its end.
    #[default]
    Text,
    /// For programs: the entry as a JSON object with one key, `message`, `document` or `forget`.
    Json,
}

/// The sink.
#[derive(Debug)]
pub struct Stdout<W = std::io::Stdout> {
    format: Format,
    output: Aside<Output<W>>,
}

/// Where the lines go. Writes straight to the descriptor: a buffer would hide how far a failed write has come.
#[derive(Debug)]
struct Output<W> {
    to: W,
    /// The last write ended within a line.
    torn: bool,
}

impl Stdout {
    /// To the standard output of the program.
    pub fn new(config: &Config) -> Self {
        Self::to(std::io::stdout(), config)
    }
}

impl<W: AsFd + Send + 'static> Stdout<W> {
    /// To any descriptor.
    pub fn to(to: W, config: &Config) -> Self {
        Self { format: config.format, output: Aside::new(Output { to, torn: false }) }
    }
}

impl<W: AsFd + Send + 'static> Sink for Stdout<W> {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        let mut text = String::new();
        let mut ends = Vec::with_capacity(batch.len());
        for entry in batch {
            line(&mut text, self.format, entry);
            text.push('\n');
            ends.push(text.len());
        }
        let written = self.output.call(move |output| output.write(text.as_bytes(), &ends)).await;
        match written {
            Ok(Ok(())) => Outcome::written(),
            Ok(Err((index, errno))) => Outcome::stopped_at(index, fault(errno)),
            Err(fault) => Outcome::stopped_at(0, fault),
        }
    }
}

impl<W: AsFd> Output<W> {
    /// Writes all lines; else says how many were written whole, and why not the next.
    fn write(&mut self, text: &[u8], ends: &[usize]) -> Result<(), (usize, Errno)> {
        // What is left of a torn line stays, but on a line of its own.
        if self.torn {
            write_all(self.to.as_fd(), b"\n").map_err(|(_, errno)| (0, errno))?;
            self.torn = false;
        }
        write_all(self.to.as_fd(), text).map_err(|(written, errno)| {
            let whole = ends.partition_point(|end| *end <= written);
            let end = whole.checked_sub(1).and_then(|last| ends.get(last));
            self.torn = end.is_none_or(|end| *end < written) && written > 0;
            (whole, errno)
        })
    }
}

/// Writes all bytes, waiting where the descriptor is one that does not wait; else says how many were written.
fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Whoever started us may have set the pipe not to block.
            Err(Errno::AGAIN) => {
                let mut wanted = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                // An error of the wait shows again in the write.
                let _ready = poll(&mut wanted, None);
            }
            Err(errno) => return Err((bytes.len() - rest.len(), errno)),
        }
    }
    Ok(())
}

fn fault(errno: Errno) -> Fault {
    let tried = "cannot write to standard output";
    match errno {
        Errno::PIPE | Errno::BADF => Fault::fatal(tried, cause(errno))
            .hint("whoever reads it has gone: keep the reader running or leave the stdout sink out"),
        Errno::NOSPC | Errno::DQUOT => Fault::retry(tried, cause(errno)).hint("free space where the output is kept"),
        _ => Fault::retry(tried, cause(errno)),
    }
}

fn line(text: &mut String, format: Format, entry: &Entry) {
    match format {
        Format::Json => text.push_str(&serde_json::to_string(entry).unwrap_or_default()),
        Format::Text => plain(text, entry),
    }
}

fn plain(text: &mut String, entry: &Entry) {
    match entry {
        Entry::Message(message) => body(text, &message.body),
        Entry::Document(document) => {
            text.push_str("put ");
            name(text, document.collection.as_deref(), &document.name);
            text.push(' ');
            body(text, &document.body);
        }
        Entry::Forget(forget) => {
            text.push_str("forget ");
            name(text, forget.collection.as_deref(), &forget.name);
            if !forget.after.is_zero() {
                // Writing to a string cannot fail.
                let _infallible = write!(text, " after {}", TimeSpan(forget.after));
            }
        }
    }
}

fn name(text: &mut String, collection: Option<&str>, name: &str) {
    if let Some(collection) = collection {
        escaped(text, collection);
        text.push('/');
    }
    escaped(text, name);
}

fn body(text: &mut String, body: &[u8]) {
    let body = String::from_utf8_lossy(body);
    escaped(text, body.strip_suffix('\n').unwrap_or(&body));
}

/// Nothing in an entry begins a line of its own or speaks to the terminal.
fn escaped(text: &mut String, part: &str) {
    if !part.contains(|letter: char| letter.is_control()) {
        text.push_str(part);
        return;
    }
    for letter in part.chars() {
        if letter.is_control() && letter != '\t' {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluicebox_contract::{Document, Forget, Message};

    use super::*;

    fn message(body: &[u8]) -> Entry {
        Entry::Message(Message { body: body.to_vec(), ..Message::default() })
    }

    fn document(collection: Option<&str>, name: &str, body: &str) -> Entry {
        Entry::Document(Document { collection: collection.map(str::to_owned), name: name.to_owned(), body: body.into() })
    }

    fn forget(after: Duration) -> Entry {
        Entry::Forget(Forget { name: "a.meta".to_owned(), after, ..Forget::default() })
    }

    fn shown(format: Format, entry: &Entry) -> String {
        let mut text = String::new();
        line(&mut text, format, entry);
        text
    }

    #[test]
    fn a_message_is_its_body() {
        assert_eq!(shown(Format::Text, &message(br#"{"a":"\n"}"#)), r#"{"a":"\n"}"#);
    }

    #[test]
    fn documents_and_forgets_say_what_they_are() {
        assert_eq!(shown(Format::Text, &document(None, "a.meta", "{}\n")), "put a.meta {}");
        assert_eq!(shown(Format::Text, &document(Some("h"), "f", "1")), "put h/f 1");
        assert_eq!(shown(Format::Text, &forget(Duration::ZERO)), "forget a.meta");
        assert_eq!(shown(Format::Text, &forget(Duration::from_mins(1))), "forget a.meta after 1m");
    }

    #[test]
    fn a_body_never_makes_a_second_line_nor_speaks_to_the_terminal() {
        assert_eq!(shown(Format::Text, &message(b"a\nb\r\n\x1b[2J\tc\n")), "a\\nb\\r\\n\\u{1b}[2J\tc");
        assert_eq!(shown(Format::Text, &document(None, "a\nforget b", "")), "put a\\nforget b ");
        assert_eq!(shown(Format::Json, &message(b"a\nb")), r#"{"message":{"body":"a\nb"}}"#);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_far_as_they_are() {
        assert_eq!(shown(Format::Text, &message(b"a\xffb")), "a\u{fffd}b");
        assert_eq!(shown(Format::Json, &message(b"\xff")), r#"{"message":{"body":[255]}}"#);
    }
}
