//! From entries to records. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use sluicebox_contract::Entry;

use super::config::Config;
use crate::shown::{NAME, shown};

/// What Kafka allows.
const LONGEST_TOPIC: usize = 249;

/// A document, or what is left of it: the key of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) topic: String,
    pub(super) key: String,
}

impl Name {
    pub(super) fn weight(&self) -> usize {
        self.topic.len() + self.key.len()
    }
}

/// What is sent for one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    /// Only the entry names the topic: the settings do not, so that nobody but its author says that it should be there.
    pub(super) names_topic: bool,
    pub(super) key: Option<&'a str>,
    pub(super) headers: &'a [(String, String)],
    /// None says that nothing is kept under the key.
    pub(super) body: Option<&'a [u8]>,
    /// It is not to be sent now, but after this time.
    pub(super) after: Duration,
    /// It stands for all that is kept under its key.
    pub(super) is_document: bool,
}

impl<'a> Record<'a> {
    /// The record for an entry; the reason when there can be none.
    pub(super) fn new(entry: &'a Entry, config: &'a Config) -> Result<Self, String> {
        let none = Record {
            topic: "",
            names_topic: false,
            key: None,
            headers: &[],
            body: None,
            after: Duration::ZERO,
            is_document: true,
        };
        match entry {
            Entry::Message(message) => {
                let record = Self {
                    key: message.key.as_deref(),
                    headers: &message.headers,
                    body: Some(&message.body),
                    is_document: false,
                    ..none
                };
                record.to(message.channel.as_deref(), "channel", config)
            }
            Entry::Document(document) => {
                let record = Self { key: Some(&document.name), body: Some(&document.body), ..none };
                record.to(document.collection.as_deref(), "collection", config)
            }
            Entry::Forget(forget) => {
                let record = Self { key: Some(&forget.name), after: forget.after, ..none };
                record.to(forget.collection.as_deref(), "collection", config)
            }
        }
    }

    /// What is sent when a document is to be forgotten.
    pub(super) fn tombstone(name: &'a Name, config: &Config) -> Self {
        Self {
            topic: &name.topic,
            names_topic: !is_known(&name.topic, config),
            key: Some(&name.key),
            headers: &[],
            body: None,
            after: Duration::ZERO,
            is_document: true,
        }
    }

    /// The document that it is about.
    pub(super) fn name(&self) -> Option<Name> {
        let key = self.key.filter(|_| self.is_document)?;
        Some(Name { topic: self.topic.to_owned(), key: key.to_owned() })
    }

    fn to(self, named: Option<&'a str>, what: &str, config: &'a Config) -> Result<Self, String> {
        let Some(topic) = named else {
            let topic = config
                .topic
                .as_deref()
                .ok_or_else(|| format!("it names no {what}, and the sink has no `topic`: set one of the two"))?;
            return Ok(Self { topic, ..self });
        };
        check_topic(topic)?;
        if !is_allowed(topic, config) {
            return Err(format!("the topic `{}` is not among the sink's `allowed-topics`", shown(topic, NAME)));
        }
        Ok(Self { topic, names_topic: !is_known(topic, config), ..self })
    }
}

/// Whether a topic can have this name at all; the reason where it cannot.
pub fn check_topic(topic: &str) -> Result<(), String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    match topic {
        "" => Err("the topic has an empty name".to_owned()),
        "." | ".." => Err(format!("no topic may be called `{topic}`")),
        _ if !topic.chars().all(fits) => {
            Err(format!("the topic `{}` has a character that no topic may have", shown(topic, NAME)))
        }
        _ if topic.len() > LONGEST_TOPIC => Err(format!("the topic's name is longer than {LONGEST_TOPIC} characters")),
        _ => Ok(()),
    }
}

/// Whether the settings name this very topic.
fn is_known(topic: &str, config: &Config) -> bool {
    let is_listed = |allowed: &Vec<String>| allowed.iter().any(|allowed| allowed == topic);
    config.topic.as_deref() == Some(topic) || config.allowed_topics.as_ref().is_some_and(is_listed)
}

fn is_allowed(topic: &str, config: &Config) -> bool {
    let matches = |allowed: &String| match allowed.strip_suffix('*') {
        Some(beginning) => topic.starts_with(beginning),
        None => topic == allowed,
    };
    config.allowed_topics.as_ref().is_none_or(|allowed| allowed.iter().any(matches)) || config.topic.as_deref() == Some(topic)
}

