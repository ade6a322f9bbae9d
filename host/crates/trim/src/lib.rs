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

/// Lets go of the pages of the program's own file, code and constants. What is still used comes back from the page cache, a few pages at
/// a time.
pub fn code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/smaps")?;
    for (begin, end) in untouched(&maps, &program.to_string_lossy()) {
        let place = std::ptr::with_exposed_provenance_mut(begin);
        #[allow(unsafe_code, reason = "what lies at an address is told to the kernel")]
        // SAFETY: the range is a private mapping of the program's file, which stays mapped as long as the program runs. It cannot be
        // written to, and no page of it ever was (the dynamic linker is done before the program begins), so every page is what the
        // file says: the kernel reads it again when it is used. A file cannot be written to while it is executed.
        unsafe {
            rustix::mm::madvise(place, end - begin, rustix::mm::Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

/// The ranges in `/proc/self/smaps` (proc(5)) that lie in the program's file, cannot be written to, and hold no page of their own.
fn untouched(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in maps.lines() {
        // Only the line that begins a mapping has no name before a colon.
        if line.split_ascii_whitespace().next().is_some_and(|first| !first.ends_with(':')) {
            candidate = of_program(line, program);
        } else if line.strip_prefix("Anonymous:").is_some_and(|rest| rest.trim() == "0 kB") {
            found.extend(candidate.take());
        }
    }
    found
}

fn of_program(line: &str, program: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?;
    // Offset, device and inode.
    let path = fields.nth(3)?;
    let (begin, end) = (usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (path == program && matches!(rights, "r-xp" | "r--p") && begin < end).then_some((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_program_and_was_never_written_to_is_let_go_of() {
        let of = |first: &str, anonymous: &str| {
            untouched(&format!("{first}\nSize: 8 kB\nRss: 8 kB\nAnonymous:      {anonymous} kB\nVmFlags: rd\n"), "/bin/a")
        };
        assert_eq!(of("1000-3000 r-xp 00001000 08:01 77     /bin/a", "0"), [(0x1000, 0x3000)]);
        assert_eq!(of("1000-3000 r--p 00001000 08:01 77     /bin/a", "0"), [(0x1000, 0x3000)]);
        // What the linker has written to.
        assert_eq!(of("1000-3000 r--p 00001000 08:01 77     /bin/a", "4"), []);
        for other in [
            "1000-3000 rw-p 00001000 08:01 77 /bin/a",
            "1000-3000 r-xp 00001000 08:01 77 /bin/ab",
            "1000-3000 r-xp 00001000 08:01 77 /lib/b.so",
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
