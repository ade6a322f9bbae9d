//! A person asks for letters to be tried again, the collector takes them; nothing is lost in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;

use sluicebox_contract::{DeadLetter, DeadLetters as _, Entry, Held, Message, ModuleIdentity, UnixNanos};
use sluicebox_store::{Id, LetterBounds, Letters, StoreError};

const BOUNDS: LetterBounds = LetterBounds { letters: 200, bytes: 64 << 20 };

fn letter(reason: &str, bytes: usize) -> DeadLetter {
    let entry = Entry::Message(Message { body: vec![b'x'; bytes], ..Message::default() });
    let held = Held::Entry { sink: "out".to_owned(), observed_at: UnixNanos(5), entry };
    let module = ModuleIdentity::default();
    DeadLetter { at: UnixNanos(7), lane: "shop".to_owned(), module, reason: reason.to_owned(), replays: 0, held }
}

/// The collector's view, the person's view, and the ids.
fn place(reasons: &[&str]) -> (tempfile::TempDir, Letters, Letters, Vec<Id>) {
    let folder = tempfile::tempdir().unwrap();
    let open = || Letters::open(&folder.path().join("state"), BOUNDS).unwrap();
    let (mut collector, person) = (open(), open());
    for reason in reasons {
        collector.keep(&letter(reason, 1)).unwrap();
    }
    let ids = person.list().unwrap().into_iter().filter_map(|listed| listed.id).collect();
    (folder, collector, person, ids)
}

#[test]
fn what_is_asked_for_comes_oldest_first_until_it_is_dealt_with() {
    let (_folder, collector, person, ids) = place(&["one", "two", "three"]);
    assert!(collector.asked().unwrap().is_empty());
    person.ask_for_replay(ids[2]).unwrap();
    person.ask_for_replay(ids[0]).unwrap();
    person.ask_for_replay(ids[0]).unwrap();
    let asked =
        || collector.asked().unwrap().into_iter().map(|asked| (asked.id, asked.letter.unwrap().reason)).collect::<Vec<_>>();
    let expected = vec![(ids[0], "one".to_owned()), (ids[2], "three".to_owned())];
    assert_eq!(asked(), expected);
    assert_eq!(asked(), expected, "nobody has said what became of them");
    assert_eq!(collector.held().0, 1);
    collector.replayed(ids[0]).unwrap();
    assert_eq!(asked().len(), 1);
    assert!(!person.is_asked_for(ids[0]) && matches!(person.read(ids[0]), Err(StoreError::Unknown(_))));
}

#[test]
fn what_dies_again_has_its_old_id_and_its_new_reason() {
    let (_folder, collector, person, ids) = place(&["one", "two"]);
    person.ask_for_replay(ids[0]).unwrap();
    let mut dead = collector.asked().unwrap().remove(0).letter.unwrap();
    dead.reason = "still no good, and longer".to_owned();
    dead.replays += 1;
    collector.returned(ids[0], &dead).unwrap();
    let again = person.read(ids[0]).unwrap();
    assert_eq!((again.reason.as_str(), again.replays), ("still no good, and longer", 1));
    assert!(!person.is_asked_for(ids[0]) && collector.asked().unwrap().is_empty());
    let bytes: u64 = person.list().unwrap().iter().map(|listed| listed.bytes).sum();
    assert_eq!(collector.held(), (2, bytes));
}

/// Whoever has asked for it would take it for one that went well.
#[test]
fn what_died_again_a_moment_ago_does_not_go_although_it_is_the_oldest() {
    let (folder, person, _, ids) = place(&["one", "two"]);
    person.ask_for_replay(ids[0]).unwrap();
    let mut collector =
        Letters::open(&folder.path().join("state"), LetterBounds { letters: 2, ..LetterBounds::default() }).unwrap();
    collector.asked().unwrap();
    collector.returned(ids[0], &letter("again", 0)).unwrap();
    collector.keep(&letter("three", 0)).unwrap();
    collector.keep(&letter("four", 0)).unwrap();
    assert_eq!(person.read(ids[0]).unwrap().reason, "again");
    assert_eq!(collector.held().0, 2);
}

