//! What is told for what is heard, as a script of both.

use sluicebox_contract::{Event, Node, Pod, Service};

use super::*;

pub(super) const NOW: UnixNanos = UnixNanos(1);

pub(super) fn typed(json: &str) -> Result<Typed, String> {
    if json.contains("broken") { Err("broken".to_owned()) } else { Ok(Pod { name: json.to_owned(), ..Pod::default() }.into()) }
}

fn memory(objects: usize) -> Memory {
    let forms = Forms { typed: Some(typed), json: false, keep_json: false, attributes: Attributes::default() };
    Memory::new(ObjectKind::Pod, Bounds { objects, bytes: 1 << 20 }, forms, Arc::default(), Recall::default())
}

pub(super) fn object(name: &str, uid: &str, version: &str) -> Object {
    Object {
        uid: uid.into(),
        namespace: "n".into(),
        name: name.into(),
        version: version.into(),
        json: format!("{name}-{version}").into(),
    }
}

/// What is tracked has a star, and is dealt with.
pub(super) fn describe(notices: &mut Vec<Notice>) -> Vec<String> {
    notices.drain(..).map(describe_one).collect()
}

fn describe_one(notice: Notice) -> String {
    match notice {
        Notice::Tracked(event, receipt) => {
            receipt.done();
            format!("{} *", describe_one(Notice::Event(event)))
        }
        Notice::Defined(subject) => {
            let pairs = subject.attributes.iter().map(|(name, value)| format!("{name}={value}"));
            let words: Vec<String> = std::iter::once(subject.uid.clone()).chain(pairs).collect();
            format!("define {} {}", subject.id.0, words.join(" "))
        }
        Notice::Event(Event::Pod(event)) => {
            let previous = event.previous.map(|pod| format!(" was {}", pod.name)).unwrap_or_default();
            format!("{:?} {} {}{previous}", event.change, event.subject.0, event.pod.name)
        }
        Notice::Event(Event::Service(event)) => {
            let previous = event.previous.map(|service| format!(" was {}", service.name)).unwrap_or_default();
            format!("{:?} {} service {}{previous}", event.change, event.subject.0, event.service.name)
        }
        Notice::Event(Event::Node(event)) => {
            let previous = event.previous.map(|node| format!(" was {}", node.name)).unwrap_or_default();
            format!("{:?} {} node {}{previous}", event.change, event.subject.0, event.node.name)
        }
        Notice::Event(Event::Object(event)) => format!("{:?} {} json {:?}", event.change, event.subject.0, event.json),
        Notice::Event(event) => format!("{event:?}"),
        Notice::Forgotten(id) => format!("forget {}", id.0),
        Notice::Listed => "listed".to_owned(),
    }
}

/// Lists these objects from beginning to end.
pub(super) fn list(memory: &mut Memory, objects: &[Object]) -> Vec<String> {
    let mut notices = Vec::new();
    memory.begin_list();
    for object in objects {
        memory.listed(object.clone(), NOW, &mut notices).expect("an id");
    }
    memory.end_list(NOW, &mut notices).expect("an id");
    describe(&mut notices)
}

pub(super) fn watch(memory: &mut Memory, verb: Verb, object: Object) -> Vec<String> {
    let mut notices = Vec::new();
    memory.changed(verb, object, NOW, &mut notices).expect("an id");
    describe(&mut notices)
}

#[test]
fn the_first_list_is_told_as_listed() {
    let mut memory = memory(9);
    let told = list(&mut memory, &[object("a", "u1", "1"), object("b", "u2", "2")]);
    assert_eq!(told, ["define 1 u1", "Listed 1 a-1", "define 2 u2", "Listed 2 b-2", "listed"]);
}

#[test]
fn a_first_list_that_is_begun_again_repeats_nothing_and_misses_nothing() {
    let mut memory = memory(9);
    let mut notices = Vec::new();
    memory.begin_list();
    memory.listed(object("a", "u1", "1"), NOW, &mut notices).expect("an id");
    memory.listed(object("b", "u2", "1"), NOW, &mut notices).expect("an id");
    assert_eq!(describe(&mut notices).len(), 4);
    let told = list(&mut memory, &[object("b", "u2", "1"), object("c", "u3", "3")]);
    assert_eq!(told, ["define 3 u3", "Listed 3 c-3", "Deleted 1 a-1 was a-1", "forget 1", "listed"]);
}

