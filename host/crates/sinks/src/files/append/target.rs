//! Lines on their way into one file: what stands on top, when the file is rotated, what goes out in one write.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::fs::fsync;
use rustix::io::Errno;
use sluicebox_contract::Refusal;
use tokio::time::Instant;
use tracing::warn;

use super::ahead::Ahead;
use super::config::{Append, Durability};
use super::file::{Appended, Left};
use super::known::Known;
use super::line::Line;
use super::rotate::rotate;
use crate::cause::cause;
use crate::files::directory::{Directory, Manner};
use crate::files::state::Moment;
use crate::shown::{NAME, shown};

/// A file that has got another heading is not rotated for yet another one before this time.
const HEADING_STAYS: Duration = Duration::from_mins(1);

/// A rotation that failed is tried again after this time.
const ROTATE_AGAIN: Duration = Duration::from_mins(1);

/// Where the lines go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) sink: &'a str,
    pub(super) directory: &'a Directory,
    pub(super) name: &'a str,
    pub(super) config: &'a Append,
    pub(super) manner: Manner,
    pub(super) now: Moment,
}

/// One file, open or not.
#[derive(Debug, Default)]
pub(super) struct Target {
    file: Option<Appended>,
    /// What may stand in it that is to be written again, where it was let go.
    left: Option<Left>,
    /// It was opened in this run.
    pub(super) is_ours: bool,
    /// The last heading that was said.
    heading: Option<Vec<u8>>,
    heading_changed: Option<Instant>,
    /// When the file is old.
    due: Option<Instant>,
    /// The last rotation has failed: until then lines are appended however large and old the file is.
    stays_until: Option<Instant>,
    pub(super) pending: VecDeque<Line>,
    pub(super) ahead: Ahead,
}

/// What comes next.
enum Step {
    Write,
    Rotate,
    /// Because of another heading.
    RotateForHeading,
    RefuseHeading,
}

impl Target {
    /// Writes what is pending; what stays pending when that fails is not in the file.
    pub(super) fn write(&mut self, site: Site<'_>, known: &mut Known, refused: &mut Vec<Refusal>) -> Result<(), Errno> {
        while !self.pending.is_empty() {
            self.open(site, known)?;
            match self.step(site, known)? {
                Step::Write => {
                    // Whoever comes after a crash must know whose the file is before there is something to lose.
                    known.save(site.directory, site.manner)?;
                    match self.write_some(site) {
                        // No file may become larger: the next one begins empty.
                        Err(Errno::FBIG) if self.file.as_ref().is_some_and(Appended::has_lines) => self.rotate(site)?,
                        done => done?,
                    }
                }
                Step::Rotate => self.try_to_rotate(site)?,
                Step::RotateForHeading => {
                    self.rotate(site)?;
                    self.heading_changed = Some(site.now.instant);
                }
                Step::RefuseHeading => {
                    let reason = "its file got another heading less than a minute ago: give lines with different headings channels of their own";
                    self.refuse_first(reason, refused);
                }
            }
        }
        Ok(())
    }

    /// Refuses the first line that is pending; says whether there was one.
    pub(super) fn refuse_first(&mut self, reason: &str, refused: &mut Vec<Refusal>) -> bool {
        let Some(line) = self.pending.pop_front() else {
            return false;
        };
        self.ahead.refused(line.index, line.print);
        refused.push(Refusal { index: line.index, reason: reason.to_owned() });
        true
    }

    /// Lets the open file go; it is opened again when there is something to write.
    pub(super) fn close(&mut self) {
        if let Some(file) = self.file.take() {
            self.left = file.let_go();
        }
    }

    fn open(&mut self, site: Site<'_>, known: &mut Known) -> Result<(), Errno> {
        let root = site.directory.root();
        if let Some(file) = &mut self.file {
            if file.is_still(root, site.name)? {
                return Ok(());
            }
            self.file = None;
        }
        let file = Appended::open(root, site.name, site.manner.mode, self.left.as_ref())?;
        self.left = None;
        if file.is_made && site.config.sync == Durability::EachWrite {
            fsync(root)?;
        }
        let now = site.now.wall;
        let began = if file.is_made || self.is_ours {
            now
        } else {
            // A file made after what we know of it is another one of that name. A clock that was set back makes none younger than new.
            known.began(site.name).max(file.birth()).map_or(now, |began| began.min(now))
        };
        known.begin(site.name, began);
        self.due = due(site, now.duration_since(began).unwrap_or_default());
        self.file = Some(file);
        self.is_ours = true;
        Ok(())
    }

