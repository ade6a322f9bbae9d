//! What is kept and what has to go, while somebody else works on the same files; what lies there that is no letter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sluicebox_contract::{
    Change, Class, DeadLetter, DeadLetters as _, Document, Entry, Event, Forget, Held, Message, ModuleIdentity, ObjectEvent,
    ObjectKind, Pod, PodEvent, Subject, SubjectId, SubjectKind, UnixNanos,
};
use sluicebox_store::{About, Id, LetterBounds, Letters, StoreError};

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

    fn bytes_on_disk(&self) -> u64 {
        let files = fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().metadata().unwrap());
        files.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
    }
}

fn letter(reason: &str, held: Held) -> DeadLetter {
    let module = ModuleIdentity { name: "shape".to_owned(), version: "1.0.0+ab".to_owned(), digest: "ab".repeat(32) };
    DeadLetter { at: UnixNanos(7), lane: "shop".to_owned(), module, reason: reason.to_owned(), replays: 0, held }
}

fn message(body: &[u8]) -> Held {
    let entry = Entry::Message(Message { channel: Some("events".to_owned()), body: body.to_vec(), ..Message::default() });
    Held::Entry { sink: "out".to_owned(), observed_at: UnixNanos(5), entry }
}

fn reasons(letters: &Letters) -> Vec<String> {
    letters.list().unwrap().into_iter().map(|listed| listed.letter.unwrap().reason).collect()
}

fn ids(letters: &Letters) -> Vec<Id> {
    letters.list().unwrap().into_iter().filter_map(|listed| listed.id).collect()
}

fn keep(letters: &mut Letters, reasons: &[&str]) {
    for reason in reasons {
        letters.keep(&letter(reason, message(b"x"))).unwrap();
    }
}

#[test]
fn what_is_kept_survives_the_program() {
    let place = Place::new();
    keep(&mut place.open(ROOMY), &["one", "two"]);
    let letters = place.open(ROOMY);
    assert_eq!(reasons(&letters), ["one", "two"]);
    assert_eq!(letters.held(), (2, place.bytes_on_disk()));
}

#[test]
fn nobody_else_can_read_it() {
    let place = Place::new();
    let mut letters = place.open(ROOMY);
    keep(&mut letters, &["one"]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.state()), 0o700);
    assert_eq!(mode(place.folder()), 0o700);
    assert_eq!(mode(place.folder().join(format!("{}.json", ids(&letters)[0]))), 0o600);
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let place = Place::new();
    let mut letters = place.open(LetterBounds { letters: 3, ..ROOMY });
    keep(&mut letters, &["one", "two", "three", "four", "five"]);
    assert_eq!(reasons(&letters), ["three", "four", "five"]);
    assert_eq!((letters.held().0, letters.evicted()), (3, 2));
}

#[test]
fn the_oldest_go_when_they_take_too_many_bytes() {
    let place = Place::new();
    let mut letters = place.open(ROOMY);
    keep(&mut letters, &["one"]);
    let one = place.bytes_on_disk();
    let mut letters = place.open(LetterBounds { bytes: one * 3 + one / 2, ..ROOMY });
    keep(&mut letters, &["two", "six", "ten"]);
    assert_eq!(reasons(&letters), ["two", "six", "ten"]);
    letters.keep(&letter("big", message(&vec![b'x'; usize::try_from(one).unwrap()]))).unwrap();
    assert_eq!(reasons(&letters), ["ten", "big"]);
    assert_eq!((letters.held(), letters.evicted()), ((2, place.bytes_on_disk()), 3));
}

#[test]
fn a_letter_larger_than_the_bound_is_refused_and_no_other_has_to_go() {
    let place = Place::new();
    let mut letters = place.open(LetterBounds { bytes: 4096, ..ROOMY });
    keep(&mut letters, &["one"]);
    let fault = letters.keep(&letter("huge", message(&[b'x'; 5000]))).unwrap_err();
    assert_eq!(fault.class, Class::Skip);
    assert!(fault.to_string().contains("bytes, and 4096 are allowed"), "{fault}");
    assert_eq!(reasons(&letters), ["one"]);
    let none = place.open(LetterBounds { letters: 0, ..ROOMY }).keep(&letter("none", message(b"")));
    assert_eq!(none.unwrap_err().class, Class::Skip);
}

