//! A disk that is full costs nothing that was there, and nothing that came once there is room again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]
#![allow(clippy::print_stderr, reason = "why something was not tested must be seen")]

use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sluicebox_contract::{Appended, Backlog as _};
use sluicebox_store::{Queue, QueueSettings, Sync, WhenFull};
use tempfile::TempDir;

/// A disk of 400 KiB; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where this user may not mount anything.
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("NOT RUN: this user may not mount a small disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn open(path: &Path) -> Queue {
    let settings = QueueSettings { bytes: 1 << 20, when_full: WhenFull::Block, sync: Sync::Always };
    Queue::open(&path.join("queue"), settings).unwrap().0
}

/// Appends until the disk takes nothing any more; how many there are then.
fn fill(queue: &mut Queue) -> u64 {
    for _ in 0..10_000 {
        let number = queue.len();
        let mut entry = format!("{number} ").into_bytes();
        entry.resize(900, b'x');
        match queue.append(NonZeroU32::MIN, &entry).and_then(|appended| queue.flush().map(|()| appended)) {
            Ok(Appended::Kept(_)) => {}
            Ok(other) => panic!("{other:?}: the disk is smaller than the queue may be"),
            Err(error) => {
                assert!(error.to_string().contains("No space left"), "{error}");
                return queue.len();
            }
        }
    }
    panic!("the disk is not full");
}

fn read(queue: &mut Queue) -> Vec<u64> {
    let records = queue.read(usize::MAX, usize::MAX).unwrap();
    records
        .iter()
        .map(|record| {
            assert!(record.payload.starts_with(format!("{} ", record.first).as_bytes()));
            record.first
        })
        .collect()
}

#[test]
fn what_was_taken_is_there_and_goes_on_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut queue = open(disk.0.path());
    let there = fill(&mut queue);
    assert!(there > 250, "{there}");
    // Taken is taken: also what waits in memory for the disk.
    assert_eq!(read(&mut queue), (0..there).collect::<Vec<_>>());
    queue.done_before(200).unwrap();
    // A file that a process on its way to another program has inherited takes its room for a moment longer.
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = queue.flush() {
        assert!(Instant::now() < end, "{error}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    queue.close().unwrap();
    let mut queue = open(disk.0.path());
    assert_eq!(read(&mut queue), (200..there).collect::<Vec<_>>());
}

#[test]
fn a_program_that_is_killed_while_the_disk_is_full_loses_only_what_was_not_flushed() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut queue = open(disk.0.path());
    let there = fill(&mut queue);
    // As when it is killed: nothing is closed.
    drop(queue);
    let settings = QueueSettings { bytes: 1 << 20, when_full: WhenFull::DropOldest, sync: Sync::Always };
    // There is not even room for the beginning of a file.
    std::fs::write(disk.0.path().join("rest"), vec![0; 1 << 20]).unwrap_err();
    let (mut queue, recovered) = Queue::open(&disk.0.path().join("queue"), settings).unwrap();
    let found = read(&mut queue);
    assert_eq!(found.last().copied(), there.checked_sub(2), "the last one was not flushed");
    assert_eq!(found.len() as u64, recovered.entries);
}

#[test]
fn a_program_that_starts_while_the_disk_is_full_goes_on_where_there_is_room_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut queue = open(disk.0.path());
    for entry in [b"0 ", b"1 "] {
        queue.append(NonZeroU32::MIN, entry).unwrap();
    }
    queue.close().unwrap();
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    let mut queue = open(disk.0.path());
    assert_eq!(queue.append(NonZeroU32::MIN, b"2 ").unwrap(), Appended::Kept(2));
    assert!(queue.flush().unwrap_err().to_string().contains("No space left"));
    assert_eq!((queue.waiting().flushed, queue.waiting().next), (2, 3));
    // What is not on the disk yet is read all the same.
    assert_eq!(read(&mut queue), [0, 1, 2]);
    std::fs::remove_file(&ballast).unwrap();
    queue.flush().unwrap();
    assert_eq!(queue.waiting().flushed, 3);
    queue.append(NonZeroU32::MIN, b"3 ").unwrap();
    queue.done_before(1).unwrap();
    queue.close().unwrap();
    assert_eq!(read(&mut open(disk.0.path())), [1, 2, 3]);
}
