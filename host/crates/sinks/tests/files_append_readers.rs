//! Proves that whoever reads along sees every line exactly once, over rotations.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod appending;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use appending::{folder, line, open, settings, write};
use sluicebox_contract::ByteSize;

/// Follows a file as log shippers do: reads to its end, and goes on with the one that came after it.
struct Follower {
    path: PathBuf,
    file: File,
    text: String,
}

impl Follower {
    fn new(path: PathBuf) -> Self {
        Self { file: File::open(&path).expect("it is there"), path, text: String::new() }
    }

    /// Reads what there is, then turns to the next file; says whether there is one.
    fn step(&mut self) -> bool {
        let chain = chain(&self.path);
        let inode = inode(&self.file);
        let ours = chain.iter().position(|(_, other)| *other == inode);
        // After the look: a file that was rotated by then gets no more lines.
        self.file.read_to_string(&mut self.text).expect("text");
        // Not found while files are renamed: another look will do.
        let next = ours.and_then(|ours| ours.checked_sub(1)).and_then(|next| chain.into_iter().nth(next));
        let Some((next, _)) = next else {
            return false;
        };
        self.file = next;
        true
    }
}

/// The file and those that it was rotated to, the newest first; none when they were renamed meanwhile.
fn chain(path: &Path) -> Vec<(File, u64)> {
    let numbered = (1..).map(|number| PathBuf::from(format!("{}.{number}", path.display())));
    let paths = path.exists().then(|| path.to_owned()).into_iter().chain(numbered);
    let mut chain: Vec<_> = paths.map_while(|path| File::open(path).ok()).map(|file| (inode(&file), file)).collect();
    // Renamed once while we looked, a file is seen twice in a row; renamed twice, it may be out of order.
    chain.dedup_by_key(|(inode, _)| *inode);
    let mut inodes: Vec<_> = chain.iter().map(|(inode, _)| *inode).collect();
    inodes.sort_unstable();
    if inodes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Vec::new();
    }
    chain.into_iter().map(|(inode, file)| (file, inode)).collect()
}

fn inode(file: &File) -> u64 {
    file.metadata().expect("open").ino()
}

#[tokio::test]
async fn a_follower_sees_every_line_once_and_in_order_over_many_rotations() {
    const LINES: usize = 20_000;
    let folder = folder();
    let mut config = settings(&folder);
    let append = config.append.as_mut().expect("set");
    (append.max_bytes, append.keep) = (ByteSize(2_000), 1_000);
    let mut sink = open(config);
    let lines: Vec<_> = (0..LINES).map(|number| line(&number.to_string())).collect();
    write(&mut sink, &lines[..1]).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut follower = Follower::new(folder.path().join("a.csv"));
    let reader = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                follower.step();
            }
            while follower.step() {}
            follower.text
        }
    });
    for batch in lines[1..].chunks(50) {
        write(&mut sink, batch).await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(folder.path().join("a.csv.50").exists(), "it was rotated often");
    let text = reader.join().expect("a reader");
    let count = text.lines().count();
    assert!(text.lines().eq((0..LINES).map(|number| number.to_string())), "{count} of {LINES} lines");
}

/// Ends with the test.
struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn tail_follows_over_rotations() {
    const ROUNDS: usize = 20;
    let folder = folder();
    let mut config = settings(&folder);
    config.append.as_mut().expect("set").max_bytes = ByteSize(16);
    let mut sink = open(config);
    write(&mut sink, &[line("0")]).await;
    let mut command = Command::new("tail");
    command.args(["-n", "+1", "-F"]).arg(folder.path().join("a.csv")).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        let _unheard = writeln!(std::io::stderr(), "NOT RUN: there is no `tail`");
        return;
    };
    let mut tail = Tail(child);
    let lines = BufReader::new(tail.0.stdout.take().expect("piped")).lines();
    let (seen, see) = sync_channel(ROUNDS);
    let reader =
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| seen.send(line).expect("the test listens")));
    for number in 0..ROUNDS {
        assert_eq!(see.recv_timeout(Duration::from_mins(2)), Ok(number.to_string()));
        write(&mut sink, &[line(&(number + 1).to_string())]).await;
    }
    assert_eq!(see.recv_timeout(Duration::from_mins(2)), Ok(ROUNDS.to_string()));
    assert!(folder.path().join("a.csv.3").exists(), "it was rotated often");
    drop(tail);
    reader.join().expect("ends with tail");
    assert!(see.try_recv().is_err(), "no line twice");
}