#[test]
fn a_letter_for_whose_new_reason_there_is_no_room_is_kept_as_it_was() {
    let (folder, collector, person, ids) = place(&["one", "two"]);
    person.ask_for_replay(ids[0]).unwrap();
    let small = Letters::open(&folder.path().join("state"), LetterBounds { bytes: 100, ..BOUNDS }).unwrap();
    assert!(matches!(small.returned(ids[0], &letter("why", 1000)), Err(StoreError::TooLarge { .. })));
    assert!(collector.asked().unwrap().is_empty() && !person.is_asked_for(ids[0]));
    assert_eq!(person.read(ids[0]).unwrap().reason, "one");
    assert_eq!(collector.held().0, 2);
}

#[test]
fn a_person_can_think_better_of_it() {
    let (_folder, collector, person, ids) = place(&["one"]);
    person.ask_for_replay(ids[0]).unwrap();
    assert!(person.list().unwrap()[0].asked_for);
    person.withdraw(ids[0]).unwrap();
    assert!(collector.asked().unwrap().is_empty() && !person.list().unwrap()[0].asked_for);
    assert!(matches!(person.withdraw(ids[0]), Err(StoreError::Unknown(_))));
    person.ask_for_replay(ids[0]).unwrap();
    person.remove(ids[0]).unwrap();
    assert!(collector.asked().unwrap().is_empty());
    assert!(matches!(person.ask_for_replay(ids[0]), Err(StoreError::Unknown(_))));
}

#[test]
fn one_that_cannot_be_read_holds_up_no_other() {
    let (folder, collector, person, ids) = place(&["one", "two"]);
    for id in &ids {
        person.ask_for_replay(*id).unwrap();
    }
    let replay = folder.path().join("state/dead-letters/replay");
    fs::write(replay.join(format!("{}.json", ids[0])), "{}").unwrap();
    fs::write(replay.join("notes.txt"), "mine").unwrap();
    let asked = collector.asked().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].letter.as_ref().unwrap_err().to_string().contains("it is no dead letter"));
    collector.withdraw(ids[0]).unwrap();
    assert_eq!(collector.asked().unwrap().len(), 1);
    let listed = person.list().unwrap();
    assert!(listed.iter().any(|listed| listed.id == Some(ids[0]) && !listed.asked_for && listed.letter.is_err()));
}

#[test]
fn not_more_than_a_bounded_number_and_size_comes_at_once() {
    let (_folder, mut collector, person, _) = place(&[""; 100]);
    let ask_for_all = || {
        for listed in person.list().unwrap().iter().filter(|listed| !listed.asked_for) {
            person.ask_for_replay(listed.id.unwrap()).unwrap();
        }
    };
    ask_for_all();
    let asked = collector.asked().unwrap();
    assert_eq!(asked.len(), 64);
    while let asked @ [_, ..] = collector.asked().unwrap().as_slice() {
        for asked in asked {
            collector.replayed(asked.id).unwrap();
        }
    }
    for _ in 0..3 {
        collector.keep(&letter("large", 7 << 20)).unwrap();
    }
    ask_for_all();
    assert_eq!(collector.asked().unwrap().len(), 2);
}

#[test]
fn a_letter_that_is_there_twice_is_listed_as_both_and_dropped_as_one() {
    let (folder, _collector, person, ids) = place(&["one"]);
    let kept = folder.path().join("state/dead-letters");
    let name = format!("{}.json", ids[0]);
    // As after an end between the two steps of coming back.
    fs::copy(kept.join(&name), kept.join("replay").join(&name)).unwrap();
    assert_eq!(person.list().unwrap().len(), 2);
    assert_eq!(person.find(&ids[0].to_string()).unwrap(), ids[0]);
    person.remove(ids[0]).unwrap();
    assert!(person.list().unwrap().is_empty());
}
