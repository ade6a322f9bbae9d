//! What modules make: pieces of output, without their destination. The lane's configuration says which sinks they go to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A shaped piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Message {
    /// The channel or topic; none leaves the choice to the sink's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What keeps messages in one order, where the sink knows keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Name and value, where the sink knows headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The payload: UTF-8 text unless the module says that it is bytes.
    #[serde(with = "text_or_bytes")]
    pub body: Vec<u8>,
}

/// Something kept under a name: a file, a field of a Redis hash, a key of a `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Document {
    /// What holds the name: a Redis hash, a `ConfigMap`; none leaves the choice to the sink's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The name: a file name, a field, a key.
    pub name: String,
    /// The content.
    #[serde(with = "text_or_bytes")]
    pub body: Vec<u8>,
}

/// Nothing is to be kept under this name. A document put under the same name before the time has come cancels it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Forget {
    /// As in [`Document`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// As in [`Document`].
    pub name: String,
    /// How long the document stays; zero forgets at once.
    #[serde(rename = "after-milliseconds", with = "milliseconds")]
    pub after: Duration,
}

/// A body as JSON: a string when it is UTF-8, else an array of numbers.
mod text_or_bytes {
    use std::fmt;

    use serde::de::{SeqAccess, Visitor};

    use super::Serialize;

    /// Takes the numbers one by one: gathered first, each would take the room of a whole JSON value.
    struct Body;

    impl<'de> Visitor<'de> for Body {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a text, or a list of bytes")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
            Ok(text.as_bytes().to_vec())
        }

        fn visit_string<E>(self, text: String) -> Result<Vec<u8>, E> {
            Ok(text.into_bytes())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = numbers.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }

    pub(super) fn serialize<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(body) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => body.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(Body)
    }
}

/// A span of time as a number of milliseconds.
mod milliseconds {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(after: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
