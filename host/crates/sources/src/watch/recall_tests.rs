//! What is told at the start when it is remembered what was announced, as a script of both.

use sluicebox_contract::{Announced, Announcement, Known, Ledger, Pod, Remembered};

use super::super::cut::Identity;
use super::super::read::Verb;
use super::tests::{NOW, describe, list, object, typed, watch};
use super::*;

fn pods() -> Forms {
    Forms { typed: Some(typed), json: false, keep_json: false, attributes: Attributes::default() }
}

/// A pod as it was announced.
fn known(name: &str, uid: &str, version: &str) -> Known {
    let pod = Pod { name: format!("{name}-{version}"), ..Pod::default() };
    let announcement = Announcement {
        kind: ObjectKind::Pod,
        uid: uid.into(),
        namespace: "n".into(),
        name: name.into(),
        version: version.into(),
        attributes: Vec::new(),
        typed: Some(pod.into()),
        json: None,
    };
    Known { announcement, told: None, to_all: true }
}

fn unheard(known: Known) -> Known {
    Known { to_all: false, ..known }
}

fn begin(forms: Forms, objects: Vec<Known>) -> (Memory, Arc<Ledger>) {
    let ledger = Arc::<Ledger>::default();
    let recall = Recall::new(Some(Remembered { objects, ledger: Arc::clone(&ledger) }));
    (Memory::new(ObjectKind::Pod, Bounds { objects: 9, bytes: 1 << 20 }, forms, Arc::default(), recall), ledger)
}

#[test]
fn the_newest_version_is_the_largest_number() {
    let newest = |versions: &[&str]| {
        let objects = versions.iter().map(|version| known(version, version, version)).collect();
        Recall::new(Some(Remembered { objects, ledger: Arc::default() })).newest()
    };
    assert_eq!(newest(&["9", "10", "x"]).as_deref(), Some("10"));
    assert_eq!(newest(&["x"]), None);
    assert_eq!(Recall::default().newest(), None);
}

/// What is to be remembered since the last question.
fn written(ledger: &Ledger) -> Vec<String> {
    let words = |announced: &Announced| match announced {
        Announced::There(object) => Some(format!("{} {}-{}", object.uid, object.name, object.version)),
        Announced::Gone(uid) => Some(format!("no {uid}")),
        // It is not dealt with.
        Announced::Told(_) => None,
    };
    ledger.take().iter().filter_map(words).collect()
}

#[test]
fn the_first_list_tells_what_has_become_of_what_was_announced() {
    let announced = vec![known("same", "u1", "1"), known("new", "u2", "2"), known("gone", "u3", "3"), known("other", "u4", "4")];
    let (mut memory, ledger) = begin(pods(), announced);
    let now = [object("same", "u1", "1"), object("new", "u2", "5"), object("other", "u5", "6"), object("more", "u6", "7")];
    assert_eq!(
        list(&mut memory, &now),
        [
            "define 1 u1",
            "Listed 1 same-1 was same-1",
            "define 2 u2",
            "Listed 2 new-5 was new-2 *",
            "define 3 u4",
            "Deleted 3 other-4 was other-4 *",
            "forget 3",
            "define 4 u5",
            "Listed 4 other-6 *",
            "define 5 u6",
            "Listed 5 more-7 *",
            "define 6 u3",
            "Deleted 6 gone-3 was gone-3 *",
            "forget 6",
            "listed",
        ]
    );
    assert_eq!(
        written(&ledger),
        ["u2 new-5", "no u3", "no u4", "u5 other-6", "u6 more-7"],
        "what is as it was is not written again"
    );
    assert_eq!(memory.take_found(), Found { unchanged: 1, changed: 1, gone: 2 });
    assert_eq!(memory.take_found(), Found::default());
    assert_eq!(watch(&mut memory, Verb::Modified, object("same", "u1", "8")), ["Modified 1 same-8 was same-1 *"]);
    assert_eq!(watch(&mut memory, Verb::Deleted, object("more", "u6", "9")), ["Deleted 5 more-9 was more-7 *", "forget 5"]);
    assert_eq!(written(&ledger), ["u1 same-8", "no u6"]);
}

#[test]
fn who_has_not_heard_of_it_is_told_as_if_nobody_knew_it_but_hears_what_has_gone() {
    let announced = vec![unheard(known("same", "u1", "1")), unheard(known("gone", "u3", "3"))];
    let (mut memory, ledger) = begin(pods(), announced);
    let told = list(&mut memory, &[object("same", "u1", "1")]);
    assert_eq!(told, ["define 1 u1", "Listed 1 same-1 *", "define 2 u3", "Deleted 2 gone-3 was gone-3 *", "forget 2", "listed"]);
    assert_eq!(written(&ledger), ["u1 same-1", "no u3"]);
}

