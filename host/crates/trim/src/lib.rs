//! Gives memory back to the system that the program does not need any more. A crate of its own because nothing of it goes without
//! `unsafe`, and nobody else shall have it.
//!
//! A collector does most of what it ever does in its first seconds: it reads its configuration, loads modules, opens connections, lists
//! what exists. The code for that, and the heap that it took, would otherwise stay resident for months.

use std::fs;
use std::io;

/// Has the C library keep what threads free in two places, and not in one for each thread. Most threads of a collector wait most of the
/// time. To be called before there are threads. Does nothing where the library has no such choice.
pub fn share_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "a function of the C library")]
    // SAFETY: it sets a number of the allocator, and does not touch any memory that is in use.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Has the C library give back what was freed and lies between what is in use. Takes about a millisecond. Does nothing where the
/// library has no such function.
pub fn heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "a function of the C library")]
    // SAFETY: it takes its own locks, may be called from any thread at any time, and touches only memory that nobody owns.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of code and constants that lie in files: those of the program, of its libraries, and of compiled modules. What is
/// still used comes back from the page cache, a few pages at a time.
pub fn code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/smaps")?;
    for (begin, end) in untouched(&maps) {
        let place = std::ptr::with_exposed_provenance_mut(begin);
        #[allow(unsafe_code, reason = "what lies at an address is told to the kernel")]
        // SAFETY: the range is a private mapping of a file that cannot be written to and of which no page was ever written to, so every
        // page is what the file says: the kernel reads it again when it is used. The dynamic linker, which has written to some
        // mappings before it made them read-only, is done before the program begins.
        unsafe {
            rustix::mm::madvise(place, end - begin, rustix::mm::Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The ranges in `/proc/self/smaps` (proc(5)) that cannot be written to, lie in a file, and hold no page of their own.
fn untouched(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in maps.lines() {
        if let Some(mapping) = mapping(line) {
            candidate = mapping;
        } else if line.strip_prefix("Anonymous:").is_some_and(|rest| rest.trim() == "0 kB") {
            found.extend(candidate.take());
        }
    }
    found
}

/// None for a line that begins no mapping; in it none for a mapping that is to stay.
fn mapping(line: &str) -> Option<Option<(usize, usize)>> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let (begin, end) = (usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let rights = fields.next()?;
    // Offset and device come before.
    let (inode, path) = (fields.nth(2)?, fields.next());
    let lies_in_file = inode != "0" && path.is_some_and(|path| path.starts_with('/'));
    let is_kept = !matches!(rights, "r-xp" | "r--p") || !lies_in_file || begin >= end;
    Some((!is_kept).then_some((begin, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_files_and_was_never_written_to_is_let_go_of() {
        let of = |first: &str, anonymous: &str| {
            untouched(&format!("{first}\nSize: 8 kB\nRss: 8 kB\nAnonymous:      {anonymous} kB\nVmFlags: rd\n"))
        };
        assert_eq!(of("1000-3000 r-xp 00001000 08:01 77     /bin/a", "0"), [(0x1000, 0x3000)]);
        assert_eq!(of("1000-3000 r--p 00001000 08:01 77     /lib/b.so", "0"), [(0x1000, 0x3000)]);
        // What the linker has written to.
        assert_eq!(of("1000-3000 r--p 00001000 08:01 77     /bin/a", "4"), []);
        for other in [
            "1000-3000 rw-p 00001000 08:01 77 /bin/a",
            "1000-3000 rwxp 00001000 08:01 77 /bin/a",
            "1000-3000 r-xs 00001000 08:01 77 /bin/a",
            "1000-3000 r-xp 00000000 00:00 0",
            "1000-3000 r-xp 00000000 00:00 0 [vdso]",
            "3000-1000 r-xp 00001000 08:01 77 /bin/a",
            "1000 r-xp 00001000 08:01 77 /bin/a",
            "",
        ] {
            assert_eq!(of(other, "0"), [], "{other}");
        }
    }

    #[test]
    fn the_program_goes_on_and_holds_less() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        // Small pieces, every second of which stays: what is freed lies between what is in use.
        let mut pieces: Vec<Option<Vec<u8>>> = (0..10_000).map(|_| Some(vec![1; 8 << 10])).collect();
        for pair in pieces.chunks_mut(16) {
            for piece in pair.iter_mut().skip(1) {
                *piece = None;
            }
        }
        let before = resident();
        heap();
        code().unwrap();
        let after = resident();
        assert!(pieces.iter().flatten().all(|piece| piece.iter().all(|byte| *byte == 1)));
        if cfg!(target_env = "gnu") {
            assert!(after + 32_000 < before, "{after} kB of {before} kB are left");
        }
    }
}
