//! What is kept and what has to go, while somebody else works on the same files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluicebox_contract::{
    Change, Class, DeadLetter, DeadLetters as _, Document, Entry, Event, Forget, Held, Increase, Message, Metric, ModuleIdentity,
    ObjectEvent, ObjectKind, Pod, PodEvent, Reading, Sample, Subject, SubjectId, SubjectKind, Tick, UnixNanos,
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

/// Each time the directory is looked through, which would be dear for each letter of a flood.
#[test]
fn a_sixteenth_goes_at_once() {
    let place = Place::new();
    let mut letters = place.open(LetterBounds { letters: 32, ..ROOMY });
    let mut held = Vec::new();
    for _ in 0..36 {
        keep(&mut letters, &["one"]);
        held.push(letters.held().0);
    }
    let up_to_the_bound: Vec<u64> = (1..=32).collect();
    assert_eq!(held, [&up_to_the_bound[..], &[30, 31, 32, 30]].concat());
    assert_eq!(letters.evicted(), 6);
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
        attributes: vec![("cgroup".to_owned(), "/kubepods".to_owned())],
    };
    let sample = |metric, reading| Sample { subject, metric, reading };
    let samples = vec![
        sample(Metric::CpuUsage, Reading::Counter { total: u64::MAX, increase: Some(Increase { amount: 5, over_nanos: 7 }) }),
        sample(Metric::CpuUser, Reading::Counter { total: 0, increase: None }),
        sample(Metric::MemoryUsage, Reading::Value(1)),
        sample(Metric::MemoryLimit, Reading::Unlimited),
    ];
    let tick = Event::Tick(Arc::new(Tick { observed_at, online_cpus: 4, samples }));
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
        Held::Event { subject: Some(about.clone()), event: Event::Pod(pod_event) },
        Held::Event { subject: Some(about), event: tick },
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