    fn step(&mut self, site: Site<'_>, known: &mut Known) -> Result<Step, Errno> {
        let (Some(file), Some(line)) = (&mut self.file, self.pending.front()) else {
            return Ok(Step::Write);
        };
        if let Some(heading) = &line.heading {
            if file.length() > 0 && !file.begins_with(heading)? {
                let is_early = self.heading_changed.is_some_and(|at| site.now.instant < at + HEADING_STAYS);
                return Ok(if is_early { Step::RefuseHeading } else { Step::RotateForHeading });
            }
            if self.heading.as_ref() != Some(heading) {
                self.heading = Some(heading.clone());
            }
        }
        let stays = self.stays_until.is_some_and(|until| site.now.instant < until);
        let is_old = !stays && self.due.is_some_and(|due| due <= site.now.instant);
        if file.has_lines() {
            let is_full = !stays && file.length().saturating_add(line.length()) > site.config.max_bytes.0;
            return Ok(if !line.bytes.is_empty() && (is_old || is_full) { Step::Rotate } else { Step::Write });
        }
        if is_old {
            // The age counts from the first line.
            known.begin(site.name, site.now.wall);
            self.due = due(site, Duration::ZERO);
        }
        Ok(Step::Write)
    }

    /// What is in the way of a rotation is not in the way of lines: too large a file is better than none.
    fn try_to_rotate(&mut self, site: Site<'_>) -> Result<(), Errno> {
        match self.rotate(site) {
            Err(errno) if self.file.is_some() && errno != Errno::NOENT => {
                let (sink, name, cause) = (site.sink, shown(site.name, NAME), cause(errno));
                warn!(
                    sink,
                    name,
                    cause,
                    "a file cannot be rotated; lines are appended to it nevertheless, and it is tried again in a minute"
                );
                self.stays_until = Some(site.now.instant + ROTATE_AGAIN);
                Ok(())
            }
            done => {
                self.stays_until = None;
                done
            }
        }
    }

    fn rotate(&mut self, site: Site<'_>) -> Result<(), Errno> {
        let root = site.directory.root();
        rotate(root, site.name, site.config.keep)?;
        self.file = None;
        if site.config.sync == Durability::EachWrite { fsync(root) } else { Ok(()) }
    }

    /// Writes in one piece what goes into the file before it must be rotated.
    fn write_some(&mut self, site: Site<'_>) -> Result<(), Errno> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        if file.length() == 0
            && let Some(heading) = &self.heading
        {
            text.extend_from_slice(heading);
            ends.push(text.len());
            file.begin(heading.clone());
        }
        let headings = ends.len();
        let stays = self.stays_until.is_some_and(|until| site.now.instant < until);
        for line in &self.pending {
            let length = file.length().saturating_add(text.len() as u64).saturating_add(line.length());
            let has_place = (stays || length <= site.config.max_bytes.0)
                && line.heading.as_deref().is_none_or(|it| file.heading() == Some(it));
            if ends.len() > headings && !has_place {
                break;
            }
            text.extend_from_slice(&line.bytes);
            ends.push(text.len());
        }
        let done = file.write(&text, &ends, site.config.sync);
        let whole = done.map_or_else(|(whole, _)| whole, |()| ends.len());
        for line in self.pending.drain(..whole.saturating_sub(headings)) {
            self.ahead.wrote(line.index, line.print);
        }
        done.map_err(|(_, errno)| errno)
    }
}