/// Whether an entry that comes again is the one that was there before.
pub(super) fn fingerprint(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    match entry {
        Entry::Message(message) => (0, &message.channel, &message.key, &message.headers, &message.body).hash(&mut hasher),
        Entry::Document(document) => (1, &document.collection, &document.name, &document.body).hash(&mut hasher),
        Entry::Forget(forget) => (2, &forget.collection, &forget.name, forget.after).hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Document, Forget, Message};

    use super::*;

    fn message(channel: Option<&str>) -> Entry {
        let headers = vec![("h".to_owned(), "v".to_owned())];
        Entry::Message(Message { channel: channel.map(str::to_owned), key: Some("k".to_owned()), headers, body: b"b".to_vec() })
    }

    fn config(topic: Option<&str>, allowed: Option<&[&str]>) -> Config {
        let mut config = Config::new(["k:1"]);
        config.topic = topic.map(str::to_owned);
        config.allowed_topics = allowed.map(|allowed| allowed.iter().map(|&topic| topic.to_owned()).collect());
        config
    }

    #[test]
    fn the_entry_says_the_topic_and_the_settings_say_it_where_it_does_not() {
        let with = config(Some("default"), None);
        let topic = |entry: &Entry, config: &Config| {
            Record::new(entry, config).map(|record| (record.topic.to_owned(), record.names_topic))
        };
        assert_eq!(topic(&message(Some("named")), &with), Ok(("named".to_owned(), true)));
        assert_eq!(topic(&message(Some("default")), &with), Ok(("default".to_owned(), false)), "they say it both");
        let listed = config(None, Some(&["listed", "any.*"]));
        assert_eq!(topic(&message(Some("listed")), &listed), Ok(("listed".to_owned(), false)));
        assert_eq!(topic(&message(Some("any.one")), &listed), Ok(("any.one".to_owned(), true)));
        assert_eq!(topic(&message(None), &with), Ok(("default".to_owned(), false)));
        let without = config(None, None);
        assert_eq!(
            topic(&message(None), &without),
            Err("it names no channel, and the sink has no `topic`: set one of the two".to_owned())
        );
        let document = Entry::Document(Document { name: "n".to_owned(), ..Document::default() });
        assert_eq!(
            topic(&document, &without),
            Err("it names no collection, and the sink has no `topic`: set one of the two".to_owned())
        );
    }

    #[test]
    fn a_message_keeps_its_key_and_headers_and_a_document_is_under_its_name() {
        let config = config(Some("t"), None);
        let entry = message(None);
        let record = Record::new(&entry, &config).expect("a record");
        assert_eq!((record.key, record.headers.len(), record.body, record.name()), (Some("k"), 1, Some(&b"b"[..]), None));
        let name = Name { topic: "t".to_owned(), key: "n".to_owned() };
        let document = Entry::Document(Document { name: "n".to_owned(), body: b"1".to_vec(), ..Document::default() });
        let record = Record::new(&document, &config).expect("a record");
        assert_eq!((record.key, record.body, record.name()), (Some("n"), Some(&b"1"[..]), Some(name.clone())));
        let forget = Entry::Forget(Forget { name: "n".to_owned(), ..Forget::default() });
        assert_eq!(Record::new(&forget, &config), Ok(Record::tombstone(&name, &config)));
    }

    #[test]
    fn a_topic_that_kafka_cannot_have_is_refused() {
        let config = config(None, None);
        for topic in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(Record::new(&message(Some(topic)), &config).is_err(), "{topic}");
        }
        for topic in ["a", "nfvi.ncsrd.kubernetes", "a_b-C.9", &"x".repeat(249)] {
            assert!(Record::new(&message(Some(topic)), &config).is_ok(), "{topic}");
        }
    }

    #[test]
    fn only_allowed_topics_can_be_named() {
        let config = config(Some("default"), Some(&["one", "nfvi.*"]));
        for (topic, fits) in [("one", true), ("one1", false), ("nfvi.a", true), ("nfvi", false), ("default", true), ("x", false)]
        {
            assert_eq!(Record::new(&message(Some(topic)), &config).is_ok(), fits, "{topic}");
        }
    }

    #[test]
    fn entries_that_differ_have_different_fingerprints() {
        let forget = |name: &str, seconds| {
            Entry::Forget(Forget { name: name.to_owned(), after: Duration::from_secs(seconds), ..Forget::default() })
        };
        let document = |name: &str, body: &[u8]| {
            Entry::Document(Document { name: name.to_owned(), body: body.to_vec(), ..Document::default() })
        };
        let all = [
            message(None),
            message(Some("")),
            message(Some("a")),
            document("a", b"b"),
            document("ab", b""),
            forget("a", 0),
            forget("a", 1),
            forget("b", 0),
        ];
        let different: std::collections::HashSet<_> = all.iter().map(fingerprint).collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(fingerprint(&all[0]), fingerprint(&all[0].clone()));
    }
}
