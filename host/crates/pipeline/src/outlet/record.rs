//! How entries stand in a store: as JSON, so that a person can read what waits there. Pure.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluicebox_contract::{Entry, ModuleIdentity, UnixNanos};

use super::gathered::{Origin, Parcel};

/// Entries that stand together take about so many bytes, unless a single one is larger.
const ROUND: usize = 32 << 10;

/// Entries that one call of a module has made, or a part of them.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Stored {
    lane: Arc<str>,
    module: ModuleIdentity,
    #[serde(default)]
    again: bool,
    observed_at_unix_nanos: UnixNanos,
    entries: Vec<Entry>,
}

/// The same, of what somebody else has.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Storing<'a> {
    lane: &'a str,
    module: &'a ModuleIdentity,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
    observed_at_unix_nanos: UnixNanos,
    entries: &'a [Box<serde_json::value::RawValue>],
}

/// A record of the first of these entries.
pub(super) struct Encoded {
    pub(super) record: Vec<u8>,
    pub(super) entries: NonZeroU32,
}

/// Makes a record of as many of these entries as belong in one, from the first on. None where the first alone is larger than `most` bytes.
pub(super) fn encode(origin: &Origin, observed_at: UnixNanos, entries: &[Entry], most: u64) -> Option<Encoded> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let head = Storing {
        lane: &origin.lane,
        module: &origin.module,
        again: origin.again,
        observed_at_unix_nanos: observed_at,
        entries: &[],
    };
    // Texts, numbers and names of our own can always be written as JSON.
    let mut length = serde_json::to_vec(&head).ok()?.len();
    let mut texts = Vec::new();
    for entry in entries {
        let text = serde_json::value::to_raw_value(entry).ok()?;
        let longer = length + text.get().len() + 1;
        if longer > most || longer > ROUND && !texts.is_empty() {
            break;
        }
        length = longer;
        texts.push(text);
    }
    let entries = NonZeroU32::new(u32::try_from(texts.len()).ok()?)?;
    let record = serde_json::to_vec(&Storing { entries: &texts, ..head }).ok()?;
    Some(Encoded { record, entries })
}

/// The entries of a record, without so many of the first.
pub(super) fn decode(record: &[u8], without: usize) -> Result<Parcel, serde_json::Error> {
    let Stored { lane, module, again, observed_at_unix_nanos: observed_at, mut entries } = serde_json::from_slice(record)?;
    entries.drain(..without.min(entries.len()));
    Ok(Parcel::Entries { origin: Arc::new(Origin { lane, module, again, replay: None }), entries, observed_at, receipt: None })
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Document, Forget, Message};

    use super::*;

    fn origin() -> Origin {
        let module = ModuleIdentity { name: "m".to_owned(), version: "1".to_owned(), digest: "ab".to_owned() };
        Origin { lane: "lane".into(), module, again: false, replay: None }
    }

    fn entries() -> Vec<Entry> {
        let message = Message {
            channel: Some("c".to_owned()),
            key: Some("\u{0}k\"".to_owned()),
            headers: vec![("h".to_owned(), "v".to_owned())],
            body: vec![0, 255, 128],
        };
        let document = Document { collection: None, name: "n".to_owned(), body: "{\"ä\":1}\n".into() };
        let forget = Forget { collection: Some("x".to_owned()), name: "n".to_owned(), after: std::time::Duration::from_secs(7) };
        vec![Entry::Message(message), Entry::Document(document), Entry::Forget(forget)]
    }

    #[test]
    fn what_is_stored_comes_back_as_it_was_or_in_part() {
        let encoded = encode(&origin(), UnixNanos(5), &entries(), u64::MAX).unwrap();
        assert_eq!(encoded.entries.get(), 3);
        for without in 0..4 {
            let Parcel::Entries { origin, entries: back, observed_at, receipt: None } = decode(&encoded.record, without).unwrap()
            else {
                panic!("entries")
            };
            assert_eq!((&*origin.lane, origin.module.digest.as_str(), observed_at), ("lane", "ab", UnixNanos(5)));
            assert_eq!(back, entries()[without..]);
        }
    }

    #[test]
    fn much_becomes_several_records_and_what_is_too_large_none() {
        let message = |length| Entry::Message(Message { body: vec![b'x'; length], ..Message::default() });
        let many = vec![message(10_000); 7];
        let (mut rest, mut sizes) = (many.as_slice(), Vec::new());
        while !rest.is_empty() {
            let encoded = encode(&origin(), UnixNanos(5), rest, 100_000).unwrap();
            sizes.push(encoded.entries.get());
            rest = &rest[encoded.entries.get() as usize..];
        }
        assert_eq!(sizes, [3, 3, 1]);
        let large = [message(90_000), message(10)];
        assert_eq!(encode(&origin(), UnixNanos(5), &large, 100_000).unwrap().entries.get(), 1);
        assert!(encode(&origin(), UnixNanos(5), &large, 90_000).is_none());
    }

    /// As the first version wrote it: whoever upgrades finds what was there.
    #[test]
    fn a_record_of_the_first_format_is_read() {
        let text = r#"{"lane":"events","module":{"name":"galileo-events","version":"1.0.0","digest":"ab"},"observed-at-unix-nanos":1700000000000000000,"entries":[{"message":{"channel":"c","key":"k","headers":[["h","v"]],"body":"one"}},{"document":{"collection":"x","name":"n","body":[0,255]}},{"forget":{"name":"n","after-milliseconds":7000}}]}"#;
        let Parcel::Entries { origin, entries, observed_at, .. } = decode(text.as_bytes(), 0).unwrap() else { panic!("entries") };
        assert_eq!(
            (&*origin.lane, origin.module.name.as_str(), observed_at.0),
            ("events", "galileo-events", 1_700_000_000_000_000_000)
        );
        assert_eq!(entries.len(), 3);
        // And it is written so today.
        let again = encode(&origin, observed_at, &entries, u64::MAX).unwrap();
        assert_eq!(String::from_utf8(again.record).unwrap(), text);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for odd in [&b""[..], b"{}", b"[1]", b"\xff", b"{\"lane\":\"a\",\"more\":1}"] {
            assert!(decode(odd, 0).is_err());
        }
    }
}
