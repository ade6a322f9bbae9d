//! Whatever stands in the directory of a queue at the start, whoever has left it there.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use sluicebox_testkit::fuzz::{Dice, Fuzz};
use tempfile::TempDir;

use super::frame::{self, Frame, Header, QUEUE};
use super::place::Place;
use super::{Appended, Queue, QueueSettings, Sync, WhenFull, place, segment};
use crate::StoreError;
use crate::directory::Directory;

const ONE: NonZeroU32 = NonZeroU32::MIN;
const SETTINGS: QueueSettings = QueueSettings { bytes: 1 << 20, when_full: WhenFull::DropOldest, sync: Sync::Never };

/// A file with entries of many lengths, each beginning with its number.
fn file(first: u64, entries: u64) -> Vec<u8> {
    let mut bytes = frame::header(QUEUE);
    for number in first..first + entries {
        let mut payload = format!("{number};").into_bytes();
        payload.resize(payload.len() + usize::try_from(number * 37 % 200).unwrap(), b'.');
        frame::put(&mut bytes, ONE, &payload);
    }
    bytes
}

fn files() -> Fuzz {
    Fuzz::of([file(0, 10), file(10, 3), file(13, 0), frame::header(QUEUE)]).words([
        "sluiceq\n",
        "\u{1}\0\0\0",
        "\0\0\0\0\0\0\0\0",
    ])
}

fn frames(mut bytes: &[u8], most: u64) -> Vec<(NonZeroU32, Vec<u8>)> {
    let mut found = Vec::new();
    while let Ok(Frame::Whole(entries, payload)) = frame::next(&mut bytes, most) {
        found.push((NonZeroU32::new(entries).unwrap(), payload));
    }
    found
}

/// What is found is what stands there byte by byte, up to the first that is not as it was written; nothing is made up.
#[test]
fn the_good_beginning_of_a_file_is_found_and_nothing_else() {
    files().run(|input, dice| {
        let mut rest = input;
        let header = frame::read_header(&mut rest, QUEUE).unwrap();
        assert_eq!(header == Header::Ours, input.starts_with(&frame::header(QUEUE)));
        if header != Header::Ours {
            return;
        }
        let most = if dice.one_in(2) { dice.any() % 300 } else { 1 << 20 };
        let found = frames(rest, most);
        let mut again = frame::header(QUEUE);
        for (entries, payload) in &found {
            assert!(payload.len() as u64 <= most);
            frame::put(&mut again, *entries, payload);
        }
        assert!(input.starts_with(&again));
        // And nothing good is given up: one more entry behind them is found as well.
        if again.len() == input.len() {
            frame::put(&mut again, ONE, b"one more");
            assert_eq!(frames(&again[frame::header(QUEUE).len()..], 1 << 20).len(), found.len() + 1);
        }
    });
}

#[test]
fn good_entries_before_damage_are_kept() {
    files().run(|input, dice| {
        let entries = dice.any() % 12;
        let good = file(0, entries);
        let found = frames(&[&good, input].concat()[frame::header(QUEUE).len()..], 1 << 20);
        assert_eq!(found[..usize::try_from(entries).unwrap()], frames(&good[frame::header(QUEUE).len()..], 1 << 20));
    });
}

/// Every record by the number of its first entry; each has one.
fn all(queue: &mut Queue) -> BTreeMap<u64, Vec<u8>> {
    let records = queue.read(usize::MAX, usize::MAX).unwrap();
    records.into_iter().map(|record| (record.first, record.payload)).collect()
}

/// A disk in memory, where there is one: nothing here is about the disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