#[test]
fn fewer_are_kept_when_the_bounds_have_become_smaller() {
    let place = Place::new();
    keep(&mut place.open(ROOMY), &["one", "two", "three"]);
    let mut letters = place.open(LetterBounds { letters: 2, ..ROOMY });
    assert_eq!(letters.held().0, 3);
    keep(&mut letters, &["four"]);
    assert_eq!(reasons(&letters), ["three", "four"]);
}

#[test]
fn what_somebody_else_removed_makes_room() {
    let place = Place::new();
    let mut letters = place.open(LetterBounds { letters: 3, ..ROOMY });
    keep(&mut letters, &["one", "two", "three"]);
    let newest = ids(&letters)[2];
    place.open(ROOMY).remove(newest).unwrap();
    keep(&mut letters, &["four"]);
    assert_eq!(reasons(&letters), ["one", "two", "four"]);
    assert_eq!(letters.evicted(), 0);
}

#[test]
fn what_somebody_else_gives_back_is_counted() {
    let place = Place::new();
    let letters = place.open(ROOMY);
    keep(&mut letters.clone(), &["one", "two"]);
    let other = place.open(ROOMY);
    let first = ids(&letters)[0];
    other.ask_for_replay(first).unwrap();
    letters.asked().unwrap();
    assert_eq!(letters.held().0, 1);
    other.withdraw(first).unwrap();
    letters.asked().unwrap();
    assert_eq!(letters.held(), (2, place.bytes_on_disk()));
}

#[test]
fn two_can_work_on_it_at_once() {
    let place = Place::new();
    let bounds = LetterBounds { letters: 20, ..ROOMY };
    let mut letters = place.open(bounds);
    let (other, done) = (place.open(ROOMY), Arc::new(AtomicBool::new(false)));
    let end = Arc::clone(&done);
    let clerk = std::thread::spawn(move || {
        let mut turn = 0_usize;
        while !end.load(Ordering::Relaxed) {
            for listed in other.list().unwrap() {
                let (id, letter) = (listed.id.unwrap(), listed.letter);
                letter.expect("a letter is there whole or not at all");
                turn += 1;
                // Each of these may come too late.
                let outcome = match turn % 3 {
                    0 => other.remove(id),
                    1 => other.ask_for_replay(id),
                    _ => other.withdraw(id),
                };
                assert!(matches!(outcome, Ok(()) | Err(StoreError::Unknown(_))), "{outcome:?}");
            }
        }
    });
    for number in 0..400 {
        keep(&mut letters, &[&format!("number {number}")]);
    }
    done.store(true, Ordering::Relaxed);
    clerk.join().unwrap();
    // What is given back is noticed when it is asked for, or when the bounds seem to be reached.
    letters.asked().unwrap();
    keep(&mut letters, &["last"]);
    let there = letters.list().unwrap().iter().filter(|listed| !listed.asked_for).count();
    assert_eq!(letters.held(), (there as u64, place.bytes_on_disk()));
    assert!(there <= 20, "{there}");
    assert_eq!(reasons(&letters).last().unwrap(), "last");
}

