//! Turns the API's text into objects whose JSON stays as it was sent. Pure.

use sluicebox_contract::text::in_few_words;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::kubernetes::Status;

/// So many objects of a page that are left out are named.
const NAMED: usize = 20;

/// An object: who it is, and its JSON with unknown fields and key order kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) uid: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) version: Box<str>,
    pub(super) json: Arc<str>,
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Which version of the whole the list shows; where a watch begins.
    pub(super) version: String,
    /// Leads to the next page.
    pub(super) token: Option<String>,
    pub(super) objects: Vec<Object>,
    /// What was left out, and why: the first ones.
    pub(super) refused: Vec<String>,
    /// How many more were left out.
    pub(super) refused_unnamed: u64,
}

/// What the API says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Added,
    Modified,
    Deleted,
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum WatchLine {
    Changed(Verb, Object),
    /// Nothing has happened up to this version.
    Bookmark(String),
    /// The server ends the watch.
    Failed(Status),
    /// It is JSON, but not as expected.
    Refused(String),
    /// It is not JSON: what else comes cannot be trusted.
    Garbage(String),
}

#[derive(Deserialize)]
struct RawPage {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Items>,
}

/// The objects of a page, read one by one: what is left out takes no memory.
#[derive(Default)]
struct Items {
    objects: Vec<Object>,
    refused: Vec<String>,
    refused_unnamed: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMetadata {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) token: Option<String>,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct RawObject<'a> {
    #[serde(borrow)]
    metadata: RawMetadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawBookmark {
    metadata: PageMetadata,
}

/// Reads a page. An object that is not as expected is left out, the others are kept.
pub(super) fn page(text: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("it is not text: {error}"))?;
    let page: RawPage = serde_json::from_str(text).map_err(|error| format!("it is not a list: {}", in_few_words(error)))?;
    let token = page.metadata.token.filter(|token| !token.is_empty());
    if page.metadata.resource_version.is_empty() && token.is_none() {
        return Err("it has no metadata.resourceVersion".to_owned());
    }
    let Items { objects, refused, refused_unnamed } = page.items.unwrap_or_default();
    Ok(Page { version: page.metadata.resource_version, token, objects, refused, refused_unnamed })
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OneByOne)
    }
}

struct OneByOne;

impl<'de> Visitor<'de> for OneByOne {
    type Value = Items;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
        let mut items = Items::default();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            match object(raw) {
                Ok(object) => items.objects.push(object),
                Err(cause) if items.refused.len() < NAMED => items.refused.push(cause),
                Err(_) => items.refused_unnamed += 1,
            }
        }
        Ok(items)
    }
}

/// Reads a line of a watch.
pub(super) fn watch_line(line: &[u8]) -> WatchLine {
    let Ok(text) = std::str::from_utf8(line) else {
        return WatchLine::Garbage("it is not text".to_owned());
    };
    let line: RawLine<'_> = match serde_json::from_str(text) {
        Ok(line) => line,
        Err(error) => {
            // Some servers end a watch with a bare status.
            return match serde_json::from_str::<Status>(text) {
                Ok(status) if status.code != 0 => WatchLine::Failed(status),
                _ => WatchLine::Garbage(format!("it is not a watch event: {}: {}", in_few_words(error), beginning(text))),
            };
        }
    };
    let verb = match line.kind.as_ref() {
        "ADDED" => Verb::Added,
        "MODIFIED" => Verb::Modified,
        "DELETED" => Verb::Deleted,
        "BOOKMARK" => {
            return match serde_json::from_str::<RawBookmark>(line.object.get()) {
                Ok(bookmark) if !bookmark.metadata.resource_version.is_empty() => {
                    WatchLine::Bookmark(bookmark.metadata.resource_version)
                }
                _ => WatchLine::Refused(format!("a bookmark without a version: {}", beginning(text))),
            };
        }
        "ERROR" => {
            return WatchLine::Failed(serde_json::from_str(line.object.get()).unwrap_or_default());
        }
        other => {
            return WatchLine::Refused(format!("an event of unknown type `{}`", beginning(other)));
        }
    };
    match object(line.object) {
        Ok(object) => WatchLine::Changed(verb, object),
        Err(cause) => WatchLine::Refused(cause),
    }
}

fn object(raw: &RawValue) -> Result<Object, String> {
    let text = raw.get();
    let refuse = |cause: &str| format!("an object ({cause}): {}", beginning(text));
    let RawObject { metadata } = serde_json::from_str(text).map_err(|error| refuse(&in_few_words(error)))?;
    if metadata.uid.is_empty() || metadata.name.is_empty() || metadata.resource_version.is_empty() {
        return Err(refuse("metadata.uid, name or resourceVersion is missing"));
    }
    Ok(Object {
        uid: metadata.uid.into(),
        namespace: metadata.namespace.into(),
        name: metadata.name.into(),
        version: metadata.resource_version.into(),
        json: one_line(text).into(),
    })
}

