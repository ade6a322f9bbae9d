use std::collections::VecDeque;

use tempfile::TempDir;

use super::*;

const MIB: u64 = 1 << 20;

fn settings(when_full: WhenFull) -> QueueSettings {
    QueueSettings { bytes: MIB, when_full, sync: Sync::Never }
}

fn open(folder: &TempDir, when_full: WhenFull) -> (Queue, Recovered) {
    Queue::open(&folder.path().join("queue"), settings(when_full)).unwrap()
}

const ONE: NonZeroU32 = NonZeroU32::MIN;

/// The numbers of all entries that are not done, each record of which begins with the number of its first one.
fn numbers(queue: &mut Queue) -> Vec<u64> {
    let first_open = queue.first_open();
    let records = queue.read(usize::MAX, usize::MAX).unwrap();
    let of = |record: Record| {
        assert!(record.payload.starts_with(record.first.to_string().as_bytes()), "{}", record.first);
        record.first.max(first_open)..record.next()
    };
    records.into_iter().flat_map(of).collect()
}

/// Appends entries that begin with their number, each with so many bytes.
fn fill(queue: &mut Queue, entries: u64, bytes: usize) -> Vec<Appended> {
    (0..entries)
        .map(|_| {
            let mut payload = queue.next().to_string().into_bytes();
            payload.resize(bytes.max(payload.len()), b' ');
            queue.append(ONE, &payload).unwrap()
        })
        .collect()
}

#[test]
fn what_is_kept_is_read_in_order_by_this_program_and_by_the_next_one() {
    let folder = TempDir::new().unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert_eq!(recovered, Recovered::default());
    fill(&mut queue, 1000, 500);
    assert_eq!(numbers(&mut queue), (0..1000).collect::<Vec<_>>());
    assert_eq!(numbers(&mut queue), Vec::<u64>::new());
    queue.rewind();
    assert_eq!(queue.read(10, usize::MAX).unwrap().len(), 10);
    queue.done_before(10).unwrap();
    queue.close().unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert_eq!(recovered, Recovered { entries: 990, cut: 0, missing: 0 });
    assert_eq!(numbers(&mut queue), (10..1000).collect::<Vec<_>>());
}

#[test]
fn what_is_done_makes_room_and_gives_the_disk_back() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::Block);
    for round in 0..50 {
        fill(&mut queue, 800, 1000);
        let all = numbers(&mut queue);
        assert_eq!(all.len(), 800, "{round}");
        queue.done_before(all[799] + 1).unwrap();
        assert!(queue.is_empty());
        queue.flush().unwrap();
        queue.done_before(all[799] + 1).unwrap();
        assert!(queue.bytes() <= MIB / 8, "{}", queue.bytes());
    }
}

#[test]
fn a_full_queue_does_as_it_was_told_and_counts() {
    for when_full in [WhenFull::Block, WhenFull::DropNewest, WhenFull::DropOldest] {
        let folder = TempDir::new().unwrap();
        let (mut queue, _) = open(&folder, when_full);
        let appended = fill(&mut queue, 5000, 1000);
        assert!(queue.bytes() <= MIB, "{}", queue.bytes());
        let refused = |kind| appended.iter().filter(|appended| **appended == kind).count() as u64;
        let (full, newest) = (refused(Appended::Full), refused(Appended::Dropped));
        let there = numbers(&mut queue);
        // In, and where each of them is.
        assert_eq!(there.len() as u64 + full + queue.dropped(), 5000, "{when_full:?}");
        assert_eq!(there.len() as u64, queue.len());
        assert!(there.len() > 800, "{}", there.len());
        match when_full {
            WhenFull::Block => assert!(full > 0 && queue.dropped() == 0),
            WhenFull::DropNewest => assert!(full == 0 && newest == queue.dropped() && newest > 0),
            WhenFull::DropOldest => assert!(full + newest == 0 && there.last() == Some(&4999)),
        }
    }
}

