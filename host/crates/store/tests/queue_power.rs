//! A machine whose power is cut at any moment finds what was forced onto its disk: real cuts, of a small machine with a disk of its own, which
//! loses what it had in memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]
#![allow(clippy::print_stdout, reason = "what a machine prints is what it says")]

use std::fs::File;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sluicebox_contract::Appended;
use sluicebox_store::{Queue, QueueSettings, Sync, WhenFull};
use sluicebox_testkit::machine::{DISK, run_until_power_cut};
use sluicebox_testkit::servers::{Need, require};

/// What a cut may cost where it may cost anything.
const SPAN: Duration = Duration::from_millis(400);

fn entry(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7919 % 1500).unwrap();
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..length).map(|place| u8::try_from((number + place as u64) % 251).unwrap()));
    bytes
}

/// Not a test by itself: works until its power is cut. Says what it has found, and after each flush what is there.
fn works_in_the_machine(sync: Sync) {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let mounted = Command::new("mount").args(["-t", "ext4"]).arg(disk).arg("/tmp").status().unwrap();
    assert!(mounted.success(), "the disk cannot be mounted");
    let settings = QueueSettings { bytes: 1 << 20, when_full: WhenFull::Block, sync };
    let (mut queue, recovered) = Queue::open(Path::new("/tmp/queue"), settings).unwrap();
    // What nobody has forced onto the disk comes there in any order; what is handed out is as it was, all the same.
    let in_order = sync != Sync::Never;
    assert!(recovered.missing == 0 || !in_order, "what was written before the power was cut is whole");
    let (first, mut next) = (queue.first_open(), queue.first_open());
    for record in queue.read(usize::MAX, usize::MAX).unwrap() {
        assert!(record.first == next || record.first > next && !in_order, "{next} is missing");
        let whose = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
        assert_eq!(&*record.payload, &*entry(whose));
        assert!(whose == record.first || !in_order, "{whose} is not number {}", record.first);
        next = record.next();
    }
    println!("\nfound {first} {next}");
    let begin = Instant::now();
    for round in 1_u64.. {
        for _ in 0..=round % 5 {
            let Appended::Kept(number) = queue.append(NonZeroU32::MIN, &entry(next)).unwrap() else { panic!("there is room") };
            assert!(number == next || number > next && !in_order, "{number} comes after {next}");
            next = number + 1;
        }
        queue.flush().unwrap();
        // What is done is about as much as comes, behind by a few files.
        let done = next.saturating_sub(300);
        queue.skip_to(done);
        queue.done_before(done).unwrap();
        println!("there {next} done {} at {}", queue.first_open(), begin.elapsed().as_millis());
    }
}

#[test]
fn each_flush_is_forced_in_the_machine() {
    works_in_the_machine(Sync::Always);
}

#[test]
fn some_flushes_are_forced_in_the_machine() {
    works_in_the_machine(Sync::Every(SPAN));
}

#[test]
fn no_flush_is_forced_in_the_machine() {
    works_in_the_machine(Sync::Never);
}

/// Up to which number entries were there, which of them were done, and when it was said.
fn said(text: &str) -> Vec<[u64; 3]> {
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let figures = |line: &str| -> Option<[u64; 3]> {
        let words: Vec<&str> = line.split(' ').collect();
        let ["there", there, "done", done, "at", at] = words[..] else { return None };
        Some([there.parse().ok()?, done.parse().ok()?, at.parse().ok()?])
    };
    whole.lines().filter_map(figures).collect()
}

fn found(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("found "))?;
    let (first, next) = line.split_once(' ')?;
    Some((first.parse().ok()?, next.parse().ok()?))
}

/// A cut costs what was said for so long before it, or all of it.
///
/// One machine after the other, on the same disk; each is cut off after another time.
async fn survives(working: &str, cost: Option<Duration>) {
    if !require(Need::UserModeLinux) {
        return;
    }
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = folder.path().join("disk");
    File::create(&disk).unwrap().set_len(16 << 20).unwrap();
    assert!(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk).status().unwrap().success());
    let this = std::env::current_exe().unwrap();
    let cost = cost.map(|cost| u64::try_from(cost.as_millis()).unwrap());
    let mut before: Option<Vec<[u64; 3]>> = None;
    for round in 0_u64..6 {
        let at_least = 700 + round * 97 % 160;
        let is_time = |text: &str| said(text).last().is_some_and(|[.., at]| *at >= at_least);
        let arguments = ["--exact", working, "--nocapture"];
        let heard = run_until_power_cut(&this, &arguments, &disk, Duration::from_mins(2), is_time).await.unwrap();
        let (first, next) = found(&heard).unwrap_or_else(|| panic!("cut {round}: {heard}"));
        if let (Some(before), Some(cost)) = (&before, cost) {
            let [_, done, end] = *before.last().unwrap();
            let sure = before.iter().rev().find(|[_, _, at]| at + cost <= end);
            let [there, ..] = sure.unwrap_or_else(|| panic!("cut {round}: it worked for too short a time: {before:?}"));
            assert!(next >= *there, "cut {round}: {there} were there, found up to {next}");
            assert!(first <= done, "cut {round}: nothing is done that was not, {first} and {done}");
        }
        before = Some(said(&heard));
    }
}

#[tokio::test]
async fn what_was_forced_onto_the_disk_survives_a_power_cut() {
    survives("each_flush_is_forced_in_the_machine", Some(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_power_cut_costs_no_more_than_the_setting_says() {
    // And a flush that is on its way.
    survives("some_flushes_are_forced_in_the_machine", Some(SPAN + Duration::from_millis(200))).await;
}

#[tokio::test]
async fn what_a_power_cut_leaves_is_opened_and_handed_out_unchanged() {
    survives("no_flush_is_forced_in_the_machine", None).await;
}
