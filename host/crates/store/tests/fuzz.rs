//! Whatever stands in the files of dead letters and of last good modules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sluicebox_contract::{
    Bounds, Change, Connection, ConnectionReport, DeadLetter, Direction, Document, End, Entry, Event, Forget, Held, Increase,
    Inventory, Message, Metric, ModuleIdentity, NativeBucket, NativeHistogram, ObjectEvent, ObjectKind, Pod, PodEvent, Protocol,
    Reading, Sample, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, Subject, SubjectId, SubjectKind, Tick, Traffic,
    UnixNanos,
};
use sluicebox_store::{Good, Id, LastGood, LetterBounds, Letters, StoreError, write_pretty};
use sluicebox_testkit::fuzz::Fuzz;

const ROOMY: LetterBounds = LetterBounds { letters: 100, bytes: 1 << 20 };
const ID: &str = "0000000000000010-ffff";

/// A disk in memory, where there is one: nothing here is about the disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn module() -> ModuleIdentity {
    ModuleIdentity { name: "shape".to_owned(), version: "1.0.0+ab".to_owned(), digest: "ab".repeat(32) }
}

fn events() -> Vec<Event> {
    let (subject, observed_at) = (SubjectId(3), UnixNanos(5));
    let sample = |reading| Sample { subject, metric: Metric::CpuUsage, reading };
    let counter = Reading::Counter { total: 7, increase: Some(Increase { amount: 1, over_nanos: 2 }) };
    let samples = vec![sample(counter), sample(Reading::Value(1)), sample(Reading::Unlimited)];
    let end = |subject| End { subject, address: "10.0.0.1".parse().unwrap(), port: 80 };
    let connection = Connection {
        source: end(Some(subject)),
        destination: end(None),
        protocol: Protocol::Tcp,
        direction: Direction::Outgoing,
        pid: 1,
        network_namespace: 2,
        sent: Traffic { total: 5, increase: 1 },
        received: Traffic::default(),
        retransmits: Traffic::default(),
        last_seen_nanos: 9,
    };
    let query = SeriesQuery {
        cycle: "c".to_owned(),
        name: "q".to_owned(),
        metric: "m".to_owned(),
        metric_type: "counter".to_owned(),
        unit: "seconds".to_owned(),
        origin: SeriesOrigin::InstantQuery,
    };
    let bucket = NativeBucket { bounds: Bounds::OpenLeft, lower: f64::NEG_INFINITY, upper: 0.5, count: 2.0 };
    let series = SeriesReport {
        observed_at,
        query: Arc::new(query),
        start_millis: 0,
        end_millis: 10,
        step_millis: 0,
        warnings: vec!["w".to_owned()],
        failure: None,
        samples: vec![SeriesSample { subject, millis: 1, value: f64::NAN }, SeriesSample { subject, millis: 2, value: 0.1 }],
        histograms: vec![NativeHistogram { subject, millis: 1, count: 2.0, sum: f64::INFINITY, buckets: vec![bucket] }],
        more: false,
    };
    let object = ObjectEvent {
        subject,
        kind: ObjectKind::Node,
        change: Change::Listed,
        observed_at,
        uid: "u".into(),
        namespace: "".into(),
        name: "n1\u{1b}[2J\"\\\u{0}".into(),
        json: Some("{}".into()),
    };
    let pod = PodEvent { subject, change: Change::Modified, observed_at, pod: Arc::new(Pod::default()), previous: None };
    vec![
        Event::Tick(Arc::new(Tick { observed_at, online_cpus: 4, samples })),
        Event::Connections(Arc::new(ConnectionReport {
            observed_at,
            over_nanos: 1,
            more: false,
            connections: vec![connection; 2],
        })),
        Event::Series(Arc::new(series)),
        Event::Object(object),
        Event::Pod(pod),
        Event::Inventory(Arc::new(Inventory { observed_at, more: false, node: None, pods: Vec::new() })),
    ]
}

fn letters() -> Vec<Vec<u8>> {
    let collection = Some("c".to_owned());
    let entries = [
        Entry::Message(Message { channel: Some("events".to_owned()), body: vec![0, 255], ..Message::default() }),
        Entry::Document(Document { collection: collection.clone(), name: "d".to_owned(), body: b"body".to_vec() }),
        Entry::Forget(Forget { collection, name: "d".to_owned(), after: Duration::from_millis(1500) }),
    ];
    let attributes = vec![("a".to_owned(), "b".to_owned())];
    let (namespace, name, uid) = ("shop".to_owned(), "a".to_owned(), "u".to_owned());
    let subject = Subject { id: SubjectId(3), kind: SubjectKind::Pod, uid, namespace, name, attributes };
    let entries = entries.map(|entry| Held::Entry { sink: "out".to_owned(), observed_at: UnixNanos(5), entry });
    let events = events().into_iter().map(|event| Held::Event { subject: Some(subject.clone()), event });
    let letter = |held| DeadLetter {
        at: UnixNanos(7),
        lane: "shop".to_owned(),
        module: module(),
        reason: "r".to_owned(),
        replays: 1,
        held,
    };
    entries.into_iter().chain(events).map(letter).map(|letter| write_pretty(&letter).unwrap()).collect()
}

