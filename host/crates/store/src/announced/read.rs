//! What is found of a book at the start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::sync::Arc;

use sluicebox_contract::Announcement;

use super::line::{self, Line};
use super::{FORM, LARGEST, NOBODY, Place, failed};
use crate::StoreError;
use crate::directory::Directory;
use crate::queue::frame::{self, Frame, HEADER, Header, OVERHEAD};

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// The file and its good bytes; none where there is none that can be used.
    pub(super) file: Option<(File, u64)>,
    /// The objects with their marks, by uid.
    pub(super) objects: BTreeMap<Arc<str>, (Place, Announcement, u64)>,
    /// How some of them were told after that.
    pub(super) told: BTreeMap<Arc<str>, (Place, Announcement)>,
    /// What could not be used.
    pub(super) trouble: Option<String>,
}

impl Found {
    /// What not everybody has heard takes the place of its like only, and stands beside what is known to be announced.
    fn add(&mut self, place: Place, announcement: Announcement, mark: u64) {
        let uid = Arc::clone(&announcement.uid);
        if mark == NOBODY && self.objects.get(&uid).is_some_and(|(.., known)| *known != NOBODY) {
            self.told.insert(uid, (place, announcement));
        } else {
            self.told.remove(&uid);
            self.objects.insert(uid, (place, announcement, mark));
        }
    }
}

/// Reads a book to its last good frame, and cuts off what stands behind it.
pub(super) fn read(directory: &Directory, name: &str, watched: &str) -> Result<Found, StoreError> {
    let Some(mut file) = directory.open_to_write(name)? else { return Ok(Found::default()) };
    let broken = |error: &std::io::Error| failed(directory, "read", name, error);
    let size = file.metadata().map_err(|error| broken(&error))?.len();
    file.seek(SeekFrom::Start(0)).map_err(|error| broken(&error))?;
    let mut reader = BufReader::new(&file);
    let unusable = |trouble: &str| Found { trouble: Some(trouble.to_owned()), ..Found::default() };
    match frame::read_header(&mut reader, FORM).map_err(|error| broken(&error))? {
        Header::Ours => {}
        Header::Newer(version) => {
            let without = "what was announced before is then announced once more";
            return Err(StoreError::Newer { path: directory.path(name), version, without });
        }
        Header::Damaged => return Ok(unusable("it does not begin as it should")),
    }
    let (mut found, mut bytes, mut strange, mut is_first) = (Found::default(), HEADER, 0, true);
    while let Frame::Whole(_, payload) = frame::next(&mut reader, LARGEST).map_err(|error| broken(&error))? {
        let place = Place { offset: bytes, length: OVERHEAD + payload.len() as u64 };
        bytes += place.length;
        match line::read(&payload) {
            Some(Line::Watched(before)) if is_first && before == watched => {}
            Some(Line::Watched(before)) if is_first => {
                return Ok(unusable(&format!("it is about {before}, and now that is {watched}")));
            }
            Some(Line::There(mark, announcement)) if !is_first => {
                let announcement = announcement.into_owned();
                found.add(place, announcement, mark);
            }
            Some(Line::Gone(uid)) if !is_first => {
                found.objects.remove(&uid);
                found.told.remove(&uid);
            }
            _ if is_first => return Ok(unusable("it does not say what it is about")),
            _ => strange += 1,
        }
        is_first = false;
    }
    drop(reader);
    if is_first {
        return Ok(unusable("it does not say what it is about"));
    }
    let behind = size.saturating_sub(bytes);
    if behind > 0 {
        directory.cut(name, bytes)?;
    }
    found.trouble = trouble(behind, strange);
    found.file = Some((file, bytes));
    Ok(found)
}

fn trouble(behind: u64, strange: u64) -> Option<String> {
    match (behind, strange) {
        (0, 0) => None,
        (0, strange) => Some(format!("{strange} of its records are not understood")),
        (behind, 0) => Some(format!("{behind} bytes at its end were not finished or have changed, and are cut off")),
        (behind, strange) => {
            Some(format!("{behind} bytes at its end are cut off, and {strange} of its records are not understood"))
        }
    }
}
