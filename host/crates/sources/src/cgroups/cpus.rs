//! How many processors are online: what a rate of processor time is a share of.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// No machine's list is longer.
const LONGEST: u64 = 4096;
/// More than Linux can be built for; whoever tells more is not believed.
const MOST: u32 = 1 << 16;

/// Where that is read.
#[derive(Debug)]
pub(super) struct Cpus {
    files: [PathBuf; 2],
    last: u32,
}

impl Cpus {
    /// In the host's root, else where this process sees it.
    pub(super) fn new(root: &Path) -> Self {
        let file = "sys/devices/system/cpu/online";
        let last = std::thread::available_parallelism().map_or(1, |number| u32::try_from(number.get()).unwrap_or(1));
        Self { files: [root.join(file), Path::new("/").join(file)], last }
    }

    /// The number now; the one before when it cannot be told.
    pub(super) fn online(&mut self) -> u32 {
        if let Some(number) = self.files.iter().find_map(|file| read(file)) {
            self.last = number;
        }
        self.last
    }
}

fn read(file: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(file).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    count(&text)
}

/// Counts a list such as `0-1,64-66`.
fn count(text: &str) -> Option<u32> {
    text.trim().split(',').try_fold(0_u32, |before, item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let parse = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let more = parse(last)?.checked_sub(parse(first)?)?.checked_add(1)?;
        before.checked_add(more).filter(|sum| *sum <= MOST)
    })
}

#[cfg(test)]
mod fuzz {
    use sluicebox_testkit::fuzz::Fuzz;

    use super::*;

    #[test]
    fn lists_of_processors_are_counted_or_are_none() {
        Fuzz::of(["0-1,64-66\n", "0", "0-4294967295"]).longest(4096).run(|input, _| {
            if let Some(number) = std::str::from_utf8(input).ok().and_then(count) {
                assert!((1..=1 << 16).contains(&number));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D31
    #[test]
    fn lists_of_processors() {
        for (list, expected) in [
            ("0\n", Some(1)),
            ("0,64", Some(2)),
            ("0-1\n", Some(2)),
            ("0-1,64-66", Some(5)),
            ("1-3,5-6", Some(5)),
            ("1-2-3", None),
            ("", None),
            (",", None),
            ("3-1", None),
            ("-1", None),
            ("+1", None),
            ("0-99999999999", None),
            ("0-4294967295", None),
            ("0-4294967295,0-4294967295", None),
            ("zero", None),
        ] {
            assert_eq!(count(list), expected, "{list:?}");
        }
    }

    #[test]
    fn the_host_is_asked_before_this_process() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/devices/system/cpu");
        std::fs::create_dir_all(&folder).unwrap();
        let mut cpus = Cpus::new(root.path());
        assert!(cpus.online() > 0);
        std::fs::write(folder.join("online"), "0-2,8\n").unwrap();
        assert_eq!(cpus.online(), 4);
    }
}
