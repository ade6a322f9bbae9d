//! Short ways to make entries.

use std::time::Duration;

use crate::{Document, Entries, Entry, Forget, Message, PackedEnd, PackedMessages, Payload};

impl Message {
    /// Says this once; channel, key and headers are left to the configuration of the sink.
    pub fn new(body: impl Into<Payload>) -> Self {
        Self { channel: None, key: None, headers: Vec::new(), body: body.into() }
    }

    /// On this channel or topic.
    #[must_use]
    pub fn on(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// In one order with all messages of the same key, where the sink knows keys.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With this header, where the sink knows headers.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Document {
    /// Keeps this under the name.
    pub fn new(name: impl Into<String>, body: impl Into<Payload>) -> Self {
        Self { collection: None, name: name.into(), body: body.into() }
    }

    /// Within this collection: a Redis hash, a `ConfigMap`.
    #[must_use]
    pub fn within(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }
}

impl Forget {
    /// Keeps nothing under the name, from now on.
    pub fn new(name: impl Into<String>) -> Self {
        Self { collection: None, name: name.into(), after_milliseconds: 0 }
    }

    /// Within this collection.
    #[must_use]
    pub fn within(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Not now, but after this time, unless a document is put under the name until then.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after_milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

impl Payload {
    /// The bytes, of a text as of bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The text; none when it is bytes.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Message> for Entry {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

impl From<Document> for Entry {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

impl From<Forget> for Entry {
    fn from(forget: Forget) -> Self {
        Self::Forget(forget)
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        Self::Plain(entries)
    }
}

/// Anything that becomes an entry can be collected: messages, documents, or entries of every kind.
impl<E: Into<Entry>> FromIterator<E> for Entries {
    fn from_iter<I: IntoIterator<Item = E>>(entries: I) -> Self {
        Self::Plain(entries.into_iter().map(Into::into).collect())
    }
}

/// Many messages written one after the other into one text: the cheapest form for the host and the module, and the one to take
/// where a module makes thousands of them a second.
///
/// ```
/// use std::fmt::Write;
/// use sluicebox_sdk::{Entries, Packed};
///
/// let mut packed = Packed::on("samples").with_header("unit", "nanoseconds");
/// for cpu in [3, 5] {
///     packed.push("node-1", |text| {
///         let _ = write!(text, "cpu={cpu}");
///     });
/// }
/// packed.push_on("alerts", "", |text| text.push_str("hot"));
/// let Entries::Packed(messages) = packed.into() else { unreachable!() };
/// assert_eq!(messages.text, "node-1cpu=3node-1cpu=5alertshot");
/// ```
#[derive(Clone, Debug)]
pub struct Packed(PackedMessages);

impl Packed {
    /// No messages yet; the channel is left to the sink.
    pub fn new() -> Self {
        Self(PackedMessages { channel: None, headers: Vec::new(), text: String::new(), ends: Vec::new() })
    }

    /// No messages yet; all that name no other will go on this channel or topic.
    pub fn on(channel: impl Into<String>) -> Self {
        Self(PackedMessages { channel: Some(channel.into()), headers: Vec::new(), text: String::new(), ends: Vec::new() })
    }

    /// With this header on every message, where the sink knows headers.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// With room for so many messages of so many bytes altogether: a text that never has to grow is not copied on its way.
    #[must_use]
    pub fn with_room(mut self, messages: usize, bytes: usize) -> Self {
        self.0.ends.reserve(messages);
        self.0.text.reserve(bytes);
        self
    }

    /// Adds a message: its key (empty for none) and what `body` appends to the text.
    pub fn push(&mut self, key: &str, body: impl FnOnce(&mut String)) {
        self.push_on("", key, body);
    }

    /// Adds a message on a channel or topic of its own (empty for that of all of them).
    pub fn push_on(&mut self, channel: &str, key: &str, body: impl FnOnce(&mut String)) {
        self.0.text.push_str(channel);
        let channel_end = self.end();
        self.0.text.push_str(key);
        let key_end = self.end();
        body(&mut self.0.text);
        let body_end = self.end();
        self.0.ends.push(PackedEnd { channel_end, key_end, body_end });
    }

    // A component cannot hold more than 4 GiB; the host refuses what a native caller would get wrong.
    fn end(&self) -> u32 {
        u32::try_from(self.0.text.len()).unwrap_or(u32::MAX)
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Packed> for Entries {
    fn from(packed: Packed) -> Self {
        Self::Packed(packed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_overflows_is_the_longest_time() {
        assert_eq!(Forget::new("a").after(Duration::MAX).after_milliseconds, u64::MAX);
    }

    #[test]
    fn packed_messages_know_where_channel_key_and_body_end() {
        let mut packed = Packed::new();
        packed.push("", |text| text.push_str("one"));
        packed.push("k", |_| ());
        packed.push_on("ch", "k", |text| text.push('2'));
        let Entries::Packed(messages) = packed.into() else { unreachable!("packed stays packed") };
        let ends: Vec<_> = messages.ends.iter().map(|end| (end.channel_end, end.key_end, end.body_end)).collect();
        assert_eq!(ends, [(0, 0, 3), (3, 4, 4), (6, 7, 8)]);
    }
}
