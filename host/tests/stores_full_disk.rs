//! `sluicebox store` on a disk on which there is no room for a single byte.

#![allow(clippy::print_stderr, reason = "why something was not tested must be seen")]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::Place;
use support::stores::{left_behind, store};

/// The state directory, on a disk of its own that is small; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount anything.
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k,mode=700", "tmpfs"]).arg(&path).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(path));
        }
        eprintln!("NOT RUN: this user may not mount a small disk");
        None
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
        assert!(std::fs::write(self.0.join("more"), "x").is_err(), "the disk is full");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn numbers(file: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_store_is_drained_from_a_full_disk_and_each_entry_once() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("state")) else { return };
    left_behind(&place, 300, "store: {bytes: 1MiB}").await;
    disk.fill();
    let to = place.path("drained.jsonl");
    let said = store(&disk.0, &["drain", "out", "--to", to.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert_eq!(numbers(&to), (0..300).collect::<Vec<u64>>());
    let said = store(&disk.0, &["inspect", "out"]);
    assert!(said.out.starts_with("0 entries wait"), "{}", said.out);
    let said = store(&disk.0, &["drain", "out", "--to", to.to_str().unwrap()]);
    assert_eq!((said.code, numbers(&to).len()), (0, 300), "nothing comes twice: {}", said.error);
}

#[tokio::test]
async fn a_damaged_store_on_a_full_disk_is_repaired_once_there_is_room_for_the_copy_elsewhere() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("state")) else { return };
    left_behind(&place, 300, "store: {bytes: 1MiB}").await;
    let files = || {
        let all = std::fs::read_dir(disk.0.join("store/out")).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|ending| ending == "entries")).collect::<BTreeSet<_>>()
    };
    let first = files().pop_first().unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    disk.fill();
    let said = store(&disk.0, &["repair", "out"]);
    assert!(said.code == 1 && said.error.contains("No space left") && said.error.contains("--aside DIRECTORY"), "{}", said.error);
    assert_eq!(std::fs::read(&first).unwrap(), bytes, "nothing was changed");
    let aside = place.path("aside");
    let said = store(&disk.0, &["repair", "out", "--aside", aside.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{} {}", said.out, said.error);
    assert_eq!(std::fs::read(aside.join(first.file_name().unwrap())).unwrap(), bytes);
    assert_eq!(store(&disk.0, &["verify"]).code, 0);
    let to = place.path("drained.jsonl");
    assert_eq!(store(&disk.0, &["drain", "out", "--to", to.to_str().unwrap()]).code, 0);
    let there = numbers(&to);
    assert!(!there.is_empty() && there.len() < 300 && there.is_sorted(), "{there:?}");
}
