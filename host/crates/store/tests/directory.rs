//! What lies in the state directory beside letters, whose directory it is, and what a killed program leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sluicebox_contract::{DeadLetter, DeadLetters as _, Entry, Held, Message, ModuleIdentity, UnixNanos};
use sluicebox_store::{Id, LetterBounds, Letters, StoreError};

const ROOMY: LetterBounds = LetterBounds { letters: 100, bytes: 1 << 20 };

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("deep/state")
    }

    fn folder(&self) -> PathBuf {
        self.state().join("dead-letters")
    }

    fn open(&self, bounds: LetterBounds) -> Letters {
        Letters::open(&self.state(), bounds).unwrap()
    }
}

fn keep(letters: &mut Letters, reasons: &[&str]) {
    for reason in reasons {
        let held = Held::Entry { sink: "out".to_owned(), observed_at: UnixNanos(5), entry: Entry::Message(Message::default()) };
        let (lane, module) = ("shop".to_owned(), ModuleIdentity::default());
        letters.keep(&DeadLetter { at: UnixNanos(7), lane, module, reason: (*reason).to_owned(), replays: 0, held }).unwrap();
    }
}

fn reasons(letters: &Letters) -> Vec<String> {
    letters.list().unwrap().into_iter().map(|listed| listed.letter.unwrap().reason).collect()
}

fn ids(letters: &Letters) -> Vec<Id> {
    letters.list().unwrap().into_iter().filter_map(|listed| listed.id).collect()
}

#[test]
fn what_is_no_letter_is_listed_with_the_reason_and_does_no_harm() {
    let place = Place::new();
    let letters = place.open(ROOMY);
    keep(&mut letters.clone(), &["good"]);
    let good = place.folder().join(format!("{}.json", ids(&letters)[0]));
    let named = |number: u8| place.folder().join(format!("00000000000000{number:02x}-0000.json"));
    fs::write(named(1), "").unwrap();
    fs::write(named(2), &fs::read(&good).unwrap()[..60]).unwrap();
    fs::write(named(3), "[".repeat(100_000)).unwrap();
    File::create(named(4)).unwrap().set_len(1 << 40).unwrap();
    symlink(&good, named(5)).unwrap();
    // Opened for reading, it would wait for a writer for ever.
    assert!(std::process::Command::new("mkfifo").arg(named(6)).status().unwrap().success());
    fs::create_dir(named(7)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(named(8)).unwrap();
    fs::write(named(9), fs::read(&good).unwrap()).unwrap();
    fs::set_permissions(named(9), Permissions::from_mode(0o666)).unwrap();
    fs::write(place.folder().join("notes.txt"), "mine").unwrap();
    let listed = letters.list().unwrap();
    let said: Vec<String> = listed.iter().filter_map(|listed| Some(listed.letter.as_ref().err()?.to_string())).collect();
    let expected = [
        "it is no dead letter: EOF",
        "it is no dead letter: EOF",
        "it is no dead letter: ",
        "1099511627776 bytes",
        "it is a link",
        "it is no regular file",
        "it is no regular file",
        "it is no regular file",
        "its mode 0666 lets others write",
        "notes.txt: it has not come from the collector",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "`{expected}` is not in `{said}`");
    }
    assert_eq!(listed.iter().filter(|listed| listed.letter.is_ok()).count(), 1);
    // What has a name of ours can be removed like any other, even when it is a link: only the link goes.
    for number in [1, 2, 3, 4, 5, 6, 8, 9] {
        letters.remove(format!("00000000000000{number:02x}-0000").parse().unwrap()).unwrap();
    }
    assert!(good.exists());
}

#[test]
fn other_files_never_have_to_go_for_letters() {
    let place = Place::new();
    let mut letters = place.open(LetterBounds { letters: 1, ..ROOMY });
    fs::write(place.folder().join("notes.txt"), vec![b'x'; 2 << 20]).unwrap();
    fs::create_dir(place.folder().join("0000000000000001-0000.json")).unwrap();
    keep(&mut letters, &["one", "two"]);
    assert_eq!(letters.held().0, 1);
    assert!(place.folder().join("notes.txt").exists() && place.folder().join("0000000000000001-0000.json").exists());
}

#[test]
fn what_a_killed_program_left_unfinished_is_removed_when_it_is_old() {
    let place = Place::new();
    let letters = place.open(ROOMY);
    let unfinished = place.folder().join(".0000000000000001-0000.json.77-0.new");
    fs::write(&unfinished, "{\"at-unix").unwrap();
    assert!(letters.list().unwrap().is_empty());
    assert!(unfinished.exists(), "another program may be at it");
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    File::open(&unfinished).unwrap().set_modified(hour_ago).unwrap();
    assert!(place.open(ROOMY).list().unwrap().is_empty());
    assert!(!unfinished.exists());
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let check = |word: &str, prepare: &dyn Fn(&Place)| {
        let place = Place::new();
        prepare(&place);
        match Letters::open(&place.state(), ROOMY) {
            Err(error @ StoreError::Unsafe { .. }) => assert!(error.to_string().contains(word), "{error}"),
            other => panic!("{other:?}"),
        }
    };
    let mode = |path: PathBuf, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    check("0777", &|place| {
        fs::create_dir_all(place.state()).unwrap();
        mode(place.state(), 0o777);
    });
    check("0770", &|place| {
        place.open(ROOMY);
        mode(place.folder(), 0o770);
    });
    check("0702", &|place| {
        place.open(ROOMY);
        mode(place.folder().join("replay"), 0o702);
    });
    check("a link", &|place| {
        fs::create_dir_all(place.state().join("elsewhere")).unwrap();
        symlink(place.state().join("elsewhere"), place.folder()).unwrap();
    });
    check("no directory", &|place| {
        fs::create_dir_all(place.state()).unwrap();
        fs::write(place.folder(), "").unwrap();
    });
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let place = Place::new();
    place.open(ROOMY);
    // Root can give one away; everybody else finds one of root's.
    let given_away = chown(place.state(), Some(65_534), None).is_ok();
    let foreign = if given_away { place.state() } else { PathBuf::from("/usr") };
    assert!(matches!(Letters::open(&foreign, ROOMY), Err(StoreError::Unsafe { .. })));
    if given_away {
        chown(place.state(), Some(0), None).unwrap();
        let link = place.0.path().join("link");
        symlink(place.state(), &link).unwrap();
        lchown(&link, Some(65_534), None).unwrap();
        assert!(matches!(Letters::open(&link, ROOMY), Err(StoreError::Unsafe { .. })));
    } else {
        eprintln!("NOT RUN: only root can make a link of somebody else");
    }
}

#[test]
fn the_state_directory_itself_may_be_a_link_of_ours() {
    let place = Place::new();
    keep(&mut place.open(ROOMY), &["one"]);
    let link = place.0.path().join("link");
    symlink(place.state(), &link).unwrap();
    assert_eq!(reasons(&Letters::open(&link, ROOMY).unwrap()), ["one"]);
    fs::set_permissions(place.state(), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Letters::open(&link, ROOMY), Err(StoreError::Unsafe { .. })));
}