/// A letter that was read is used by whatever comes after it: nothing in it may do harm there.
fn use_up(letter: &DeadLetter) {
    assert!(letter.weight() >= 512);
    let Held::Event { event, .. } = &letter.held else { return };
    let (parts, items) = (event.parts(), event.items());
    assert!(parts <= items.max(1), "{parts} {items}");
    let mut rest = vec![event.clone()];
    let mut halved = 0;
    while let Some(event) = rest.pop() {
        if let Some((one, other)) = event.halves() {
            assert!(one.parts() < event.parts() && other.parts() < event.parts(), "halves are smaller");
            halved += 1;
            assert!(halved <= parts, "they come to an end");
            rest.extend([one, other]);
        }
    }
    let _one = event.only(|subject| subject.0 % 2 == 0).map(|event| event.weight());
    let _names = event.names(|_| false);
}

#[test]
fn letters_are_listed_and_read_or_refused_with_words() {
    Fuzz::of(letters()).run(|input, _| {
        let folder = folder();
        let state = folder.path().join("state");
        drop(Letters::open(&state, ROOMY).unwrap());
        let file = state.join("dead-letters").join(format!("{ID}.json"));
        fs::write(&file, input).unwrap();
        let kept = Letters::open(&state, ROOMY).unwrap();
        assert_eq!(kept.held(), (1, input.len() as u64));
        let listed = kept.list().unwrap();
        assert_eq!((listed.len(), listed[0].bytes), (1, input.len() as u64));
        let id: Id = ID.parse().unwrap();
        assert_eq!(kept.find("00").unwrap(), id);
        kept.ask_for_replay(id).unwrap();
        let asked = kept.asked().unwrap();
        match &asked[0].letter {
            Ok(letter) => {
                use_up(letter);
                let written = write_pretty(letter).unwrap();
                let again: DeadLetter = serde_json::from_slice(&written).expect("what is written can be read");
                assert_eq!(write_pretty(&again).unwrap(), written);
                assert!(listed[0].letter.is_ok());
            }
            Err(error) => {
                let words = error.to_string();
                assert!(words.contains(ID) && words.len() < 3000, "{words}");
                assert!(listed[0].letter.is_err());
                kept.withdraw(id).unwrap();
            }
        }
        kept.remove(id).unwrap();
        assert_eq!(kept.held(), (0, 0));
    });
}

#[test]
fn names_of_letters_are_those_that_were_given() {
    Fuzz::of([ID, "ffffffffffffffff-0000"]).longest(64).run(|input, _| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        match text.parse::<Id>() {
            Ok(id) => assert_eq!(id.to_string(), text),
            Err(error) => assert!(error.to_string().contains("names no dead letter"), "{error}"),
        }
    });
}

#[test]
fn a_module_comes_back_as_it_was_or_not_at_all() {
    let component = b"a component";
    let digest = format!("{:x}", Sha256::digest(component));
    let module = ModuleIdentity { name: "./shape.wasm".to_owned(), version: "1.0.0".to_owned(), digest: digest.clone() };
    let good =
        Good { module, settings: "{}".to_owned(), component: Cow::Borrowed(component), signature: None, kept_at: UnixNanos(9) };
    let first = folder();
    LastGood::open(&first.path().join("state")).unwrap().keep("a", &good).unwrap();
    let label = fs::read(first.path().join("state/last-good/lane-a/good.json")).unwrap();
    let other = String::from_utf8(label.clone()).unwrap().replace(&digest, &"ab".repeat(32));
    Fuzz::of([label.clone(), other.into_bytes()]).words(["../../x", "/etc/passwd", &digest]).run(|input, dice| {
        let folder = folder();
        let kept = LastGood::open(&folder.path().join("state")).unwrap();
        kept.keep("a", &good).unwrap();
        let lane = folder.path().join("state/last-good/lane-a");
        let touches_component = dice.one_in(3);
        let file = if touches_component { format!("{digest}.wasm") } else { "good.json".to_owned() };
        fs::write(lane.join(file), input).unwrap();
        match kept.load("a", 1 << 20) {
            Ok(Some(loaded)) => {
                assert_eq!(format!("{:x}", Sha256::digest(&loaded.component)), loaded.module.digest);
                assert!(!touches_component);
            }
            Err(error @ StoreError::Damaged { .. }) => {
                assert!(error.to_string().len() < 4000, "{error}");
                assert!(kept.load("a", 1 << 20).unwrap().is_none(), "it is taken away");
            }
            other => panic!("{other:?}"),
        }
    });
}