#[test]
fn a_later_list_tells_the_difference() {
    let mut memory = memory(9);
    list(
        &mut memory,
        &[object("same", "u1", "1"), object("new", "u2", "2"), object("gone", "u3", "3"), object("other", "u4", "4")],
    );
    let told = list(
        &mut memory,
        &[object("same", "u1", "1"), object("new", "u2", "5"), object("other", "u5", "6"), object("more", "u6", "7")],
    );
    assert_eq!(
        told,
        [
            "Modified 2 new-5 was new-2",
            "Deleted 4 other-4 was other-4",
            "forget 4",
            "define 5 u5",
            "Added 5 other-6",
            "define 6 u6",
            "Added 6 more-7",
            "Deleted 3 gone-3 was gone-3",
            "forget 3",
        ]
    );
}

#[test]
fn a_watch_is_told_with_what_was_before() {
    let mut memory = memory(9);
    assert_eq!(watch(&mut memory, Verb::Added, object("a", "u1", "1")), ["define 1 u1", "Added 1 a-1"]);
    assert_eq!(watch(&mut memory, Verb::Added, object("a", "u1", "1")), [""; 0]);
    assert_eq!(watch(&mut memory, Verb::Modified, object("a", "u1", "2")), ["Modified 1 a-2 was a-1"]);
    assert_eq!(watch(&mut memory, Verb::Deleted, object("a", "u1", "3")), ["Deleted 1 a-3 was a-2", "forget 1"]);
    assert_eq!((memory.objects(), memory.bytes()), (0, 0));
}

#[test]
fn the_same_name_with_another_uid_is_another_object() {
    let mut memory = memory(9);
    watch(&mut memory, Verb::Added, object("a", "u1", "1"));
    let told = watch(&mut memory, Verb::Added, object("a", "u2", "2"));
    assert_eq!(told, ["Deleted 1 a-1 was a-1", "forget 1", "define 2 u2", "Added 2 a-2"]);
    // The old one's end is told late and harms the new one not.
    let told = watch(&mut memory, Verb::Deleted, object("a", "u1", "3"));
    assert_eq!(told, ["define 3 u1", "Deleted 3 a-3", "forget 3"]);
    assert_eq!(watch(&mut memory, Verb::Modified, object("a", "u2", "4")), ["Modified 2 a-4 was a-2"]);
}

/// B3: a change of what was not known is told.
#[test]
fn b3_a_change_of_what_was_not_known_is_told() {
    let mut memory = memory(9);
    assert_eq!(watch(&mut memory, Verb::Modified, object("a", "u1", "1")), ["define 1 u1", "Modified 1 a-1"]);
}

#[test]
fn what_does_not_fit_is_told_but_not_remembered() {
    let mut memory = memory(1);
    watch(&mut memory, Verb::Added, object("a", "u1", "1"));
    assert_eq!(watch(&mut memory, Verb::Added, object("b", "u2", "2")), ["define 2 u2", "Added 2 b-2", "forget 2"]);
    assert_eq!(watch(&mut memory, Verb::Modified, object("b", "u2", "3")), ["define 3 u2", "Modified 3 b-3", "forget 3"]);
    assert_eq!(watch(&mut memory, Verb::Deleted, object("b", "u2", "4")), ["define 4 u2", "Deleted 4 b-4", "forget 4"]);
    assert_eq!(memory.take_uncached(), 2);
    assert_eq!(memory.take_uncached(), 0);
    assert_eq!(watch(&mut memory, Verb::Modified, object("a", "u1", "5")), ["Modified 1 a-5 was a-1"]);
}

#[test]
fn an_object_that_outgrows_the_bytes_is_no_longer_remembered() {
    let mut memory = memory(9);
    watch(&mut memory, Verb::Added, object("a", "u1", "1"));
    memory.bounds.bytes = memory.bytes();
    let long = "2".repeat(100);
    let told = watch(&mut memory, Verb::Modified, object("a", "u1", &long));
    assert_eq!(told, [format!("Modified 1 a-{long} was a-1"), "forget 1".to_owned()]);
    assert_eq!((memory.objects(), memory.bytes()), (0, 0));
}

#[test]
fn a_pod_that_is_not_understood_is_left_out_and_named() {
    let mut memory = memory(9);
    assert_eq!(watch(&mut memory, Verb::Added, object("broken", "u1", "1")), ["define 1 u1"]);
    assert_eq!(memory.take_refused(), ["pod n/broken: broken"]);
    assert_eq!(watch(&mut memory, Verb::Added, object("fine", "u2", "1")), ["define 2 u2", "Added 2 fine-1"]);
}

#[test]
fn what_is_kept_as_json_can_be_repeated() {
    let forms = Forms { typed: None, json: true, keep_json: true, attributes: Attributes::default() };
    let mut memory =
        Memory::new(ObjectKind::Node, Bounds { objects: 9, bytes: 1 << 20 }, forms, Arc::default(), Recall::default());
    list(&mut memory, &[object("a", "u1", "1"), object("b", "u2", "2")]);
    let mut notices = Vec::new();
    memory.repeat(NOW, &mut notices);
    assert_eq!(describe(&mut notices), ["Modified 1 json Some(\"a-1\")", "Modified 2 json Some(\"b-2\")"]);
    assert_eq!(list(&mut memory, &[object("b", "u2", "2")]), ["Deleted 1 json Some(\"a-1\")", "forget 1"]);
}