#[test]
fn what_was_told_after_it_was_announced_has_gone_as_it_was_told() {
    let told = |name: &str, uid: &str| {
        let later = known(name, uid, "2").announcement;
        Known { told: Some(later), ..known(name, uid, "1") }
    };
    let (mut memory, ledger) = begin(pods(), vec![told("gone", "u1"), told("there", "u2"), told("other", "u3")]);
    assert_eq!(memory.recall.newest().as_deref(), Some("2"));
    assert_eq!(
        list(&mut memory, &[object("there", "u2", "2"), object("other", "u4", "3")]),
        [
            "define 1 u2",
            "Listed 1 there-2 was there-1 *",
            "define 2 u3",
            "Deleted 2 other-2 was other-1 *",
            "forget 2",
            "define 3 u4",
            "Listed 3 other-3 *",
            "define 4 u1",
            "Deleted 4 gone-2 was gone-1 *",
            "forget 4",
            "listed",
        ]
    );
    assert_eq!(written(&ledger), ["no u1", "u2 there-2", "no u3", "u4 other-3"]);
}

#[test]
fn a_first_list_that_is_begun_again_tells_nothing_twice() {
    let (mut memory, _ledger) = begin(pods(), vec![known("a", "u1", "1"), known("b", "u2", "1"), known("c", "u3", "1")]);
    let mut notices = Vec::new();
    memory.begin_list();
    memory.listed(object("a", "u1", "1"), NOW, &mut notices).expect("an id");
    memory.listed(object("b", "u9", "7"), NOW, &mut notices).expect("an id");
    let told = describe(&mut notices);
    assert_eq!(
        told,
        [
            "define 1 u1",
            "Listed 1 a-1 was a-1",
            "define 2 u2",
            "Deleted 2 b-1 was b-1 *",
            "forget 2",
            "define 3 u9",
            "Listed 3 b-7 *"
        ]
    );
    let told = list(&mut memory, &[object("b", "u9", "7"), object("c", "u3", "2")]);
    assert_eq!(told, ["define 4 u3", "Listed 4 c-2 was c-1 *", "Deleted 1 a-1 was a-1 *", "forget 1", "listed"]);
}

#[test]
fn two_that_had_the_same_name_are_both_known() {
    let announced = vec![known("a", "u1", "1"), known("a", "u2", "2")];
    let (mut memory, _ledger) = begin(pods(), announced.clone());
    let told = list(&mut memory, &[object("a", "u2", "2")]);
    assert_eq!(told, ["define 1 u1", "Deleted 1 a-1 was a-1 *", "forget 1", "define 2 u2", "Listed 2 a-2 was a-2", "listed"]);
    let (mut memory, _ledger) = begin(pods(), announced);
    let told = list(&mut memory, &[]);
    assert_eq!(
        told,
        ["define 1 u1", "Deleted 1 a-1 was a-1 *", "forget 1", "define 2 u2", "Deleted 2 a-2 was a-2 *", "forget 2", "listed"]
    );
}

#[test]
fn those_that_had_the_same_name_have_gone_in_the_order_in_which_they_were() {
    let later = Known { told: Some(known("a", "u2", "11").announcement), ..known("a", "u2", "2") };
    let announced = vec![known("a", "u1", "12"), later, known("a", "u3", "9")];
    let order = |told: Vec<String>| told.into_iter().filter(|line| line.starts_with("Deleted")).collect::<Vec<_>>();
    let gone = ["Deleted 1 a-9 was a-9 *", "Deleted 2 a-11 was a-2 *", "Deleted 3 a-12 was a-12 *"];
    for there in [vec![], vec![object("a", "u4", "13")]] {
        let (mut memory, _ledger) = begin(pods(), announced.clone());
        assert_eq!(order(list(&mut memory, &there)), gone);
    }
}

