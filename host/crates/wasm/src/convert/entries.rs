//! Entries on their way out of the guest.

use std::time::Duration;

use sluicebox_contract::{Document, Entry, Forget, Message};

use crate::bindings::sluicebox::module::types;
use crate::limits::Limits;
use crate::text::size;

/// What an empty header takes in memory: its two texts. As entries are weighed.
const HEADER_BYTES: usize = 48;

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

/// Channel, key and body of each message end where the guest says. It may say anything: `get` answers none for ends that fall, that lie
/// beyond the text, or within a character.
fn unpack(packed: &types::PackedMessages, limit: usize) -> Result<Vec<Entry>, BadEntries> {
    // What is common to all crosses once and is copied for every message: the engine's count of bytes does not see that.
    let headers = packed.headers.iter().map(|(name, value)| HEADER_BYTES + name.len() + value.len());
    let common = headers.fold(packed.channel.as_ref().map_or(0, String::len), usize::saturating_add);
    let found = common.saturating_mul(packed.ends.len()).saturating_add(packed.text.len());
    if found > limit {
        return Err(BadEntries::TooLarge { found, limit });
    }
    let mut entries = Vec::with_capacity(packed.ends.len());
    let mut start = 0;
    for (index, end) in packed.ends.iter().enumerate() {
        // A usize holds every u32 on the platforms that the engine runs on.
        let (channel_end, key_end, body_end) = (end.channel_end as usize, end.key_end as usize, end.body_end as usize);
        let bad = |reason| BadEntries::Packed { index, reason };
        let channel = packed.text.get(start..channel_end).ok_or_else(|| bad("has a channel that ends outside of the text"))?;
        let key = packed.text.get(channel_end..key_end).ok_or_else(|| bad("has a key that ends outside of the text"))?;
        let body = packed.text.get(key_end..body_end).ok_or_else(|| bad("has a body that ends outside of the text"))?;
        start = body_end;
        entries.push(Entry::Message(Message {
            channel: if channel.is_empty() { packed.channel.clone() } else { Some(channel.to_owned()) },
            key: (!key.is_empty()).then(|| key.to_owned()),
            headers: packed.headers.clone(),
            body: body.as_bytes().to_vec(),
        }));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str, ends: &[(u32, u32, u32)]) -> types::Entries {
        packed_with(&[], text, ends)
    }

    fn packed_with(headers: &[(&str, &str)], text: &str, ends: &[(u32, u32, u32)]) -> types::Entries {
        let ends = ends.iter();
        let ends = ends.map(|&(channel_end, key_end, body_end)| types::PackedEnd { channel_end, key_end, body_end }).collect();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        types::Entries::Packed(types::PackedMessages { channel: Some("c".to_owned()), headers, text: text.to_owned(), ends })
    }

    fn entries_at_most(count: usize) -> Limits {
        Limits { entries_per_call: count, ..Limits::default() }
    }

    fn message(channel: &str, key: Option<&str>, body: &str) -> Entry {
        Entry::Message(Message {
            channel: Some(channel.to_owned()),
            key: key.map(str::to_owned),
            headers: Vec::new(),
            body: body.into(),
        })
    }

    fn refused(text: &str, ends: &[(u32, u32, u32)]) -> String {
        entries(packed(text, ends), &entries_at_most(100)).unwrap_err().to_string()
    }

    #[test]
    fn packed_messages_are_cut_at_their_ends() {
        let ends = [(0, 2, 5), (5, 5, 9), (9, 9, 9), (11, 12, 17)];
        let found = entries(packed("k1one-twochkthree", &ends), &entries_at_most(100)).unwrap();
        let expected = [
            message("c", Some("k1"), "one"),
            message("c", None, "-two"),
            message("c", None, ""),
            message("ch", Some("k"), "three"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_packed_message_has_the_headers_of_all() {
        let found = entries(packed_with(&[("h", "v"), ("", "")], "ab", &[(0, 0, 1), (1, 1, 2)]), &entries_at_most(100)).unwrap();
        assert_eq!(found.len(), 2);
        for entry in found {
            let Entry::Message(message) = entry else { panic!("{entry:?}") };
            assert_eq!(message.headers, [("h".to_owned(), "v".to_owned()), (String::new(), String::new())]);
        }
    }

    #[test]
    fn an_end_beyond_the_text_is_refused() {
        assert_eq!(
            refused("abc", &[(0, 0, 3), (3, 3, 4)]),
            "it returned packed messages of which number 1 has a body that ends outside of the text"
        );
        let most = u32::MAX;
        assert!(refused("abc", &[(0, most, most)]).ends_with("number 0 has a key that ends outside of the text"));
        assert!(refused("abc", &[(most, most, most)]).ends_with("number 0 has a channel that ends outside of the text"));
    }

    #[test]
    fn falling_ends_are_refused() {
        assert!(refused("abc", &[(0, 2, 1)]).ends_with("number 0 has a body that ends outside of the text"));
        assert!(refused("abc", &[(2, 1, 3)]).ends_with("number 0 has a key that ends outside of the text"));
        assert!(refused("abc", &[(0, 0, 3), (2, 3, 3)]).ends_with("number 1 has a channel that ends outside of the text"));
    }

    #[test]
    fn an_end_within_a_character_is_refused() {
        assert!(refused("ü", &[(0, 0, 1)]).ends_with("number 0 has a body that ends outside of the text"));
    }

    #[test]
    fn more_entries_than_allowed_are_refused_before_they_are_looked_at() {
        let found = entries(packed("", &[(0, 0, 0), (9, 9, 9), (0, 0, 0)]), &entries_at_most(2));
        assert_eq!(found, Err(BadEntries::TooMany { found: 3, limit: 2 }));
    }

    #[test]
    fn a_channel_counts_for_every_message_and_the_limit_itself_is_taken() {
        let limits = |bytes| Limits { output_bytes_per_call: bytes, ..Limits::default() };
        let returned = || packed("abc", &[(0, 1, 3), (3, 3, 3)]);
        assert_eq!(entries(returned(), &limits(5)).map(|entries| entries.len()), Ok(2));
        assert_eq!(entries(returned(), &limits(4)), Err(BadEntries::TooLarge { found: 5, limit: 4 }));
    }

    #[test]
    fn headers_count_for_every_message_even_empty_ones() {
        let limits = |bytes| Limits { output_bytes_per_call: bytes, ..Limits::default() };
        let returned = || packed_with(&[("h", "vv"), ("", "")], "abc", &[(0, 1, 3), (3, 3, 3)]);
        let found = 2 * (1 + 51 + 48) + 3;
        assert_eq!(entries(returned(), &limits(found)).map(|entries| entries.len()), Ok(2));
        assert_eq!(entries(returned(), &limits(found - 1)), Err(BadEntries::TooLarge { found, limit: found - 1 }));
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
