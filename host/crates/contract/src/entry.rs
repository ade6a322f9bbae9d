//! What modules make: pieces of output, without their destination. The lane's configuration says which sinks they go to.

use std::time::Duration;

/// A shaped piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Say something once.
    Message(Message),
    /// Keep something under a name, in place of what was there.
    Document(Document),
    /// Keep nothing under a name.
    Forget(Forget),
}

impl Entry {
    /// Roughly how many bytes the entry holds in memory; what the queues are bounded by.
    pub fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + match self {
                Self::Message(message) => {
                    let headers: usize = message.headers.iter().map(|(name, value)| 48 + name.len() + value.len()).sum();
                    text(&message.channel) + text(&message.key) + headers + message.body.len()
                }
                Self::Document(document) => text(&document.collection) + document.name.len() + document.body.len(),
                Self::Forget(forget) => text(&forget.collection) + forget.name.len(),
            }
    }
}

/// Something said once: a line on stdout, a Redis publication, a Kafka record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The channel or topic; none leaves the choice to the sink's configuration.
    pub channel: Option<String>,
    /// What keeps messages in one order, where the sink knows keys.
    pub key: Option<String>,
    /// Name and value, where the sink knows headers.
    pub headers: Vec<(String, String)>,
    /// The payload: UTF-8 text unless the module says that it is bytes.
    pub body: Vec<u8>,
}

/// Something kept under a name: a file, a field of a Redis hash, a key of a `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What holds the name: a Redis hash, a `ConfigMap`; none leaves the choice to the sink's configuration.
    pub collection: Option<String>,
    /// The name: a file name, a field, a key.
    pub name: String,
    /// The content.
    pub body: Vec<u8>,
}

/// Nothing is to be kept under this name. A document put under the same name before the time has come cancels it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// As in [`Document`].
    pub collection: Option<String>,
    /// As in [`Document`].
    pub name: String,
    /// How long the document stays; zero forgets at once.
    pub after: Duration,
}