#[test]
fn an_entry_that_is_too_large_is_refused_and_the_largest_is_not() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::Block);
    let most = usize::try_from(queue.largest()).unwrap();
    assert!(matches!(queue.append(ONE, &vec![1; most + 1]), Err(StoreError::TooLarge { .. })));
    let large = vec![7; most];
    assert_eq!(queue.append(ONE, b"0").unwrap(), Appended::Kept(0));
    assert_eq!(queue.append(ONE, &large).unwrap(), Appended::Kept(1));
    let record = |first, payload| Record { first, entries: 1, payload };
    assert_eq!(queue.read(9, usize::MAX).unwrap(), [record(0, b"0".to_vec()), record(1, large)]);
}

#[test]
fn entries_that_came_together_are_counted_one_by_one_and_may_be_done_in_part() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::DropOldest);
    let five = NonZeroU32::new(5).unwrap();
    assert_eq!((queue.append(five, b"0").unwrap(), queue.append(five, b"5").unwrap()), (Appended::Kept(0), Appended::Kept(5)));
    assert_eq!((queue.len(), queue.unread()), (10, 10));
    queue.skip_to(5);
    assert_eq!((queue.len(), queue.unread()), (10, 5));
    assert_eq!(queue.read(9, usize::MAX).unwrap(), [Record { first: 5, entries: 5, payload: b"5".to_vec() }]);
    queue.done_before(7).unwrap();
    queue.close().unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::DropOldest);
    assert_eq!((recovered, numbers(&mut queue)), (Recovered { entries: 3, cut: 0, missing: 0 }, vec![7, 8, 9]));
    // What was read is on its way: it is not dropped with its file.
    let payload = vec![b'x'; 50_000];
    for _ in 0..40 {
        queue.append(five, &payload).unwrap();
    }
    assert!(queue.first_open() > 10);
    assert_eq!(queue.dropped() + queue.unread(), 200);
}

#[test]
fn a_store_that_was_made_smaller_still_gives_what_is_in_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue");
    let large = QueueSettings { bytes: 16 * MIB, ..settings(WhenFull::Block) };
    let (mut queue, _) = Queue::open(&path, large).unwrap();
    let payload = vec![b'x'; 3 << 20];
    queue.append(ONE, &payload).unwrap();
    queue.append(ONE, &payload).unwrap();
    queue.close().unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert_eq!(recovered, Recovered { entries: 2, cut: 0, missing: 0 });
    assert_eq!(queue.append(ONE, b"new").unwrap(), Appended::Full);
    assert_eq!(queue.read(9, usize::MAX).unwrap().len(), 2);
    queue.done_before(2).unwrap();
    assert_eq!(queue.append(ONE, b"new").unwrap(), Appended::Kept(2));
}

#[test]
fn what_is_lost_with_the_first_or_the_last_file_is_counted_and_only_once() {
    // Which file is damaged, how, and how many of its entries are still there.
    for (which, cut) in [(0, 0), (0, 5000), (usize::MAX, 0), (usize::MAX, 5000)] {
        let folder = TempDir::new().unwrap();
        let (mut queue, _) = open(&folder, WhenFull::Block);
        fill(&mut queue, 700, 1000);
        queue.close().unwrap();
        let path = folder.path().join("queue");
        let looks = Queue::look(&path).unwrap();
        let files: Vec<_> = looks.files.iter().filter(|file| file.entries > 0).collect();
        let file = files[which.min(files.len() - 1)];
        std::fs::OpenOptions::new().write(true).open(path.join(&file.name)).unwrap().set_len(cut).unwrap();
        let left = Queue::look(&path).unwrap();
        assert_eq!(left.entries + left.missing, 700, "{which} {cut}: {left:?}");
        assert!(!left.is_whole() && left.missing > file.entries - 6, "{left:?}");
        let (mut queue, recovered) = open(&folder, WhenFull::Block);
        assert_eq!((recovered.entries, recovered.missing), (left.entries, left.missing), "{which} {cut}");
        assert_eq!(numbers(&mut queue).len() as u64, left.entries);
        // No number is used twice.
        assert_eq!(queue.append(ONE, b"new").unwrap(), Appended::Kept(700));
        queue.close().unwrap();
        let again = open(&folder, WhenFull::Block).1;
        assert_eq!((again.entries, again.missing), (left.entries + 1, 0));
    }
}