#[test]
fn both_forms_are_told_if_both_are_wanted() {
    let forms = Forms { typed: Some(typed), json: true, keep_json: false, attributes: Attributes::default() };
    let mut memory =
        Memory::new(ObjectKind::Pod, Bounds { objects: 9, bytes: 1 << 20 }, forms, Arc::default(), Recall::default());
    let told = watch(&mut memory, Verb::Added, object("a", "u1", "1"));
    assert_eq!(told, ["define 1 u1", "Added 1 a-1", "Added 1 json Some(\"a-1\")"]);
    // The JSON of what vanishes unseen is not kept: the typed pod is.
    assert_eq!(list(&mut memory, &[]), ["Deleted 1 a-1 was a-1", "Deleted 1 json None", "forget 1", "listed"]);
}

fn memory_of(kind: ObjectKind, forms: Forms) -> Memory {
    Memory::new(kind, Bounds { objects: 9, bytes: 1 << 20 }, forms, Arc::default(), Recall::default())
}

#[test]
fn services_and_nodes_are_told_with_what_was_before() {
    let service: ReadTyped = |json| Ok(Service { name: json.to_owned(), ..Service::default() }.into());
    let node: ReadTyped = |json| Ok(Node { name: json.to_owned(), ..Node::default() }.into());
    for (kind, read, noun) in [(ObjectKind::Service, service, "service"), (ObjectKind::Node, node, "node")] {
        let forms = Forms { typed: Some(read), json: false, keep_json: false, attributes: Attributes::default() };
        let mut memory = memory_of(kind, forms);
        let told = watch(&mut memory, Verb::Added, object("a", "u1", "1"));
        assert_eq!(told, ["define 1 u1".to_owned(), format!("Added 1 {noun} a-1")]);
        let told = watch(&mut memory, Verb::Modified, object("a", "u1", "2"));
        assert_eq!(told, [format!("Modified 1 {noun} a-2 was a-1")]);
        let mut notices = Vec::new();
        memory.repeat(NOW, &mut notices);
        assert_eq!(describe(&mut notices), [format!("Modified 1 {noun} a-2 was a-2")]);
        assert_eq!(list(&mut memory, &[]), [format!("Deleted 1 {noun} a-2 was a-2"), "forget 1".to_owned(), "listed".to_owned()]);
    }
}

fn labelled(version: &str, label: &str) -> Object {
    Object { json: format!(r#"{{"metadata":{{"labels":{{"zone":{label}}}}}}}"#).into(), ..object("a", "u1", version) }
}

#[test]
fn a_subject_is_defined_again_when_its_attributes_have_changed() {
    let attributes = serde_json::from_str(r#"{"zone": "/metadata/labels/zone"}"#).expect("attributes");
    let mut memory = memory_of(ObjectKind::Pod, Forms { typed: Some(typed), json: false, keep_json: false, attributes });
    let told = |told: Vec<String>| {
        told.into_iter().map(|line| line.split(" {").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(watch(&mut memory, Verb::Added, labelled("1", "\"a\""))), ["define 1 u1 zone=a", "Added 1"]);
    assert_eq!(told(watch(&mut memory, Verb::Modified, labelled("2", "\"a\""))), ["Modified 1"]);
    assert_eq!(told(watch(&mut memory, Verb::Modified, labelled("3", "\"b\""))), ["define 1 u1 zone=b", "Modified 1"]);
    assert_eq!(told(watch(&mut memory, Verb::Modified, labelled("4", "null"))), ["define 1 u1", "Modified 1"]);
    assert_eq!(told(watch(&mut memory, Verb::Deleted, labelled("5", "7"))), ["define 1 u1 zone=7", "Deleted 1", "forget 1"]);
    assert_eq!((memory.objects(), memory.bytes(), memory.take_refused().len()), (0, 0, 0));
}

#[test]
fn an_attribute_that_is_too_long_is_named() {
    let attributes = serde_json::from_str(r#"{"zone": "/metadata/labels/zone"}"#).expect("attributes");
    let mut memory = memory_of(ObjectKind::Node, Forms { typed: None, json: false, keep_json: false, attributes });
    let long = Object { namespace: "".into(), ..labelled("1", &format!("\"{}\"", "x".repeat(5000))) };
    assert_eq!(watch(&mut memory, Verb::Added, long), ["define 1 u1"]);
    assert_eq!(memory.take_refused(), ["node a: the attribute `zone`: it has 5000 bytes, which is more than 4096"]);
}