fn due(site: Site<'_>, age: Duration) -> Option<Instant> {
    // Longer than the clock can count is for ever.
    site.config.longest().and_then(|longest| site.now.instant.checked_add(longest.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use sluicebox_contract::{Message, TimeSpan};
    use tempfile::tempdir;

    use super::*;
    use crate::files::config::FileMode;

    const DAY: Duration = Duration::from_hours(24);

    /// One run of the sink, that began at this time: writes a line and ends.
    fn run(folder: &Path, now: Moment, line: &str) {
        let directory = Directory::open(folder).expect("a directory");
        let config = Append { max_age: Some(TimeSpan(DAY)), ..Append::new("a") };
        let manner = Manner { mode: FileMode::default(), sync: false };
        let mut known = Known::default();
        known.recall(&directory).expect("readable");
        let message = Message { body: line.into(), ..Message::default() };
        let line = Line::new(0, message).expect("possible").expect("a line");
        let mut target = Target { pending: [line].into(), ..Target::default() };
        let site = Site { sink: "lines", directory: &directory, name: "a", config: &config, manner, now };
        target.write(site, &mut known, &mut Vec::new()).expect("written");
    }

    fn later(now: Moment, time: Duration) -> Moment {
        Moment { instant: now.instant, wall: now.wall + time }
    }

    #[test]
    fn the_age_counts_across_restarts() {
        let folder = tempdir().expect("a folder");
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let now = Moment::now();
        run(folder.path(), now, "1");
        run(folder.path(), later(now, DAY / 2), "2");
        run(folder.path(), later(now, Duration::from_hours(23)), "3");
        assert_eq!(text("a"), "1\n2\n3\n");
        // The clock of the file system is a little behind or ahead.
        run(folder.path(), later(now, DAY + Duration::from_secs(1)), "4");
        assert_eq!((text("a").as_str(), text("a.1").as_str()), ("4\n", "1\n2\n3\n"));
        run(folder.path(), later(now, DAY + DAY / 2), "5");
        assert_eq!(text("a"), "4\n5\n");
    }

    #[test]
    fn the_age_of_a_file_that_others_have_made_counts_from_then() {
        let folder = tempdir().expect("a folder");
        fs::write(folder.path().join("a"), "0\n").expect("a file");
        let now = Moment::now();
        run(folder.path(), later(now, DAY / 2), "1");
        assert_eq!(fs::read_to_string(folder.path().join("a")).expect("a file"), "0\n1\n");
        run(folder.path(), later(now, DAY + Duration::from_secs(1)), "2");
        assert_eq!(fs::read_to_string(folder.path().join("a.1")).expect("a file"), "0\n1\n");
    }

    #[test]
    fn a_clock_that_was_set_back_rotates_nothing_and_holds_up_nothing() {
        let folder = tempdir().expect("a folder");
        let now = Moment::now();
        run(folder.path(), later(now, 100 * DAY), "1");
        run(folder.path(), now, "2");
        run(folder.path(), Moment { wall: std::time::UNIX_EPOCH, ..now }, "3");
        assert_eq!(fs::read_to_string(folder.path().join("a")).expect("a file"), "1\n2\n3\n");
    }

    #[test]
    fn what_a_failed_write_has_left_is_cut_off_when_the_file_was_let_go_meanwhile() {
        // What stands in the file, of that what was to be written again, and what comes of it.
        for (there, expected) in [
            ("1\n", "1\n2\n3\n"),
            ("1\n2", "1\n2\n3\n"),
            ("1\n2\n", "1\n2\n3\n"),
            ("1\n2\n3\n", "1\n2\n3\n"),
            ("1\nother\n", "1\nother\n2\n3\n"),
            ("1\n2\n3\n4\n", "1\n2\n3\n4\n2\n3\n"),
            ("", "2\n3\n"),
        ] {
            let folder = tempdir().expect("a folder");
            let directory = Directory::open(folder.path()).expect("a directory");
            let (config, manner) = (Append::new("a"), Manner { mode: FileMode::default(), sync: false });
            let site = Site { sink: "lines", directory: &directory, name: "a", config: &config, manner, now: Moment::now() };
            let (mut target, mut known) = (Target::default(), Known::default());
            let line = |body: &str| {
                Line::new(0, Message { body: body.into(), ..Message::default() }).expect("possible").expect("a line")
            };
            target.pending.push_back(line("1"));
            target.write(site, &mut known, &mut Vec::new()).expect("written");
            // As after a write of which it is not known how much has reached the disk.
            target.file.as_mut().expect("open").left = Some(b"2\n3\n".to_vec());
            target.close();
            assert!(target.file.is_none(), "nobody can mend the disk while it is open");
            fs::write(folder.path().join("a"), there).expect("written");
            target.pending.extend(["2", "3"].map(line));
            target.write(site, &mut known, &mut Vec::new()).expect("written");
            assert_eq!(fs::read_to_string(folder.path().join("a")).expect("text"), expected, "{there:?}");
        }
    }
}