/// As the first version wrote it: whoever upgrades finds what was there.
#[test]
fn what_the_first_format_has_left_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue");
    drop(open(&folder, WhenFull::Block));
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::DirBuilder::new().create(&path).unwrap();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/queue-format-1");
    for name in ["0000000000000007.entries", "place"] {
        std::fs::copy(fixtures.join(name), path.join(name)).unwrap();
    }
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    // Of four entries one is done.
    assert_eq!(recovered, Recovered { entries: 3, cut: 0, missing: 0 });
    let records = queue.read(9, usize::MAX).unwrap();
    assert_eq!((records[0].first, records[0].entries, queue.first_open()), (7, 3, 8));
    assert!(records[0].payload.starts_with(b"{\"lane\":\"events\""));
    assert_eq!(records[1], Record { first: 10, entries: 1, payload: b"second".to_vec() });
}

#[test]
fn a_look_changes_nothing_and_sees_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue");
    assert!(Queue::look(&path).unwrap_err().to_string().contains("there is no store in"));
    let (mut queue, _) = open(&folder, WhenFull::Block);
    fill(&mut queue, 400, 1000);
    queue.flush().unwrap();
    queue.read(10, usize::MAX).unwrap();
    queue.done_before(10).unwrap();
    queue.keep_place().unwrap();
    let looks = Queue::look(&path).unwrap();
    assert!(looks.in_use && looks.is_whole());
    queue.close().unwrap();
    let looks = Queue::look(&path).unwrap();
    assert_eq!((looks.in_use, looks.is_whole(), looks.first_open, looks.entries), (false, true, 10, 390));
    let mut seen = Vec::new();
    looks
        .each(|record| {
            seen.push(record.first);
            record.first < 200
        })
        .unwrap();
    assert_eq!(seen, (10..=200).collect::<Vec<_>>());
    let damaged = path.join(&looks.files[1].name);
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    let looks = Queue::look(&path).unwrap();
    assert!(!looks.is_whole() && looks.missing > 0 && looks.files[1].behind > 0 && looks.files[2].behind == 0);
    assert_eq!(std::fs::read(&damaged).unwrap(), bytes);
    assert_eq!(open(&folder, WhenFull::Block).1.missing, looks.missing);
}

#[test]
fn a_record_may_be_larger_than_its_file_was_when_reading_began() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::Block);
    for payload in [vec![1; 10], vec![2; 50_000], vec![3; 10]] {
        queue.append(ONE, &payload).unwrap();
        queue.flush().unwrap();
        let read: Vec<_> = queue.read(1, usize::MAX).unwrap().iter().map(|record| record.payload.len()).collect();
        assert_eq!((read, queue.damaged()), (vec![payload.len()], 0));
    }
}

#[test]
fn what_is_missing_between_two_files_is_damaged_and_does_not_wait() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::Block);
    for _ in 0..400 {
        queue.append(ONE, &[b'x'; 1000]).unwrap();
    }
    queue.close().unwrap();
    let first = folder.path().join("queue").join("0000000000000000.entries");
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() / 2]).unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert!(recovered.missing > 0);
    assert_eq!((queue.unread(), queue.damaged()), (recovered.entries, recovered.missing));
    assert_eq!(queue.unread() + queue.damaged(), 400);
    let read = queue.read(200, usize::MAX).unwrap().len() as u64;
    assert_eq!(queue.unread() + queue.damaged() + read, 400);
}

#[test]
fn two_programs_do_not_work_on_one_queue() {
    let folder = TempDir::new().unwrap();
    let (queue, _) = open(&folder, WhenFull::Block);
    let path = folder.path().join("queue");
    assert!(matches!(Queue::open(&path, settings(WhenFull::Block)), Err(StoreError::InUse { .. })));
    drop(queue);
    assert!(Queue::open(&path, settings(WhenFull::Block)).is_ok());
}

