//! A copy of a pulled module comes back as it was, or not at all; and copies take no more room than they may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use sluicebox_contract::UnixNanos;
use sluicebox_store::{Copies, Copy, StoreError};

const MOST: u64 = 1 << 20;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Copies {
        self.within(MOST)
    }

    fn within(&self, bytes: u64) -> Copies {
        Copies::open(&self.0.path().join("state"), bytes).unwrap()
    }

    fn file(&self, ending: &str) -> PathBuf {
        let files = fs::read_dir(self.0.path().join("state/pulled")).unwrap().map(|file| file.unwrap().path());
        let found: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

fn copy(reference: &str, component: &[u8], second: u64) -> Copy {
    Copy {
        reference: reference.to_owned(),
        manifest: "{\"schemaVersion\": 2}".to_owned(),
        component: digest(component),
        pulled_at: UnixNanos(second * 1_000_000_000),
    }
}

fn digest(component: &[u8]) -> String {
    format!("{:x}", Sha256::digest(component))
}

fn used(references: &[&str]) -> BTreeSet<String> {
    references.iter().map(|reference| (*reference).to_owned()).collect()
}

#[test]
fn what_was_kept_comes_back_after_a_restart() {
    let place = Place::new();
    assert_eq!(place.open().find("oci://a/b:1").unwrap(), None);
    let kept = copy("oci://a/b:1", b"component", 1);
    place.open().keep(&kept, b"component", &used(&[])).unwrap();
    assert_eq!(place.open().find("oci://a/b:1").unwrap(), Some(kept.clone()));
    assert_eq!(place.open().component(&kept.component, MOST).unwrap().unwrap(), b"component");
    assert_eq!(place.open().find("oci://a/b:2").unwrap(), None);
    assert_eq!(place.open().component(&digest(b"other"), MOST).unwrap(), None);
}

#[test]
fn a_tag_that_moved_is_known_as_it_was_told_last() {
    let place = Place::new();
    place.open().keep(&copy("oci://a/b:1", b"old", 1), b"old", &used(&[])).unwrap();
    place.open().keep(&copy("oci://a/b:1", b"new", 2), b"new", &used(&[])).unwrap();
    let found = place.open().find("oci://a/b:1").unwrap().unwrap();
    assert_eq!(found.component, digest(b"new"));
}

#[test]
fn what_was_accepted_stays_until_another_one_is() {
    let place = Place::new();
    let [one, two, three] = [(b"one", 1), (b"two", 2), (b"3rd", 3)].map(|(text, second)| {
        let manifest = format!("{{\"schemaVersion\": {second}}}");
        (Copy { manifest, ..copy("a", text, second) }, text)
    });
    let is = |wanted: &Copy| {
        let wanted = wanted.clone();
        move |copy: &Copy| *copy == wanted
    };
    let copies = place.open();
    copies.keep(&one.0, one.1, &used(&[])).unwrap();
    assert_eq!(copies.accepted("a").unwrap(), None);
    copies.accept("a", is(&two.0)).unwrap();
    assert_eq!(copies.accepted("a").unwrap(), None, "it is another one");
    copies.accept("a", is(&one.0)).unwrap();
    assert_eq!((copies.find("a").unwrap(), copies.accepted("a").unwrap()), (Some(one.0.clone()), Some(one.0.clone())));
    // Others come and nobody runs them.
    for (other, component) in [&two, &three] {
        copies.keep(other, *component, &used(&[])).unwrap();
        assert_eq!(place.open().find("a").unwrap().as_ref(), Some(other));
        assert_eq!(place.open().accepted("a").unwrap().as_ref(), Some(&one.0));
    }
    copies.accept("a", is(&three.0)).unwrap();
    assert_eq!(place.open().accepted("a").unwrap().as_ref(), Some(&three.0));
    // What was accepted comes back: there is nothing else any more.
    copies.keep(&two.0, two.1, &used(&[])).unwrap();
    copies.keep(&three.0, three.1, &used(&[])).unwrap();
    assert_eq!((copies.find("a").unwrap(), copies.accepted("a").unwrap()), (Some(three.0.clone()), Some(three.0)));
}

#[test]
fn what_was_accepted_makes_no_room_for_what_was_not() {
    let place = Place::new();
    let (one, two, three) = (vec![1; 4000], vec![2; 4000], vec![3; 4000]);
    let copies = place.within(10_000);
    copies.keep(&copy("a", &one, 1), &one, &used(&["a"])).unwrap();
    copies.accept("a", |_| true).unwrap();
    // Each takes the place of the one before that nobody runs.
    for (component, second) in [(&two, 2), (&three, 3), (&two, 4)] {
        let mut other = copy("a", component, second);
        other.manifest.push(' ');
        copies.keep(&other, component, &used(&["a"])).unwrap();
        assert!(copies.component(&digest(component), MOST).unwrap().is_some());
        assert!(copies.component(&digest(&one), MOST).unwrap().is_some());
    }
}

#[test]
fn a_damaged_component_is_refused_and_taken_away() {
    let place = Place::new();
    let kept = copy("oci://a/b:1", b"component", 1);
    place.open().keep(&kept, b"component", &used(&[])).unwrap();
    fs::write(place.file(".wasm"), b"c0mponent").unwrap();
    let error = place.open().component(&kept.component, MOST).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { reason, .. } if reason.contains("digest")), "{error}");
    assert_eq!(place.open().component(&kept.component, MOST).unwrap(), None);
    place.open().keep(&kept, b"component", &used(&[])).unwrap();
    assert_eq!(place.open().component(&kept.component, MOST).unwrap().unwrap(), b"component");
}