/// Files of a queue as nobody writes them: names out of order, ranges over each other, contents of others.
fn put(directory: &Path, input: &[u8], dice: &mut Dice) {
    for number in 0..dice.below(5) {
        let first = match dice.below(6) {
            0 => dice.any() >> dice.below(64),
            1 => u64::MAX - dice.any() % 4,
            2 => 10,
            _ => number as u64 * 5,
        };
        let bytes = match dice.below(3) {
            0 => file(first % 1000, dice.any() % 20),
            1 => [file(first % 1000, dice.any() % 20), input.to_vec()].concat(),
            _ => input.to_vec(),
        };
        let odd = ["place", "lock", "x.entries", ".a.new", "0000000000000000.entrie", "000000000000000A.entries"];
        let name = if dice.one_in(8) { odd[dice.below(odd.len())].to_owned() } else { segment::name(first) };
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}

#[test]
fn whatever_stands_in_its_directory_a_queue_opens_and_goes_on() {
    files().run(|input, dice| {
        let folder = folder();
        drop(Queue::open(&folder.path().join("queue"), SETTINGS).unwrap());
        let path = folder.path().join("queue");
        put(&path, input, dice);
        if dice.one_in(2) {
            let first_open = dice.any() >> dice.below(64);
            let next = first_open.saturating_add(dice.any() >> dice.below(64));
            place::keep(&Directory::open(&path).unwrap(), Place { first_open, next, lost: dice.any() % 9 }).unwrap();
        }
        let (mut queue, recovered) = match Queue::open(&path, SETTINGS) {
            Ok(opened) => opened,
            Err(error @ StoreError::Damaged { .. }) => return assert!(error.to_string().contains("later version"), "{error}"),
            Err(error) => panic!("{error}"),
        };
        let there: BTreeMap<u64, Vec<u8>> = all(&mut queue);
        assert_eq!(there.len() as u64, recovered.entries);
        assert_eq!(queue.len(), recovered.entries);
        let mut added = BTreeMap::new();
        for entry in 0..=dice.any() % 5 {
            let payload = format!("new {entry}").into_bytes();
            match queue.append(ONE, &payload).unwrap() {
                Appended::Kept(number) => assert!(added.insert(number, payload).is_none()),
                other => panic!("{other:?}"),
            }
        }
        assert!(there.last_key_value().is_none_or(|(last, _)| added.keys().all(|number| number > last)));
        queue.close().unwrap();
        let (mut queue, again) = Queue::open(&path, SETTINGS).unwrap();
        let found: BTreeMap<u64, Vec<u8>> = all(&mut queue);
        let expected: BTreeMap<u64, Vec<u8>> = there.into_iter().chain(added).collect();
        assert_eq!((&found, again.cut), (&expected, 0));
        let last = *found.keys().last().unwrap();
        queue.done_before(last + 1).unwrap();
        assert!(queue.is_empty());
    });
}

#[test]
fn the_place_is_what_was_written_down_or_is_not_known() {
    Fuzz::of(["4711 4712 0 5a1f22c4\n", "0 0 0 f4dbdf21\n", "18446744073709551615 0 0 00000000\n"]).longest(100).run(
        |input, dice| {
            let folder = folder();
            let directory = Directory::open(&folder.path().join("queue")).unwrap();
            let first_open = dice.any() >> dice.below(64);
            let place = Place { first_open, next: first_open.saturating_add(dice.any() % 100), lost: dice.any() };
            place::keep(&directory, place).unwrap();
            let written = std::fs::read(directory.path("place")).unwrap();
            let kept = place::kept(&directory).unwrap();
            assert!(kept == Some(place) || kept.is_none() && place.next > 1 << 61, "{place:?} {kept:?}");
            std::fs::write(directory.path("place"), if dice.one_in(2) { input.to_vec() } else { [&written, input].concat() })
                .unwrap();
            if let Some(Place { first_open, next, lost }) = place::kept(&directory).unwrap() {
                let text = String::from_utf8(std::fs::read(directory.path("place")).unwrap()).unwrap();
                let numbers: Vec<u64> = text.split(' ').take(3).map(|number| number.parse().unwrap()).collect();
                assert_eq!(numbers, [first_open, next, lost], "{text:?}");
            }
        },
    );
}
