//! Whatever the API server sends as a list or a watch, in whatever pieces it comes.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use sluicebox_contract::{Announcement, Known, Notice, ObjectKind, Pod, Remembered, SubjectIds, UnixNanos};
use sluicebox_testkit::fuzz::{Dice, Fuzz};

use super::cut::{Cut, cut};
use super::lines::{Line, Lines};
use super::memory::{Bounds, Forms, Memory};
use super::read::{Object, WatchLine, page, watch_line};
use super::recall::Recall;
use super::typed::Typed;
use crate::Attributes;

const POD: &str = include_str!("../../fixtures/pods/everything.json");
const NGINX: &str = include_str!("../../fixtures/pods/nginx.json");
const SMALL: &str = r#"{"metadata":{"uid":"u","name":"a","namespace":"n","resourceVersion":"7"}}"#;

fn list() -> String {
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"9","continue":"t"}},"items":[{SMALL},{SMALL},{NGINX}]}}"#
    )
}

fn events() -> Vec<String> {
    let event = |kind: &str, object: &str| format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", object.trim());
    let mut lines: Vec<String> = ["ADDED", "MODIFIED", "DELETED"].map(|kind| event(kind, SMALL)).into();
    lines.push(event("BOOKMARK", r#"{"metadata":{"resourceVersion":"12"}}"#));
    lines.push(event("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#));
    lines.push(event("ADDED", POD));
    lines.push(r#"{"kind":"Status","status":"Failure","code":401,"reason":"Unauthorized"}"#.to_owned());
    lines
}

/// All of a watch.
fn watches() -> Fuzz {
    let events = events();
    Fuzz::of([events.concat(), events[..4].concat(), events[3].clone()]).longest(16 << 10)
}

/// As [`Lines`] is meant: all of it at once.
fn cut_at_once(input: &[u8], longest: usize) -> Vec<Line> {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let line = |line: &[u8]| match line {
        line if line.len() > longest => Some(Line::TooLong),
        line if line.iter().all(u8::is_ascii_whitespace) => None,
        line => Some(Line::Whole(line.to_vec().into())),
    };
    lines.into_iter().filter_map(line).collect()
}

fn cut_in_pieces(pieces: &[&[u8]], longest: usize) -> Vec<Line> {
    let (mut lines, mut cut) = (Lines::new(longest), Vec::new());
    for piece in pieces {
        lines.put(piece);
        cut.extend(std::iter::from_fn(|| lines.next()));
    }
    cut
}

#[test]
fn lines_are_the_same_however_their_bytes_come() {
    watches().and(["\n\n \n", "a\r\nb\n"]).run(|input, dice| {
        let longest = if dice.one_in(2) { dice.below(200) } else { 4 << 10 };
        assert_eq!(cut_in_pieces(&dice.pieces(input), longest), cut_at_once(input, longest));
    });
}

fn check_object(object: &Object, source: &[u8]) {
    assert!(!object.uid.is_empty() && !object.name.is_empty() && !object.version.is_empty(), "{object:?}");
    assert!(!object.json.contains(['\n', '\r']) && object.json.len() <= source.len());
    assert!(serde_json::from_str::<&RawValue>(&object.json).is_ok(), "what is passed on is JSON");
    // What is too deep for a parser that looks at everything, a number that it has no room for and half a character are passed on all the
    // same, as the API's own. Of two parts of one name it takes the last.
    if let Ok(value) = serde_json::from_str::<Value>(&object.json)
        && let Some(name) = value["metadata"]["name"].as_str()
    {
        assert!(*name == *object.name || source.windows(6).filter(|part| *part == b"\"name\"").count() > 1);
    }
}

#[test]
fn a_line_of_a_watch_is_an_object_or_is_refused_with_words() {
    let lines = events();
    Fuzz::of(lines).longest(16 << 10).words(["\"ADDED\"", "\"object\":{", "\"metadata\":{", "\"type\":"]).run(|input, _| {
        match watch_line(input) {
            WatchLine::Changed(_, object) => {
                check_object(&object, input);
            }
            WatchLine::Bookmark(version) => assert!(!version.is_empty()),
            WatchLine::Failed(status) => assert!((1..4000).contains(&status.describe().len())),
            WatchLine::Refused(words) | WatchLine::Garbage(words) => assert!((1..4000).contains(&words.len()), "{words}"),
        }
    });
}

#[test]
fn a_page_is_read_within_its_limits_or_refused_with_words() {
    let other = r#"{"metadata":{"resourceVersion":"1"},"items":null}"#;
    let laid_out = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&list()).unwrap()).unwrap();
    Fuzz::of([list(), laid_out, other.to_owned()]).longest(16 << 10).words(["\"items\":[", "\"metadata\":{"]).run(|input, _| {
        match page(input) {
            Ok(page) => {
                assert!(!page.version.is_empty() || page.token.is_some());
                assert!(page.refused.len() <= 20 && page.refused.iter().all(|words| (1..4000).contains(&words.len())));
                let bytes: usize = page.objects.iter().map(|object| object.json.len()).sum();
                assert!(bytes <= input.len());
                assert!(page.objects.iter().all(|object| !object.json.contains(['\n', '\r'])));
            }
            Err(words) => assert!((1..4000).contains(&words.len()), "{words}"),
        }
    });
}

#[test]
fn what_a_cut_page_says_is_what_it_would_have_said_whole() {
    let one = format!(r#"{{"metadata":{{"resourceVersion":"9","continue":"t"}},"items":[{}]}}"#, NGINX.trim());
    Fuzz::of([one]).longest(16 << 10).run(|input, dice| {
        let at = dice.below(input.len() + 1);
        let Some(Cut { version, token, identity }) = cut(&input[..at]) else { return };
        assert!(!version.is_empty() || token.as_ref().is_some_and(|token| !token.is_empty()));
        assert!(!identity.to_string().is_empty());
        let Ok(page) = page(input) else { return };
        // Parts that come twice are an error of the whole page, but not of its beginning.
        if let [object] = &page.objects[..] {
            assert!(version == page.version || input.windows(10).filter(|part| *part == b"\"metadata\"").count() > 2);
            let is_same = |one: &str, other: &str| one.is_empty() || one == other;
            let names = [(&identity.uid, &object.uid), (&identity.namespace, &object.namespace), (&identity.name, &object.name)];
            assert!(names.iter().all(|(one, other)| is_same(one, other)), "{identity:?} {object:?}");
        }
    });
}

fn typed(json: &str) -> Result<Typed, String> {
    crate::pods::convert::pod(json).map(Typed::from)
}

fn memory(dice: &mut Dice) -> (Memory, Bounds) {
    let bounds = Bounds { objects: dice.below(5), bytes: if dice.one_in(2) { dice.below(4000) } else { 1 << 20 } };
    let attributes: Attributes = serde_json::from_str(r#"{"app": "/metadata/labels/app", "all": "/metadata"}"#).unwrap();
    let forms =
        Forms { typed: dice.one_in(2).then_some(typed as _), json: dice.one_in(2), keep_json: dice.one_in(2), attributes };
    let recall = Recall::new(dice.one_in(2).then(|| remembered(dice)));
    (Memory::new(ObjectKind::Pod, bounds, forms, Arc::new(SubjectIds::default()), recall), bounds)
}

/// What was announced before: some with a name that another has as well, and some that are not there.
fn remembered(dice: &mut Dice) -> Remembered {
    let mut known = || {
        let name = *dice.pick(&["a", "b", "d"]).unwrap();
        let announcement = Announcement {
            kind: ObjectKind::Pod,
            uid: format!("u{}", dice.below(3)).into(),
            namespace: if dice.one_in(4) { "" } else { "n" }.into(),
            name: name.into(),
            version: dice.below(3).to_string().into(),
            attributes: Vec::new(),
            typed: dice.one_in(2).then(|| Pod::default().into()),
            json: dice.one_in(4).then(|| "{}".into()),
        };
        Known { announcement, told: None, to_all: dice.one_in(2) }
    };
    let objects = std::iter::repeat_with(&mut known).take(5).collect();
    Remembered { objects, ledger: Arc::default() }
}

/// An event is of a subject that exists, and each subject ends once.
fn check_notices(notices: &[Notice], subjects: &mut HashSet<u32>) {
    for notice in notices {
        match notice {
            Notice::Defined(subject) => drop(subjects.insert(subject.id.0)),
            Notice::Event(event) | Notice::Tracked(event, _) => {
                assert!(subjects.contains(&event.subject().expect("objects have one").0));
            }
            Notice::Forgotten(subject) => assert!(subjects.remove(&subject.0), "{subject:?} did not exist"),
            Notice::Listed => {}
        }
    }
}

#[test]
fn whatever_a_server_tells_of_objects_memory_stays_bounded_and_notices_make_sense() {
    let names = ["a", "b", "c"].map(|name| SMALL.replace("\"a\"", &format!("{name:?}")));
    Fuzz::of(names.iter().map(String::as_str).chain([NGINX])).run(|input, dice| {
        let (mut memory, bounds) = memory(dice);
        let (mut subjects, mut is_complete) = (HashSet::new(), false);
        for round in 0..dice.below(30) {
            let mut notices = Vec::new();
            let now = UnixNanos(round as u64);
            let json =
                if dice.one_in(4) { String::from_utf8_lossy(input).into_owned() } else { dice.pick(&names).unwrap().clone() };
            let json =
                json.replace("\"7\"", &format!("\"{}\"", dice.below(3))).replace("\"u\"", &format!("\"u{}\"", dice.below(2)));
            let kind = ["ADDED", "MODIFIED", "DELETED"][dice.below(3)];
            let line = watch_line(format!(r#"{{"type":"{kind}","object":{}}}"#, json.trim()).as_bytes());
            match (dice.below(8), line) {
                (0, _) => {
                    memory.begin_list();
                    let page =
                        page(format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{json},{}]}}"#, names[0]).as_bytes());
                    for object in page.into_iter().flat_map(|page| page.objects) {
                        memory.listed(object, now, &mut notices).unwrap();
                    }
                    if let Some(cut) =
                        cut(format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{}"#, names[1].trim_end_matches('}'))
                            .as_bytes())
                    {
                        memory.remains(&cut.identity);
                    }
                    memory.end_list(now, &mut notices).unwrap();
                    let listed = notices.iter().filter(|notice| matches!(notice, Notice::Listed)).count();
                    assert_eq!(listed, usize::from(!std::mem::replace(&mut is_complete, true)));
                }
                (1, _) => memory.repeat(now, &mut notices),
                (_, WatchLine::Changed(verb, object)) => memory.changed(verb, object, now, &mut notices).unwrap(),
                _ => {}
            }
            check_notices(&notices, &mut subjects);
            assert!(
                memory.objects() <= bounds.objects && memory.bytes() <= bounds.bytes,
                "{} {}",
                memory.objects(),
                memory.bytes()
            );
            assert_eq!(memory.objects(), subjects.len(), "what is not remembered has no subject");
            assert!(memory.objects() > 0 || memory.bytes() == 0);
            assert!(memory.take_refused().iter().all(|words| !words.is_empty()));
        }
    });
}