#[test]
fn a_damaged_description_is_refused_and_taken_away() {
    let place = Place::new();
    for text in
        ["", "{}", "null", r#"{"reference": "oci://a/b:1", "manifest": "", "component": "../x", "pulled-at-unix-nanos": 1}"#]
    {
        place.open().keep(&copy("oci://a/b:1", b"component", 1), b"component", &used(&[])).unwrap();
        fs::write(place.file(".json"), text).unwrap();
        assert!(matches!(place.open().find("oci://a/b:1"), Err(StoreError::Damaged { .. })), "{text}");
        assert_eq!(place.open().find("oci://a/b:1").unwrap(), None);
    }
}

#[test]
fn a_description_of_something_else_is_none() {
    let place = Place::new();
    place.open().keep(&copy("oci://a/b:1", b"component", 1), b"component", &used(&[])).unwrap();
    let text = fs::read_to_string(place.file(".json")).unwrap().replace("oci://a/b:1", "oci://a/b:2");
    fs::write(place.file(".json"), text).unwrap();
    assert!(matches!(place.open().find("oci://a/b:1"), Err(StoreError::Damaged { .. })));
}

#[test]
fn no_other_component_is_kept_under_a_digest() {
    let place = Place::new();
    let kept = copy("oci://a/b:1", b"component", 1);
    assert!(matches!(place.open().keep(&kept, b"another", &used(&[])), Err(StoreError::Damaged { .. })));
    assert!(matches!(place.open().component("../../etc/passwd", MOST), Err(StoreError::Unknown(_))));
}

#[test]
fn what_is_not_used_makes_room_the_oldest_first() {
    let place = Place::new();
    let (one, two, three) = (vec![1; 4000], vec![2; 4000], vec![3; 4000]);
    // Two of them with their descriptions.
    let copies = place.within(10_000);
    copies.keep(&copy("one", &one, 1), &one, &used(&["one", "two"])).unwrap();
    copies.keep(&copy("two", &two, 2), &two, &used(&["one", "two"])).unwrap();
    copies.keep(&copy("three", &three, 3), &three, &used(&["two", "three"])).unwrap();
    assert_eq!(copies.find("one").unwrap(), None);
    assert_eq!(copies.component(&digest(&one), MOST).unwrap(), None);
    assert!(copies.find("two").unwrap().is_some());
    assert!(copies.component(&digest(&three), MOST).unwrap().is_some());
}

#[test]
fn what_is_used_stays_and_the_new_one_does_without() {
    let place = Place::new();
    let (one, two) = (vec![1; 4000], vec![2; 4000]);
    let copies = place.within(6000);
    copies.keep(&copy("one", &one, 1), &one, &used(&["one", "two"])).unwrap();
    assert!(matches!(copies.keep(&copy("two", &two, 2), &two, &used(&["one", "two"])), Err(StoreError::TooLarge { .. })));
    assert!(copies.component(&digest(&one), MOST).unwrap().is_some());
    assert!(matches!(copies.keep(&copy("big", &[0; 7000], 3), &[0; 7000], &used(&[])), Err(StoreError::TooLarge { .. })));
}

#[test]
fn the_version_before_makes_room_before_anything_else() {
    let place = Place::new();
    let (old, new, other) = (vec![1; 4000], vec![2; 4000], vec![3; 4000]);
    let copies = place.within(10_000);
    copies.keep(&copy("moving", &old, 1), &old, &used(&[])).unwrap();
    copies.keep(&copy("moving", &new, 2), &new, &used(&[])).unwrap();
    copies.keep(&copy("other", &other, 3), &other, &used(&[])).unwrap();
    assert_eq!(copies.component(&digest(&old), MOST).unwrap(), None);
    assert!(copies.find("moving").unwrap().is_some());
    assert!(copies.component(&digest(&new), MOST).unwrap().is_some());
}