/// As it is, if it is on one line; else without the white space between its parts. A string in JSON holds no line break.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    let (mut quoted, mut escaped) = (false, false);
    Cow::Owned(
        text.chars()
            .filter(|letter| {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' if quoted => escaped = true,
                    '"' => quoted = !quoted,
                    _ => {}
                }
                quoted || !matches!(letter, ' ' | '\t' | '\n' | '\r')
            })
            .collect(),
    )
}

/// Enough of a text to find it again.
fn beginning(text: &str) -> String {
    let mut short: String = text.chars().take(200).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        r#"{"zeta":1,"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7","x":[1.50,"\u003c"]},"alpha":{}}"#;

    #[test]
    fn a_page_keeps_the_bytes_of_its_objects() {
        let text = format!(
            r#"{{"kind":"PodList","items":[{POD},{{"metadata":{{}}}}],"metadata":{{"resourceVersion":"9","continue":"t"}}}}"#
        );
        let page = page(text.as_bytes()).expect("a page");
        assert_eq!((page.version.as_str(), page.token.as_deref()), ("9", Some("t")));
        assert_eq!(page.objects.len(), 1);
        assert_eq!(&*page.objects[0].json, POD);
        assert_eq!((&*page.objects[0].uid, &*page.objects[0].namespace, &*page.objects[0].name), ("u", "n", "a"));
        assert_eq!(page.refused.len(), 1);
        assert!(page.refused[0].contains("missing field `name`"), "{:?}", page.refused);
    }

    #[test]
    fn a_list_of_nothing_may_be_null() {
        let page = page(br#"{"items":null,"metadata":{"resourceVersion":"9"}}"#).expect("a page");
        assert!(page.objects.is_empty());
    }

    #[test]
    fn what_is_left_out_is_counted_but_not_all_of_it_kept() {
        let items = vec!["1"; 1000].join(",");
        let text = format!(r#"{{"items":[{items},{POD}],"metadata":{{"resourceVersion":"9"}}}}"#);
        let page = page(text.as_bytes()).expect("a page");
        assert_eq!((page.objects.len(), page.refused.len(), page.refused_unnamed), (1, NAMED, 1000 - 20));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for (text, cause) in
            [("", "it is not a list"), ("<html>", "it is not a list"), (r#"{"items":[]}"#, "it has no metadata.resourceVersion")]
        {
            assert!(page(text.as_bytes()).expect_err(text).starts_with(cause), "{text}");
        }
        assert!(page(&[0xff]).is_err());
    }

    #[test]
    fn a_watch_event_keeps_the_bytes_of_its_object() {
        for line in [format!(r#"{{"type":"MODIFIED","object":{POD}}}"#), format!(r#"{{"object":{POD},"type":"MODIFIED"}}"#)] {
            let WatchLine::Changed(verb, object) = watch_line(line.as_bytes()) else { panic!("{line}") };
            assert_eq!((verb, &*object.json, &*object.version), (Verb::Modified, POD, "7"));
        }
    }

    #[test]
    fn the_other_lines_of_a_watch() {
        let bookmark = watch_line(br#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}"#);
        assert!(matches!(bookmark, WatchLine::Bookmark(version) if version == "12"));
        let error = watch_line(br#"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}"#);
        assert!(matches!(error, WatchLine::Failed(status) if status.code == 410 && status.reason == "Expired"));
        let status = watch_line(br#"{"kind":"Status","code":500,"message":"no"}"#);
        assert!(matches!(status, WatchLine::Failed(status) if status.code == 500));
        for (details, asked) in [(r#"{"retryAfterSeconds":7}"#, Some(7)), ("null", None), (r#"{"retryAfterSeconds":"x"}"#, None)]
        {
            let line = format!(r#"{{"type":"ERROR","object":{{"code":429,"details":{details}}}}}"#);
            let WatchLine::Failed(status) = watch_line(line.as_bytes()) else { panic!("{line}") };
            assert_eq!((status.code, status.retry_after().map(|wait| wait.as_secs())), (429, asked), "{line}");
        }
        assert!(matches!(watch_line(br#"{"type":"NEW","object":{}}"#), WatchLine::Refused(_)));
        assert!(matches!(watch_line(br#"{"type":"ADDED","object":{}}"#), WatchLine::Refused(_)));
        assert!(matches!(watch_line(br#"{"type":"ADDED","object":"#), WatchLine::Garbage(_)));
        assert!(matches!(watch_line(b"\xff\xfe"), WatchLine::Garbage(_)));
    }

    #[test]
    fn white_space_goes_only_when_there_are_line_breaks() {
        assert_eq!(one_line(r#"{ "a" : "b c" }"#), r#"{ "a" : "b c" }"#);
        assert_eq!(one_line("{\r\n\t\"a\" : \"b \\\" c\\\\\",\n \"d\": [1, 2]\n}"), r#"{"a":"b \" c\\","d":[1,2]}"#);
    }
}
