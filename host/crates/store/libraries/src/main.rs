//! Measures embedded storage libraries as queues of entries, beside the queue of the store: what a batch costs, what is written for it, what
//! they take of the disk and of memory, and what is left of 5 000 entries when the end of a file is missing or one bit has changed.
//!
//! Each figure comes from a process of its own, so that memory and bytes written are those of one library, and a library may crash.

mod candidates;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use candidates::{BATCH, open};

const NAMES: [&str; 4] = ["store", "redb", "fjall", "SQLite"];
/// How many are there when a file is damaged: about 1 MiB.
const ENTRIES: usize = 5_000;
/// How many pass through while it is measured.
const PASSING: usize = 100_000;
/// In how many places a bit is changed, or the end is missing from.
const PLACES: u64 = 24;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => table(),
        ["pass", name, directory] => pass(name, Path::new(directory)),
        ["fill", name, directory] => fill(name, Path::new(directory), ENTRIES),
        ["drain", name, directory] => drain(name, Path::new(directory)),
        _ => bail!("it takes no arguments"),
    }
}

/// 200 bytes that say which entry it is, and no two of which are alike within one.
fn entry(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut bytes = format!("{number:016}").into_bytes();
    while bytes.len() < 200 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

fn table() -> Result<()> {
    println!(
        "| {} |",
        [
            "",
            "bytes with nothing in it",
            "with 1 MB in it",
            "after it has gone out",
            "written for a byte",
            "CPU us an entry",
            "memory MiB",
            "end cut: opens",
            "entries back",
            "bit changed: opens",
            "entries back",
            "changed and handed out"
        ]
        .join(" | ")
    );
    println!("|{}", " --- |".repeat(12));
    for name in NAMES {
        let row = row(name)?;
        println!("| {name} | {} |", row.join(" | "));
    }
    println!(
        "\nentries of 200 bytes, {BATCH} at a time; {PASSING} pass through; the last eight are of {PLACES} places each, entries back of {ENTRIES} in the mean"
    );
    Ok(())
}

fn row(name: &str) -> Result<Vec<String>> {
    let empty = tempfile::tempdir_in(".")?;
    fill(name, empty.path(), 0)?;
    let bytes_empty = size(empty.path())?;
    let full = tempfile::tempdir_in(".")?;
    run("fill", name, full.path())?;
    let bytes_full = size(full.path())?;
    let cut = damaged(name, full.path(), |bytes, place| {
        let keep = bytes.len() - 1 - usize::try_from(place * 97).unwrap_or(0).min(bytes.len() - 1);
        bytes.truncate(keep);
    })?;
    let flipped = damaged(name, full.path(), |bytes, place| {
        let at = bytes.len() * usize::try_from(place).unwrap_or(0) / usize::try_from(PLACES).unwrap_or(1) + 31;
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1 << (place % 8);
    })?;
    run("drain", name, full.path())?;
    let bytes_drained = size(full.path())?;
    let passing = tempfile::tempdir_in(".")?;
    let said = run("pass", name, passing.path())?;
    let [cpu, written, memory] = said.split_whitespace().collect::<Vec<_>>()[..] else { bail!("`{said}` is not three figures") };
    let mean = |found: &Damaged| found.right / PLACES as usize;
    Ok(vec![
        bytes_empty.to_string(),
        bytes_full.to_string(),
        bytes_drained.to_string(),
        written.to_owned(),
        cpu.to_owned(),
        memory.to_owned(),
        format!("{} of {PLACES}", cut.opened),
        mean(&cut).to_string(),
        format!("{} of {PLACES}", flipped.opened),
        mean(&flipped).to_string(),
        (cut.wrong + flipped.wrong).to_string(),
    ])
}

/// What came back, over all places.
#[derive(Default)]
struct Damaged {
    opened: u64,
    right: usize,
    wrong: usize,
}

/// Damages the largest file of a copy, in one place after the other, and reads what is left.
fn damaged(name: &str, whole: &Path, damage: impl Fn(&mut Vec<u8>, u64)) -> Result<Damaged> {
    let mut found = Damaged::default();
    for place in 0..PLACES {
        let copy = tempfile::tempdir_in(".")?;
        copy_all(whole, copy.path())?;
        let largest = files(copy.path())?.into_iter().max_by_key(|(_, length)| *length).context("no file at all")?.0;
        let mut bytes = fs::read(&largest)?;
        damage(&mut bytes, place);
        fs::write(&largest, bytes)?;
        // One that ends in a panic, a signal or an error has not opened.
        let Ok(said) = run("drain", name, copy.path()) else { continue };
        let [right, wrong] = said.split_whitespace().collect::<Vec<_>>()[..] else { bail!("`{said}` is not two figures") };
        found.opened += 1;
        found.right += right.parse::<usize>()?;
        found.wrong += wrong.parse::<usize>()?;
    }
    Ok(found)
}

/// The last line that it prints.
fn run(what: &str, name: &str, directory: &Path) -> Result<String> {
    let output = Command::new(std::env::current_exe()?).args([what, name]).arg(directory).output()?;
    ensure!(output.status.success(), "{what} {name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned())
}

fn fill(name: &str, directory: &Path, entries: usize) -> Result<()> {
    let mut queue = open(name, directory)?;
    let all: Vec<_> = (0..entries).map(entry).collect();
    for batch in all.chunks(BATCH) {
        queue.put(batch)?;
    }
    queue.close()
}

/// Takes out everything, and says how many were right and how many were changed.
fn drain(name: &str, directory: &Path) -> Result<()> {
    let mut queue = open(name, directory)?;
    let (mut right, mut wrong, mut rounds) = (0, 0, 0);
    loop {
        let batch = queue.look()?;
        rounds += 1;
        // One that hands out the same again and again has lost more than entries.
        if batch.is_empty() || rounds > 2 * ENTRIES / BATCH {
            break;
        }
        for bytes in &batch {
            let number =
                bytes.get(..16).and_then(|number| std::str::from_utf8(number).ok()).and_then(|number| number.parse().ok());
            if number.is_some_and(|number| entry(number) == *bytes) { right += 1 } else { wrong += 1 }
        }
        queue.remove()?;
    }
    queue.close()?;
    println!("{right} {wrong}");
    Ok(())
}

/// Many entries through a queue that is never long: microseconds of CPU time for each, bytes written for a byte of theirs, MiB of memory.
fn pass(name: &str, directory: &Path) -> Result<()> {
    let all: Vec<_> = (0..PASSING).map(entry).collect();
    let before = (written()?, resident()?, cpu()?);
    let mut queue = open(name, directory)?;
    for batch in all.chunks(BATCH) {
        queue.put(batch)?;
        queue.look()?;
        queue.remove()?;
    }
    let memory = resident()?.saturating_sub(before.1);
    let spent = cpu()? - before.2;
    queue.close()?;
    let bytes = written()? - before.0;
    let payload = all.iter().map(Vec::len).sum::<usize>();
    println!("{:.2} {:.2} {:.1}", spent * 1e6 / PASSING as f64, bytes as f64 / payload as f64, memory as f64 / 1024.0);
    Ok(())
}

/// Bytes that this process has handed to the system with `write`, see proc_pid_io(5).
fn written() -> Result<u64> {
    field(&fs::read_to_string("/proc/self/io")?, "wchar:")
}

/// Resident memory in KiB, see proc_pid_status(5).
fn resident() -> Result<u64> {
    field(&fs::read_to_string("/proc/self/status")?, "VmRSS:")
}

/// CPU time of all threads in seconds, see proc_pid_schedstat: nanoseconds on the CPU.
fn cpu() -> Result<f64> {
    let mut nanoseconds = 0_u64;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text.split_whitespace().next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| anyhow!("no `{name}`"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Bytes that the disk gives up for it.
fn size(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    files(directory)?.iter().map(|(path, _)| Ok(fs::metadata(path)?.blocks() * 512)).sum()
}

fn files(directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for inside in fs::read_dir(directory)? {
        let inside = inside?;
        if inside.file_type()?.is_dir() {
            found.extend(files(&inside.path())?);
        } else {
            found.push((inside.path(), inside.metadata()?.len()));
        }
    }
    Ok(found)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for inside in fs::read_dir(from)? {
        let inside = inside?;
        let target = to.join(inside.file_name());
        if inside.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_all(&inside.path(), &target)?;
        } else {
            fs::copy(inside.path(), target)?;
        }
    }
    Ok(())
}