#[test]
fn everything_that_can_be_held_comes_back_as_it_was() {
    let pod = Arc::new(Pod { name: "web-1".to_owned(), namespace: "shop".to_owned(), ..Pod::default() });
    let (subject, observed_at, change) = (SubjectId(3), UnixNanos(u64::MAX), Change::Deleted);
    let pod_event = PodEvent { subject, change, observed_at, pod: Arc::clone(&pod), previous: Some(pod) };
    let about = Subject {
        id: subject,
        kind: SubjectKind::Pod,
        uid: "u".to_owned(),
        namespace: "shop".to_owned(),
        name: "web-1".to_owned(),
    };
    let object = |json: Option<&str>| {
        let event = ObjectEvent {
            subject,
            kind: ObjectKind::Node,
            change,
            observed_at,
            uid: "u".into(),
            namespace: "".into(),
            name: "n1\u{1b}[2J\"\\\u{0}".into(),
            json: json.map(Into::into),
        };
        Held::Event { subject: None, event: Event::Object(event) }
    };
    let entry = |entry: Entry| Held::Entry { sink: "out".to_owned(), observed_at, entry };
    let all = [
        Held::Event { subject: Some(about), event: Event::Pod(pod_event) },
        object(Some(r#"{"kind":"Node","spec":{"x":[1,2,{}]}}"#)),
        object(None),
        message(b"text"),
        message(&(0..=255).collect::<Vec<u8>>()),
        entry(Entry::Message(Message {
            key: Some("k".to_owned()),
            headers: vec![("a".to_owned(), "b".to_owned())],
            ..Message::default()
        })),
        entry(Entry::Document(Document { collection: None, name: "../../etc/passwd".to_owned(), body: vec![0xff, 0] })),
        entry(Entry::Forget(Forget {
            collection: Some("c".to_owned()),
            name: "n".to_owned(),
            after: Duration::from_millis(1500),
        })),
    ];
    let place = Place::new();
    let mut letters = place.open(ROOMY);
    for held in &all {
        letters.keep(&letter("why", held.clone())).unwrap();
    }
    let ids = ids(&letters);
    assert_eq!(ids.len(), all.len());
    for (id, held) in ids.into_iter().zip(all) {
        assert_eq!(format!("{:?}", letters.read(id).unwrap()), format!("{:?}", letter("why", held)));
    }
}

#[test]
fn a_list_says_what_each_is_about() {
    let place = Place::new();
    let mut letters = place.open(ROOMY);
    keep(&mut letters, &["one"]);
    let listed = letters.list().unwrap().remove(0);
    assert_eq!(listed.bytes, place.bytes_on_disk());
    let summary = listed.letter.unwrap();
    assert_eq!((summary.lane.as_str(), summary.at), ("shop", UnixNanos(7)));
    assert_eq!(summary.about, About::Entry { sink: "out".to_owned(), kind: "message", name: "events".to_owned() });
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

#[test]
fn a_newer_letter_is_never_older_by_name_even_when_the_clock_steps_back() {
    let place = Place::new();
    let mut letters = place.open(ROOMY);
    keep(&mut letters, &["one"]);
    let ahead = "7fffffffffffffff-ffff";
    let now = place.folder().join(format!("{}.json", ids(&letters)[0]));
    fs::rename(now, place.folder().join(format!("{ahead}.json"))).unwrap();
    let mut letters = place.open(ROOMY);
    keep(&mut letters, &["two", "three"]);
    assert_eq!(reasons(&letters), ["one", "two", "three"]);
    assert_eq!(ids(&letters)[1].to_string(), "8000000000000000-0000");
}

#[test]
fn a_letter_is_found_by_the_beginning_of_its_id() {
    let place = Place::new();
    let letters = place.open(ROOMY);
    keep(&mut letters.clone(), &["one", "two"]);
    let all = ids(&letters);
    assert_eq!(letters.find(&all[0].to_string()).unwrap(), all[0]);
    let (one, two) = (all[0].to_string(), all[1].to_string());
    let differing = one.bytes().zip(two.bytes()).position(|(one, two)| one != two).unwrap();
    assert_eq!(letters.find(&two[..=differing]).unwrap(), all[1]);
    let said = |beginning: &str| letters.find(beginning).unwrap_err().to_string();
    assert!(said(&two[..differing]).contains("2 dead letters"), "{}", said(&two[..differing]));
    assert!(said("../../etc/passwd").contains("names no dead letter"));
    assert!(said("0000000000000000-0000").contains("there is no dead letter"));
    letters.remove(all[0]).unwrap();
    assert!(matches!(letters.remove(all[0]), Err(StoreError::Unknown(_))));
    assert!(letters.find("").is_err());
}