#[test]
fn what_could_not_be_read_in_the_list_has_not_gone() {
    let (mut memory, _ledger) = begin(pods(), vec![known("a", "u1", "1"), known("b", "u2", "1")]);
    let identity = |name: &str, uid: &str| Identity { namespace: "n".into(), name: name.into(), uid: uid.into() };
    let mut notices = Vec::new();
    memory.begin_list();
    memory.remains(&identity("a", "u1"));
    memory.remains(&identity("b", "u9"));
    memory.end_list(NOW, &mut notices).expect("an id");
    assert_eq!(describe(&mut notices), ["define 1 u2", "Deleted 1 b-1 was b-1 *", "forget 1", "listed"]);
    // Another list has it no more.
    let (mut other, _ledger) = begin(pods(), vec![known("a", "u1", "1")]);
    other.begin_list();
    other.remains(&identity("a", ""));
    other.end_list(NOW, &mut notices).expect("an id");
    assert_eq!(describe(&mut notices), ["listed"]);
    assert_eq!(list(&mut other, &[]), ["define 1 u1", "Deleted 1 a-1 was a-1 *", "forget 1"]);
    // Its next event is compared with what was announced.
    assert_eq!(watch(&mut memory, Verb::Modified, object("a", "u1", "2")), ["define 2 u1", "Modified 2 a-2 was a-1 *"]);
}

#[test]
fn of_what_is_told_as_json_nothing_before_is_told_and_what_has_gone_is_its_identity() {
    let forms = Forms { typed: None, json: true, keep_json: false, attributes: Attributes::default() };
    let plain = |known: Known| Known { announcement: Announcement { typed: None, ..known.announcement }, ..known };
    let (mut memory, ledger) = begin(forms, vec![plain(known("same", "u1", "1")), plain(known("gone", "u2", "1"))]);
    let told = list(&mut memory, &[object("same", "u1", "1")]);
    assert_eq!(
        told,
        ["define 1 u1", "Listed 1 json Some(\"same-1\")", "define 2 u2", "Deleted 2 json None *", "forget 2", "listed"]
    );
    assert_eq!(written(&ledger), ["no u2"]);
}

#[test]
fn both_forms_are_announced_together() {
    let (mut memory, ledger) = begin(Forms { json: true, ..pods() }, Vec::new());
    let mut notices = Vec::new();
    memory.changed(Verb::Added, object("a", "u1", "1"), NOW, &mut notices).expect("an id");
    let Some(Notice::Tracked(_, json)) = notices.pop() else { panic!("two forms") };
    assert_eq!(describe(&mut notices), ["define 1 u1", "Added 1 a-1 *"]);
    assert_eq!(written(&ledger), [""; 0], "one form has not been dealt with");
    json.done();
    assert_eq!(written(&ledger), ["u1 a-1"]);
}

#[test]
fn what_nobody_can_be_told_is_not_announced_and_not_remembered_for_ever() {
    let without = |known: Known| Known { announcement: Announcement { typed: None, ..known.announcement }, ..known };
    let (mut memory, ledger) = begin(pods(), vec![without(known("gone", "u1", "1"))]);
    assert_eq!(list(&mut memory, &[object("broken", "u2", "1")]), ["define 1 u2", "define 2 u1", "forget 2", "listed"]);
    assert_eq!(written(&ledger), ["no u1"]);
    // Once it can be read, it is.
    assert_eq!(watch(&mut memory, Verb::Modified, object("broken", "u2", "2")), [""; 0]);
    let whole = Object { json: "fine".into(), ..object("broken", "u2", "3") };
    assert_eq!(watch(&mut memory, Verb::Modified, whole), ["Modified 1 fine *"]);
    assert_eq!(written(&ledger), ["u2 broken-3"]);
}

#[test]
fn attributes_that_are_told_otherwise_are_remembered_anew() {
    let attributes = serde_json::from_str(r#"{"zone": "/zone"}"#).expect("attributes");
    let (mut memory, ledger) = begin(Forms { attributes, ..pods() }, vec![known("a", "u1", "1")]);
    let object = Object { json: r#"{"zone":"z"}"#.into(), ..object("a", "u1", "1") };
    let told = list(&mut memory, &[object]);
    assert_eq!(told, ["define 1 u1 zone=z", r#"Listed 1 {"zone":"z"} was {"zone":"z"} *"#, "listed"]);
    assert_eq!(written(&ledger), ["u1 a-1"]);
}

#[test]
fn what_is_repeated_announces_nothing() {
    let (mut memory, ledger) = begin(pods(), Vec::new());
    watch(&mut memory, Verb::Added, object("a", "u1", "1"));
    assert_eq!(written(&ledger), ["u1 a-1"]);
    let mut notices = Vec::new();
    memory.repeat(NOW, &mut notices);
    assert_eq!(describe(&mut notices), ["Modified 1 a-1 was a-1"]);
    assert_eq!(written(&ledger), [""; 0]);
}
