//! How the writer gets at the directory: opened when something is to be done in it, and anew where what was open has gone.

use std::path::Path;

use rustix::io::Errno;
use sluicebox_contract::Fault;
use tracing::warn;

use super::Writer;
use crate::files::append::Appender;
use crate::files::directory::Directory;
use crate::files::reaction::{at_default_file, at_directory, at_file, is_gone, is_of_file_system};
use crate::files::state::Moment;
use crate::obstacle::Obstacle;

impl Writer {
    /// Does something in the directory; once more in a fresh one when the one that was open has gone.
    pub(super) fn with_directory(
        &mut self,
        now: Moment,
        mut work: impl FnMut(&Directory, &mut Appender) -> Result<(), Errno>,
    ) -> Result<Result<(), Errno>, Fault> {
        let done = self.work(now, &mut work)?;
        if !done.is_err_and(|errno| errno == Errno::NOENT || is_gone(errno)) {
            return Ok(done);
        }
        if done == Err(Errno::NOENT) {
            warn!(sink = %self.sink, directory = %self.config.directory.display(), "the directory has been removed; it is made again");
        }
        self.directory = None;
        self.unsaved = true;
        if done != Err(Errno::NOENT) {
            self.appender.close();
        }
        self.appender.directory_lost();
        self.work(now, &mut work)
    }

    /// What an error at one file means.
    pub(super) fn judge(&mut self, errno: Errno, tried: String) -> Obstacle {
        let obstacle = at_file(errno, tried, &self.config.directory, || self.takes_others());
        if matches!(obstacle, Obstacle::Stopped(_)) {
            self.leave_after(errno);
        }
        obstacle
    }

    /// The same of the file of the settings.
    pub(super) fn judge_default(&mut self, errno: Errno, tried: String, path: &Path) -> Fault {
        let fault = at_default_file(errno, tried, path, || self.takes_others());
        self.leave_after(errno);
        fault
    }

    /// What an error at the directory, or at a file of the sink's own, means.
    pub(super) fn judge_directory(&mut self, errno: Errno, tried: String) -> Fault {
        self.leave_after(errno);
        at_directory(errno, tried, &self.config.directory)
    }

    /// Opens the directory and its files anew the next time, where what they lie on may have been replaced by then; nobody can do that
    /// while they are open.
    fn leave_after(&mut self, errno: Errno) {
        if is_of_file_system(errno) {
            self.ailment = Some(errno);
            self.leave();
        }
    }

    /// At the end of any work: to read, or to find that there is nothing to be done, the directory was opened even so.
    pub(in crate::files) fn rest(&mut self) {
        if self.ailment.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.directory = None;
        self.appender.close();
    }

    fn takes_others(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.takes_files(self.manner()))
    }

    pub(super) fn work<R>(&mut self, now: Moment, work: impl FnOnce(&Directory, &mut Appender) -> R) -> Result<R, Fault> {
        self.open(now)?;
        // It is open; the fault is for the compiler.
        let directory = self.directory.as_ref().ok_or_else(not_open)?;
        Ok(work(directory, &mut self.appender))
    }

    pub(super) fn open(&mut self, now: Moment) -> Result<&Directory, Fault> {
        if self.directory.is_none() {
            let directory = self.open_directory()?;
            if !self.recalled {
                self.recall(&directory, now);
                self.recalled = true;
            }
            self.directory = Some(directory);
        }
        // Set in the lines above; the fault is for the compiler.
        self.directory.as_ref().ok_or_else(not_open)
    }

    fn open_directory(&self) -> Result<Directory, Fault> {
        let path: &Path = &self.config.directory;
        let tried = format!("cannot open the directory `{}`", path.display());
        let directory = Directory::open(path).map_err(|errno| at_directory(errno, tried, path))?;
        if !directory.locked {
            warn!(sink = %self.sink, directory = %path.display(), "this file system cannot keep a second writer out: make sure that there is none");
        }
        Ok(directory)
    }
}

fn not_open() -> Fault {
    Fault::retry("cannot open the directory", "it is not open")
}
