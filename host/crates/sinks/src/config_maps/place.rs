//! Where an entry belongs: which `ConfigMap`, which key; and what may not be such a name. Pure.

use sluicebox_contract::{Entry, TimeSpan};
use sluicebox_kubernetes::is_object_name;

use super::config::Config;

/// The API's bound on the bytes of a key.
const LONGEST_KEY: usize = 253;
/// The API's bound on the bytes of a field manager.
const LONGEST_MANAGER: usize = 128;
/// How the field managers of all of us begin.
pub(super) const OURS: &str = "sluicebox/";

/// A key of a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) map: String,
    pub(super) key: String,
}

impl Place {
    pub(super) fn weight(&self) -> usize {
        self.map.len() + self.key.len()
    }
}

/// What an entry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    Put { value: &'a str },
    Remove,
    RemoveAfter(TimeSpan),
}

/// Reads an entry; the reason when it can never be written.
pub(super) fn read<'a>(entry: &'a Entry, config: &Config) -> Result<(Place, Order<'a>), String> {
    let (collection, key, order) = match entry {
        Entry::Message(_) => {
            return Err(
                "a message has no name to be kept under: give it to a sink of messages, such as `kafka`, or have the module \
                        make documents"
                    .to_owned(),
            );
        }
        Entry::Document(document) => {
            let value = std::str::from_utf8(&document.body)
                .map_err(|_| "its body is not UTF-8 text, and other bytes are not kept in a ConfigMap".to_owned())?;
            (&document.collection, &document.name, Order::Put { value })
        }
        Entry::Forget(forget) if forget.after.is_zero() => (&forget.collection, &forget.name, Order::Remove),
        Entry::Forget(forget) => (&forget.collection, &forget.name, Order::RemoveAfter(TimeSpan(forget.after))),
    };
    let collection = collection.as_deref().or(config.name.as_deref());
    let collection = collection.ok_or("it names no collection, and the sink has no `name`: set one of the two")?;
    check_key(key)?;
    let map = map_name(collection, shard(key, config.shards));
    if !is_object_name(&map) {
        return Err(
            "its collection cannot be the name of a ConfigMap: that has at most 253 small letters, digits, `-` and `.`, and \
                    begins and ends with a letter or a digit"
                .to_owned(),
        );
    }
    if let Order::Put { value } = order
        && (key.len() + value.len()) as u64 > config.budget.0
    {
        return Err(format!("it has {} bytes, and the `budget` is {}", key.len() + value.len(), config.budget));
    }
    Ok((Place { map, key: key.clone() }, order))
}

/// What the API server does not take for a key would spoil the whole write.
fn check_key(key: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    Err(if key.is_empty() {
        "its name is empty, and a key of a ConfigMap is not".to_owned()
    } else if key.len() > LONGEST_KEY {
        format!("its name has {} bytes, and a key of a ConfigMap at most {LONGEST_KEY}", key.len())
    } else if !key.bytes().all(good) {
        "its name is no key of a ConfigMap: those consist of letters, digits, `-`, `_` and `.`".to_owned()
    } else if key == "." || key.starts_with("..") {
        "its name is no key of a ConfigMap: those are not `.` and do not begin with `..`".to_owned()
    } else {
        return Ok(());
    })
}

/// The `ConfigMap` of this number of a collection.
pub(super) fn map_name(collection: &str, shard: u32) -> String {
    if shard == 0 { collection.to_owned() } else { format!("{collection}-{shard}") }
}

/// Which of so many `ConfigMap`s has the key.
fn shard(key: &str, shards: u32) -> u32 {
    u32::try_from(hash(key) % u64::from(shards.max(1))).unwrap_or_default()
}

/// The field manager by which the API server knows whose a key is.
pub(super) fn manager(owner: &str, sink: &str) -> String {
    let whole = format!("{OURS}{owner}/{sink}");
    if whole.len() <= LONGEST_MANAGER {
        return whole;
    }
    // Cut, but still nobody else's.
    let end = format!("~{:016x}", hash(&whole));
    let beginning: String = whole.chars().filter(char::is_ascii).take(LONGEST_MANAGER - end.len()).collect();
    beginning + &end
}

/// Whether a text can be who owns keys: it stands in addresses as it is.
pub(super) fn is_owner(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(good)
}

/// FNV-1a of 64 bits: everybody can compute it, and it will never change.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use sluicebox_contract::{ByteSize, Document, Forget, Message};

    use super::*;

    fn document(name: &str, body: &[u8]) -> Entry {
        Entry::Document(Document { collection: None, name: name.to_owned(), body: body.to_vec() })
    }

    fn refused(entry: &Entry) -> String {
        read(entry, &Config::new("m")).expect_err("a reason")
    }

    #[test]
    fn a_document_is_a_key_and_its_collection_the_config_map() {
        let place = |map: &str| Place { map: map.to_owned(), key: "a".to_owned() };
        let one = document("a", b"1");
        assert_eq!(read(&one, &Config::new("m")), Ok((place("m"), Order::Put { value: "1" })));
        let forget = |after| Forget { collection: Some("n".to_owned()), name: "a".to_owned(), after };
        for (after, order) in [(0, Order::Remove), (1, Order::RemoveAfter(TimeSpan(Duration::from_secs(1))))] {
            let entry = Entry::Forget(forget(Duration::from_secs(after)));
            assert_eq!(read(&entry, &Config::default()), Ok((place("n"), order)));
        }
    }

    #[test]
    fn what_the_server_would_not_take_is_refused() {
        for name in ["", ".", "..", "..a", "fe80::1", "a b", "a/b", "ü", &"x".repeat(254)] {
            assert!(refused(&document(name, b"")).contains("its name"), "{name}");
        }
        for name in ["a", ".a", "a..b", "172.17.0.2-172.17.0.5-14931-53", &"x".repeat(253)] {
            assert!(read(&document(name, b""), &Config::new("m")).is_ok(), "{name}");
        }
        assert!(refused(&document("a", b"\xff")).contains("UTF-8"));
        assert!(refused(&Entry::Message(Message::default())).contains("such as `kafka`"));
        let large = document("a", &vec![b'x'; 512 << 10]);
        assert_eq!(refused(&large), "it has 524289 bytes, and the `budget` is 512KiB");
        assert!(read(&large, &Config { budget: ByteSize(524_289), ..Config::new("m") }).is_ok());
        let nowhere = read(&document("a", b""), &Config::default()).expect_err("a reason");
        assert_eq!(nowhere, "it names no collection, and the sink has no `name`: set one of the two");
        let other = Entry::Document(Document { collection: Some("A b".to_owned()), name: "a".to_owned(), body: Vec::new() });
        assert!(refused(&other).contains("collection"));
    }

    #[test]
    fn keys_are_spread_by_a_hash_that_everybody_can_compute() {
        // The published values of FNV-1a.
        assert_eq!((hash(""), hash("a"), hash("foobar")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8));
        let config = Config { shards: 4, ..Config::new("m") };
        let mut counts = BTreeMap::new();
        for number in 0..4000 {
            let one = document(&format!("10.0.{}.{}", number / 250, number % 250), b"");
            let (place, _) = read(&one, &config).expect("a place");
            *counts.entry(place.map).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["m", "m-1", "m-2", "m-3"]);
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_manager_fits_whatever_the_names_are_and_is_nobody_elses() {
        assert_eq!(manager("n1", "edges"), "sluicebox/n1/edges");
        let long = manager(&"x".repeat(253), "a");
        assert!(long.len() == 128 && long != manager(&"x".repeat(253), "b") && long.starts_with("sluicebox/xx"), "{long}");
    }
}
