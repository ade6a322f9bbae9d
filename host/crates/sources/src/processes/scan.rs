//! Reads `/proc`. Blocks; call it where that is allowed.

use std::collections::HashMap;
use std::fs::{File, read_dir, read_link};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Process, Processes, parse};

/// How many processes are looked at. No more are possible on most machines.
const MOST_PROCESSES: usize = 65_536;
/// `cgroup` has a line for each hierarchy of version 1, of which there are at most 16, and no path is longer than 4 KiB.
const MOST_CGROUP_BYTES: u64 = 80 << 10;
/// `stat` has numbers, and a name of at most 64 bytes.
const MOST_STAT_BYTES: u64 = 4 << 10;
/// The host's own namespace is that of its first process.
const FIRST: &str = "1";
/// The process that reads, as `/proc` shows it.
const OWN: &str = "self";

/// Looks at every process that is shown in `root`, such as `/proc`. One that ends meanwhile is left out.
pub(crate) fn scan(root: &Path) -> io::Result<Processes> {
    scan_at_most(root, MOST_PROCESSES)
}

fn scan_at_most(root: &Path, most: usize) -> io::Result<Processes> {
    let (mut found, mut not_seen, mut buffer) = (HashMap::new(), 0, Vec::new());
    for entry in read_dir(root)? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if found.len() >= most {
            not_seen += 1;
        } else if let Some(process) = process(&root.join(name), &mut buffer) {
            found.insert(pid, process);
        }
    }
    Ok(Processes::new(found, host_namespace(root), not_seen))
}

fn process(directory: &Path, buffer: &mut Vec<u8>) -> Option<Process> {
    let started = parse::started(contents(&directory.join("stat"), MOST_STAT_BYTES, buffer)?)?;
    let place = parse::whose(contents(&directory.join("cgroup"), MOST_CGROUP_BYTES, buffer)?);
    Some(Process { place, network_namespace: namespace(directory), started })
}

/// The beginning of a file. None if it cannot be read, which is so when the process has ended.
fn contents<'a>(path: &Path, most: u64, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    buffer.clear();
    File::open(path).ok()?.take(most).read_to_end(buffer).ok()?;
    Some(buffer)
}

fn namespace(directory: &Path) -> Option<u32> {
    parse::inode(read_link(directory.join("ns/net")).ok()?.as_os_str().as_bytes())
}

/// That of the first process. Where that one may not be looked at, ours is as good if the two see the same interfaces.
fn host_namespace(root: &Path) -> Option<u32> {
    // The kernel has one such file for each namespace, which everybody may look at.
    let interfaces = |process: &str| {
        let file = root.join(process).join("net/dev").metadata().ok()?;
        Some((file.dev(), file.ino()))
    };
    namespace(&root.join(FIRST)).or_else(|| {
        let same = interfaces(FIRST).is_some_and(|first| interfaces(OWN) == Some(first));
        same.then(|| namespace(&root.join(OWN))).flatten()
    })
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