#[test]
fn what_a_later_version_has_written_is_neither_read_nor_removed() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder, WhenFull::Block));
    let mut bytes = b"sluiceq\n\x02\0\0\0".to_vec();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let file = folder.path().join("queue").join(segment::name(5));
    std::fs::write(&file, &bytes).unwrap();
    let error = Queue::open(&folder.path().join("queue"), settings(WhenFull::Block)).err().unwrap().to_string();
    assert!(error.contains("later version") && error.contains("0000000000000005.entries"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn numbers_that_no_queue_reaches_have_not_come_from_us() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder, WhenFull::Block));
    let file = folder.path().join("queue").join(segment::name(u64::MAX));
    std::fs::write(&file, frame::header(frame::QUEUE)).unwrap();
    place::keep(&Directory::open(&folder.path().join("queue")).unwrap(), Place { first_open: u64::MAX, next: u64::MAX, lost: 0 })
        .unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert_eq!((recovered, queue.append(ONE, b"0").unwrap()), (Recovered::default(), Appended::Kept(0)));
    assert!(file.exists(), "it is left alone");
}

#[test]
fn a_file_with_numbers_that_another_one_has_hides_nothing_that_comes_later() {
    let folder = TempDir::new().unwrap();
    let (mut queue, _) = open(&folder, WhenFull::Block);
    fill(&mut queue, 20, 10);
    queue.close().unwrap();
    let files = folder.path().join("queue");
    std::fs::copy(files.join(segment::name(0)), files.join(segment::name(5))).unwrap();
    let (mut queue, recovered) = open(&folder, WhenFull::Block);
    assert_eq!((recovered.entries, recovered.missing), (20, 0));
    assert!(recovered.cut > 0);
    fill(&mut queue, 3, 10);
    assert_eq!(numbers(&mut queue), (0..23).collect::<Vec<_>>());
}

/// What a queue must be, and no disk.
struct Model {
    next: u64,
    /// Entries that are not done.
    open: VecDeque<u64>,
    /// Up to here everything survives the end of the program.
    flushed: u64,
}

/// A stream of numbers that is the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// How the program ends, and what it does to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Kill,
    /// The last file loses bytes at its end, as after a power cut.
    Torn,
    /// The last file has zeros at its end.
    Zeros,
    /// A bit somewhere is another one.
    Flipped,
}

fn damage(folder: &TempDir, end: End, random: &mut Random) {
    let mut files: Vec<_> = std::fs::read_dir(folder.path().join("queue")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "entries"));
    files.sort();
    let which = if end == End::Flipped { usize::try_from(random.below(files.len() as u64)).unwrap() } else { files.len() - 1 };
    let mut bytes = std::fs::read(&files[which]).unwrap();
    let length = bytes.len() as u64;
    match end {
        End::Close | End::Kill => return,
        End::Torn => bytes.truncate(usize::try_from(length - random.below(length.min(2000))).unwrap()),
        End::Zeros => bytes.extend(vec![0; usize::try_from(random.below(5000)).unwrap()]),
        End::Flipped => bytes[usize::try_from(random.below(length)).unwrap()] ^= 1 << random.below(8),
    }
    std::fs::write(&files[which], bytes).unwrap();
}

/// Some time of a program's life.
fn live(queue: &mut Queue, model: &mut Model, random: &mut Random) {
    for _ in 0..random.below(120) {
        match random.below(8) {
            0..=4 => {
                let size = usize::try_from(random.below(3000)).unwrap();
                let (number, before) = (queue.next(), queue.first_open);
                let mut payload = number.to_string().into_bytes();
                payload.resize(payload.len().max(size), b' ');
                let entries = NonZeroU32::new(u32::try_from(1 + random.below(3)).unwrap()).unwrap();
                assert_eq!(queue.append(entries, &payload).unwrap(), Appended::Kept(number));
                model.next = number + u64::from(entries.get());
                model.open.extend(number..model.next);
                if queue.first_open > before {
                    model.open.retain(|open| *open >= queue.first_open);
                }
            }
            5 => {
                queue.flush().unwrap();
                model.flushed = model.next;
            }
            6 => {
                let read = queue.read(usize::try_from(random.below(60)).unwrap(), usize::MAX).unwrap();
                if let Some(last) = read.last() {
                    // Sometimes not all of the last record.
                    let done = last.first + 1 + random.below(u64::from(last.entries));
                    queue.done_before(done).unwrap();
                    model.open.retain(|open| *open >= done);
                }
            }
            _ => {
                queue.keep_place().unwrap();
            }
        }
    }
}

