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

/// Lets go of the pages of the program's own code; those that are still executed come back from the page cache, a few at a time.
pub fn code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (begin, end) in maps.lines().filter_map(|line| executable(line, &program.to_string_lossy())) {
        let begin_of_code = std::ptr::with_exposed_provenance_mut(begin);
        #[allow(unsafe_code, reason = "what lies at an address is told to the kernel")]
        // SAFETY: the range is a mapping of the program's file that is executable and not writable, so its pages are what the file
        // says: the kernel reads them again when they are executed. The file cannot be written while the program runs.
        unsafe {
            rustix::mm::madvise(begin_of_code, end - begin, rustix::mm::Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The range of a line of `/proc/self/maps` that is code of this program and nothing that could have been written to.
fn executable(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    // Offset, device and inode.
    let path = fields.nth(3)?;
    if rights != "r-xp" || path != program {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    let (begin, end) = (usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (begin < end).then_some((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_let_go_of() {
        let of = |line| executable(line, "/bin/a");
        assert_eq!(of("1000-3000 r-xp 00001000 08:01 77 /bin/a"), Some((0x1000, 0x3000)));
        for other in [
            "1000-3000 r--p 00001000 08:01 77 /bin/a",
            "1000-3000 rwxp 00001000 08:01 77 /bin/a",
            "1000-3000 r-xs 00001000 08:01 77 /bin/a",
            "1000-3000 r-xp 00001000 08:01 77 /bin/ab",
            "1000-3000 r-xp 00000000 00:00 0",
            "1000 r-xp 00001000 08:01 77 /bin/a",
            "3000-1000 r-xp 00001000 08:01 77 /bin/a",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
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
