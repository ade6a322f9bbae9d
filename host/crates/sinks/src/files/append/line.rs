//! A message as a line of a file, and the line on top. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use sluicebox_contract::Message;

/// The header that holds the line on top of a file.
const HEADING: &str = "heading";

/// The longest heading, in bytes: it is read back from each file that is there.
pub(super) const LONGEST_HEADING: usize = 64 << 10;

/// A message on its way into a file.
#[derive(Debug)]
pub(super) struct Line {
    /// The message's index in its batch.
    pub(super) index: usize,
    /// With its line break; none of a message that says its heading only.
    pub(super) bytes: Vec<u8>,
    /// The line on top of the file, with its line break.
    pub(super) heading: Option<Vec<u8>>,
    /// Tells it from others.
    pub(super) print: u64,
}

impl Line {
    /// The line of a message; none when it says nothing at all; the reason when it cannot be one.
    pub(super) fn new(index: usize, message: Message) -> Result<Option<Self>, String> {
        let heading = message.headers.into_iter().find(|(name, _)| name == HEADING).map(|(_, value)| value.into_bytes());
        let heading = heading.map(ended).filter(|heading| !heading.is_empty());
        if let Some(heading) = &heading {
            check(heading)?;
        }
        let bytes = ended(message.body);
        if bytes.is_empty() && heading.is_none() {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        (&bytes, &heading).hash(&mut hasher);
        Ok(Some(Self { index, bytes, heading, print: hasher.finish() }))
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// With a line break at its end, unless there is nothing.
fn ended(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes
}

fn check(heading: &[u8]) -> Result<(), String> {
    if heading.len() > LONGEST_HEADING {
        return Err(format!("its header `{HEADING}` has {} bytes, {LONGEST_HEADING} at most are possible", heading.len()));
    }
    if heading.iter().position(|byte| *byte == b'\n') != heading.len().checked_sub(1) {
        return Err(format!("its header `{HEADING}` has more than one line"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(headers: &[(&str, &str)], body: &str) -> Result<Option<(String, Option<String>)>, String> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let line = Line::new(0, Message { headers, body: body.into(), ..Message::default() })?;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ok(line.map(|line| (text(line.bytes), line.heading.map(text))))
    }

    #[test]
    fn a_body_gets_a_line_break_where_it_has_none_and_keeps_those_within() {
        for (body, expected) in [("a", "a\n"), ("a\n", "a\n"), ("\"a\nb\";c", "\"a\nb\";c\n"), ("\n", "\n"), ("a\r\n", "a\r\n")] {
            assert_eq!(line(&[], body), Ok(Some((expected.to_owned(), None))));
        }
    }

    #[test]
    fn a_heading_counts_without_a_body_and_nothing_at_all_is_no_line() {
        let heading = [("x", "y"), ("heading", "a;b"), ("heading", "second")];
        assert_eq!(line(&heading, ""), Ok(Some((String::new(), Some("a;b\n".to_owned())))));
        assert_eq!(line(&[], ""), Ok(None));
        assert_eq!(line(&[("heading", "")], ""), Ok(None));
    }

    #[test]
    fn a_heading_is_one_line_of_bounded_length() {
        assert!(line(&[("heading", "a\n")], "x").is_ok());
        for heading in ["a\nb", "\na", "a\n\n", &"x".repeat(LONGEST_HEADING)] {
            assert!(line(&[("heading", heading)], "x").is_err(), "{}", heading.len());
        }
    }
}