#[test]
fn whatever_ends_the_program_everything_flushed_is_there_in_order_and_what_is_lost_is_known() {
    let seeds = std::env::var("SLUICEBOX_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    for seed in 1..=seeds {
        let (folder, mut random) = (TempDir::new().unwrap(), Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15)));
        for life in 0..6 {
            let (mut queue, recovered) = open(&folder, WhenFull::DropOldest);
            let there = numbers(&mut queue);
            assert_eq!(recovered.entries, there.len() as u64, "seed {seed} life {life}");
            queue.rewind();
            assert_eq!((recovered.entries, queue.unread()), (queue.len(), queue.len()), "seed {seed} life {life}");
            queue.skip_to(queue.next());
            assert!(there.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: in order");
            // Begin anew from what is there.
            let mut model = Model { next: queue.next(), open: there.into(), flushed: queue.next() };
            queue.rewind();
            live(&mut queue, &mut model, &mut random);
            assert!(queue.bytes() <= MIB, "seed {seed}");
            let end = [End::Close, End::Kill, End::Torn, End::Zeros, End::Flipped][usize::try_from(random.below(5)).unwrap()];
            if end == End::Close {
                queue.close().unwrap();
                model.flushed = model.next;
            } else {
                // What was gathered and not flushed is lost with the program.
                drop(queue);
            }
            damage(&folder, end, &mut random);
            let (mut queue, recovered) = open(&folder, WhenFull::DropOldest);
            let found = numbers(&mut queue);
            let expected: Vec<u64> = model.open.iter().copied().filter(|open| *open < model.flushed).collect();
            let lost: Vec<u64> = expected.iter().copied().filter(|number| !found.contains(number)).collect();
            match end {
                End::Close | End::Kill | End::Zeros => assert_eq!(lost, Vec::<u64>::new(), "seed {seed} life {life} {end:?}"),
                // Only the end of what was written last.
                End::Torn => assert!(expected.ends_with(&lost), "seed {seed} life {life}: {lost:?}"),
                // What stood behind it in the same file, and no more.
                End::Flipped => {
                    let behind = lost.windows(2).all(|pair| pair[1] == pair[0] + 1);
                    assert!(behind && (lost.is_empty() || recovered.cut > 0), "seed {seed} life {life}: {lost:?} {recovered:?}");
                }
            }
        }
    }
}

#[test]
fn what_the_disk_refuses_to_force_down_does_not_outlive_the_program() {
    let folder = TempDir::new().unwrap();
    let settings = QueueSettings { sync: Sync::Always, ..settings(WhenFull::Block) };
    let (mut queue, _) = Queue::open(&folder.path().join("queue"), settings).unwrap();
    fill(&mut queue, 2, 100);
    queue.flush().unwrap();
    assert_eq!((queue.flushed(), queue.next()), (2, 2));
    // A device that takes what is written and forces nothing down.
    let disk = queue.tail.replace(File::options().write(true).open("/dev/null").unwrap());
    fill(&mut queue, 3, 100);
    assert_eq!((queue.flushed(), queue.next()), (2, 5));
    assert!(queue.flush().unwrap_err().to_string().contains("sync"));
    assert_eq!((queue.flushed(), queue.next()), (2, 5));
    queue.tail = disk;
    queue.flush().unwrap();
    assert_eq!((queue.flushed(), queue.next()), (5, 5));
}
