//! Entries on their way out of the guest.

use std::time::Duration;

use sluicebox_contract::{Document, Entry, Forget, Message};

use crate::bindings::sluicebox::module::types;
use crate::limits::Limits;
use crate::text::size;

/// Why nothing of what a call returned is used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEntries {
    #[error("it returned {found} entries, more than the {limit} that one call may return")]
    TooMany { found: usize, limit: usize },
    #[error("it returned packed messages of {} when unpacked, more than the {} that one call may hand over", size(*.found), size(*.limit))]
    TooLarge { found: usize, limit: usize },
    #[error("it returned packed messages of which number {index} {reason}")]
    Packed { index: usize, reason: &'static str },
}

/// Checks and takes over what a call returned: all of it or nothing.
pub(crate) fn entries(returned: types::Entries, limits: &Limits) -> Result<Vec<Entry>, BadEntries> {
    let limit = limits.entries_per_call;
    let found = match &returned {
        types::Entries::Plain(entries) => entries.len(),
        types::Entries::Packed(packed) => packed.ends.len(),
    };
    if found > limit {
        return Err(BadEntries::TooMany { found, limit });
    }
    match returned {
        types::Entries::Plain(entries) => Ok(entries.into_iter().map(entry).collect()),
        types::Entries::Packed(packed) => unpack(&packed, limits.output_bytes_per_call),
    }
}

fn entry(entry: types::Entry) -> Entry {
    match entry {
        types::Entry::Message(message) => Entry::Message(Message {
            channel: message.channel,
            key: message.key,
            headers: message.headers,
            body: payload(message.body),
        }),
        types::Entry::Document(document) => {
            Entry::Document(Document { collection: document.collection, name: document.name, body: payload(document.body) })
        }
        types::Entry::Forget(forget) => Entry::Forget(Forget {
            collection: forget.collection,
            name: forget.name,
            after: Duration::from_millis(forget.after_milliseconds),
        }),
    }
}

fn payload(payload: types::Payload) -> Vec<u8> {
    match payload {
        types::Payload::Text(text) => text.into_bytes(),
        types::Payload::Bytes(bytes) => bytes,
    }
}

/// Key and body of each message end where the guest says. It may say anything: `get` answers none for ends that fall, that lie
/// beyond the text, or within a character.
fn unpack(packed: &types::PackedMessages, limit: usize) -> Result<Vec<Entry>, BadEntries> {
    // The channel crosses once and is copied for every message: the engine's count of bytes does not see that.
    let channel = packed.channel.as_ref().map_or(0, String::len);
    let found = channel.saturating_mul(packed.ends.len()).saturating_add(packed.text.len());
    if found > limit {
        return Err(BadEntries::TooLarge { found, limit });
    }
    let mut entries = Vec::with_capacity(packed.ends.len());
    let mut start = 0;
    for (index, end) in packed.ends.iter().enumerate() {
        // A usize holds every u32 on the platforms that the engine runs on.
        let (key_end, body_end) = (end.key_end as usize, end.body_end as usize);
        let bad = |reason| BadEntries::Packed { index, reason };
        let key = packed.text.get(start..key_end).ok_or_else(|| bad("has a key that ends outside of the text"))?;
        let body = packed.text.get(key_end..body_end).ok_or_else(|| bad("has a body that ends outside of the text"))?;
        start = body_end;
        entries.push(Entry::Message(Message {
            channel: packed.channel.clone(),
            key: (!key.is_empty()).then(|| key.to_owned()),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str, ends: &[(u32, u32)]) -> types::Entries {
        let ends = ends.iter().map(|&(key_end, body_end)| types::PackedEnd { key_end, body_end }).collect();
        types::Entries::Packed(types::PackedMessages { channel: Some("c".to_owned()), text: text.to_owned(), ends })
    }

    fn entries_at_most(count: usize) -> Limits {
        Limits { entries_per_call: count, ..Limits::default() }
    }

    fn message(key: Option<&str>, body: &str) -> Entry {
        Entry::Message(Message {
            channel: Some("c".to_owned()),
            key: key.map(str::to_owned),
            headers: Vec::new(),
            body: body.into(),
        })
    }

    fn refused(text: &str, ends: &[(u32, u32)]) -> String {
        entries(packed(text, ends), &entries_at_most(100)).unwrap_err().to_string()
    }

    #[test]
    fn packed_messages_are_cut_at_their_ends() {
        let found = entries(packed("k1one-two", &[(2, 5), (5, 9), (9, 9)]), &entries_at_most(100)).unwrap();
        assert_eq!(found, [message(Some("k1"), "one"), message(None, "-two"), message(None, "")]);
    }

    #[test]
    fn an_end_beyond_the_text_is_refused() {
        assert_eq!(
            refused("abc", &[(0, 3), (3, 4)]),
            "it returned packed messages of which number 1 has a body that ends outside of the text"
        );
        assert!(refused("abc", &[(u32::MAX, u32::MAX)]).ends_with("number 0 has a key that ends outside of the text"));
    }

    #[test]
    fn falling_ends_are_refused() {
        assert!(refused("abc", &[(2, 1)]).ends_with("number 0 has a body that ends outside of the text"));
        assert!(refused("abc", &[(0, 3), (2, 3)]).ends_with("number 1 has a key that ends outside of the text"));
    }

    #[test]
    fn an_end_within_a_character_is_refused() {
        assert!(refused("ü", &[(0, 1)]).ends_with("number 0 has a body that ends outside of the text"));
    }

    #[test]
    fn more_entries_than_allowed_are_refused_before_they_are_looked_at() {
        let found = entries(packed("", &[(0, 0), (9, 9), (0, 0)]), &entries_at_most(2));
        assert_eq!(found, Err(BadEntries::TooMany { found: 3, limit: 2 }));
    }

    #[test]
    fn a_channel_counts_for_every_message_and_the_limit_itself_is_taken() {
        let limits = |bytes| Limits { output_bytes_per_call: bytes, ..Limits::default() };
        let returned = || packed("abc", &[(1, 3), (3, 3)]);
        assert_eq!(entries(returned(), &limits(5)).map(|entries| entries.len()), Ok(2));
        assert_eq!(entries(returned(), &limits(4)), Err(BadEntries::TooLarge { found: 5, limit: 4 }));
    }

    #[test]
    fn every_kind_of_entry_crosses() {
        let text = |text: &str| text.to_owned();
        let plain = types::Entries::Plain(vec![
            types::Entry::Message(types::Message {
                channel: Some(text("c")),
                key: Some(text("k")),
                headers: vec![(text("h"), text("v"))],
                body: types::Payload::Bytes(vec![0xff]),
            }),
            types::Entry::Document(types::Document { collection: None, name: text("n"), body: types::Payload::Text(text("b")) }),
            types::Entry::Forget(types::Forget { collection: Some(text("h")), name: text("n"), after_milliseconds: u64::MAX }),
        ]);
        let expected = [
            Entry::Message(Message {
                channel: Some(text("c")),
                key: Some(text("k")),
                headers: vec![(text("h"), text("v"))],
                body: vec![0xff],
            }),
            Entry::Document(Document { collection: None, name: text("n"), body: b"b".to_vec() }),
            Entry::Forget(Forget { collection: Some(text("h")), name: text("n"), after: Duration::from_millis(u64::MAX) }),
        ];
        assert_eq!(entries(plain, &entries_at_most(3)).unwrap(), expected);
    }
}
