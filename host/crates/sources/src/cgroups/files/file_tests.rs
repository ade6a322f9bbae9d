//! Files that fail in ways of the kernel's own.

use std::fs;

use super::super::directories::Directories;
use super::super::{Content, Group, Home, Whose};
use super::*;
use crate::cgroups::files::values::Slot;
use crate::cgroups::hierarchy::Hierarchies;

/// Reading it at its beginning is an input/output error: nothing is mapped there.
static MEMORY_OF_THIS_PROCESS: Row = row("mem");
static STATUS: Row = row("status");

const fn row(file: &'static str) -> Row {
    let content = Content::Single(Slot::INACTIVE_FILE);
    Row { file, home: Home::Unified, whose: Whose::All, group: Group::Memory, content, otherwise: None, missing_because: "" }
}

fn read_often(row: &'static Row, times: usize) -> Vec<Result<bool, Failure>> {
    let hierarchies = Hierarchies { unified: Some("/proc".into()), ..Hierarchies::default() };
    let directories = Directories::new(&hierarchies, "/self");
    let (mut file, open_files, mut buffer) = (File::new(row, Whose::Others), OpenFiles::new(5), Buffer::new());
    let mut once = || file.read(&mut Doors::new(&directories), &open_files, &mut buffer).map(|text| text.is_some());
    (0..times).map(|_| once()).collect()
}

#[test]
fn a_file_that_cannot_be_read_is_tried_ever_more_rarely() {
    let reads = read_often(&MEMORY_OF_THIS_PROCESS, 1000);
    let tries: Vec<usize> = reads.iter().enumerate().filter(|(_, read)| read.is_err()).map(|(tick, _)| tick).collect();
    assert!(reads.iter().all(|read| matches!(read, Ok(false) | Err(Failure::Other(5)))), "{reads:?}");
    assert_eq!(tries.get(..7), Some(&[0, 1, 2, 4, 7, 12, 21][..]));
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= usize::from(LONGEST_REST) + 1), "{tries:?}");
    assert!(tries.len() > 15, "never given up: {tries:?}");
}

#[test]
fn a_file_that_can_be_read_is_read_each_time() {
    assert!(read_often(&STATUS, 100).iter().all(|read| *read == Ok(true)));
}

#[test]
fn what_the_kernel_hands_out_in_pieces_is_put_together() {
    let (mut buffer, maps) = (Buffer::new(), fs::File::open("/proc/self/mountinfo").unwrap());
    let length = buffer.fill_by_pieces(&maps).unwrap();
    assert_eq!(buffer.text(length), fs::read("/proc/self/mountinfo").unwrap());
    let smaps = fs::File::open("/proc/self/smaps").unwrap();
    assert!(
        buffer.fill_by_pieces(&smaps).is_ok_and(|length| length > 4096) || buffer.fill_by_pieces(&smaps) == Err(Failure::TooLong)
    );
}

#[test]
fn a_file_fits_up_to_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (bytes, fits) in [(0, true), (8 << 10, true), ((64 << 10) - 1, true), (64 << 10, false), (1 << 20, false)] {
        fs::write(&path, vec![b'x'; bytes]).unwrap();
        let (mut buffer, file) = (Buffer::new(), fs::File::open(&path).unwrap());
        let expected = if fits { Ok(bytes) } else { Err(Failure::TooLong) };
        assert_eq!(buffer.fill(&file), expected);
    }
}
