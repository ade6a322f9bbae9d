//! Reads from a page that was cut off where the list goes on, and which object it was that was too long. Pure.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::PageMetadata;

/// A page of one object that was cut off in the middle of that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Which version of the whole the list shows.
    pub(super) version: String,
    /// Leads to the next page.
    pub(super) token: Option<String>,
    pub(super) identity: Identity,
}

/// Who an object is, as far as that could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.namespace.as_str(), self.name.as_str()) {
            (_, "") => formatter.write_str("its name could not be read"),
            ("", name) => formatter.write_str(name),
            (namespace, name) => write!(formatter, "{namespace}/{name}"),
        }
    }
}

/// Reads the beginning of a page. None if it does not say how the list goes on, or if its first object is not the one that was cut: then
/// more were sent than the one that was asked for.
pub(super) fn cut(text: &[u8]) -> Option<Cut> {
    let mut found = Found::default();
    // That it ends too early is known.
    let _cut_off = Walk { place: Place::Page, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_slice(text));
    let Found { metadata, identity, whole } = found;
    let PageMetadata { resource_version: version, token } = metadata?;
    let token = token.filter(|token| !token.is_empty());
    (!whole && (token.is_some() || !version.is_empty())).then_some(Cut { version, token, identity })
}

/// What was read until the text broke off.
#[derive(Default)]
struct Found {
    metadata: Option<PageMetadata>,
    identity: Identity,
    /// The first object came to its end.
    whole: bool,
}

/// Walks into the page and keeps what it meets; of the rest nothing is kept.
struct Walk<'a> {
    place: Place,
    found: &'a mut Found,
}

#[derive(Clone, Copy)]
enum Place {
    Page,
    Items,
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.place {
            Place::Items => deserializer.deserialize_seq(self),
            Place::Page | Place::Object | Place::Metadata => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { place, found } = self;
        while let Some(key) = map.next_key::<String>()? {
            match (place, key.as_str()) {
                (Place::Page, "metadata") => found.metadata = Some(map.next_value()?),
                (Place::Page, "items") => map.next_value_seed(Walk { place: Place::Items, found: &mut *found })?,
                (Place::Object, "metadata") => map.next_value_seed(Walk { place: Place::Metadata, found: &mut *found })?,
                (Place::Metadata, "uid") => found.identity.uid = map.next_value()?,
                (Place::Metadata, "namespace") => found.identity.namespace = map.next_value()?,
                (Place::Metadata, "name") => found.identity.name = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { found, .. } = self;
        list.next_element_seed(Walk { place: Place::Object, found: &mut *found })?;
        found.whole = true;
        // What follows is of no use.
        Err(A::Error::custom("enough was read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let Cut { version, token, identity } = cut(text.as_bytes())?;
        Some(format!("version {version}, then {token:?}, object: {identity} ({})", identity.uid))
    }

    #[test]
    fn a_page_says_at_its_beginning_how_the_list_goes_on() {
        let text = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"t"},"items":[{"metadata":{"name":"a","namespace":"n","uid":"u","annotations":{"long":"xxx"#;
        assert_eq!(read(text).as_deref(), Some(r#"version 9, then Some("t"), object: n/a (u)"#));
        let last = text.replace(r#","continue":"t""#, "").replace(r#","namespace":"n""#, "");
        assert_eq!(read(&last).as_deref(), Some("version 9, then None, object: a (u)"));
    }

    #[test]
    fn an_object_that_comes_without_its_name_is_nobody() {
        let text = r#"{"metadata":{"resourceVersion":"9","continue":"t"},"items":[{"spec":{"long":"xxx"#;
        assert_eq!(read(text).as_deref(), Some(r#"version 9, then Some("t"), object: its name could not be read ()"#));
    }

    #[test]
    fn a_page_that_does_not_say_it_is_no_help() {
        for text in [
            "",
            "<html>",
            r#"{"kind":"PodList","items":[{"metadata":{"name":"a","annotations":{"long":"xxx"#,
            r#"{"metadata":{"resourceVersion":""},"items":[{"metadata":{"name":"a"#,
            r#"{"metadata":{"resourceVersion":"9","cont"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// The others would seem to have gone.
    #[test]
    fn a_page_of_several_objects_is_not_passed_over() {
        let text = r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b","x":"xxx"#;
        assert_eq!(read(text), None);
    }
}
