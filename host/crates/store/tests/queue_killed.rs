//! A program that is killed at any moment loses nothing that it has said was flushed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets what it did not expect fails")]
#![allow(clippy::disallowed_methods, reason = "there is no executor here to hold up")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sluicebox_contract::{Appended, Record};
use sluicebox_store::{Queue, QueueSettings, Sync, WhenFull};
use tempfile::TempDir;

/// Where the other program works; it is this one, with another name for its test.
const QUEUE: &str = "SLUICEBOX_TEST_QUEUE";

fn open(path: &Path) -> Queue {
    let settings = QueueSettings { bytes: 1 << 20, when_full: WhenFull::DropOldest, sync: Sync::Never };
    let (queue, recovered) = Queue::open(path, settings).unwrap();
    assert_eq!(recovered.missing, 0);
    queue
}

/// Not a test by itself: says after each flush which entries are there, and which are done.
#[test]
fn another_program() {
    let Some(path) = std::env::var_os(QUEUE) else { return };
    let mut queue = open(Path::new(&path));
    let (mut last, mut done, mut out) = (0, 0, std::io::stdout());
    for round in 0_u64.. {
        for size in 0..round % 50 {
            let entry = vec![b'x'; usize::try_from(size * 31).unwrap()];
            let Appended::Kept(number) = queue.append(NonZeroU32::MIN, &entry).unwrap() else { panic!("there is room") };
            last = number;
        }
        queue.flush().unwrap();
        let read = queue.read(60, 1 << 20).unwrap();
        done = read.last().map_or(done, Record::next);
        queue.done_before(done).unwrap();
        if round.is_multiple_of(7) {
            queue.keep_place().unwrap();
        }
        writeln!(out, "\nthere {last} done {done}").unwrap();
    }
}

#[test]
fn what_was_flushed_survives_being_killed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue");
    let rounds = std::env::var("SLUICEBOX_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(40);
    let mut lives = 0;
    for round in 0_u64..rounds {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "another_program", "--nocapture"]).env(QUEUE, &path);
        let mut program = program.stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(5000 + round * 7919 % 40_000));
        program.kill().unwrap();
        let said = BufReader::new(program.stdout.take().unwrap()).lines();
        let said: Vec<String> = said.map_while(Result::ok).filter(|line| line.starts_with("there ")).collect();
        program.wait().unwrap();
        let mut queue = open(&path);
        let read = queue.read(usize::MAX, usize::MAX).unwrap();
        let numbers: Vec<u64> = read.iter().map(|record| record.first).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "round {round}: none is missing in between");
        let said: Option<(u64, u64)> = said.iter().rev().find_map(|line| {
            let mut words = line.split(' ').skip(1).step_by(2);
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        });
        let Some((there, done)) = said.filter(|(there, _)| *there > 0) else { continue };
        lives += 1;
        // What was dropped for room is below what is there.
        assert!(numbers.last().is_some_and(|last| *last >= there) || done > there, "round {round}: {there} of {numbers:?}");
        // It may have come one round further than it has said.
        assert!(done == 0 || numbers.first().is_none_or(|first| *first <= done + 60), "round {round}: {done}, {numbers:?}");
    }
    assert!(lives > rounds / 4, "it was killed {lives} times at work");
}
