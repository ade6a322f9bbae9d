//! The kernel's word that something may have changed: only a hint, which makes the next look come sooner.
//!
//! inotify is asked directly: no thread, no queue of our own, and only the events that matter, so that reading a file is none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::look::Place;

/// Time between two readings of what the kernel has gathered: a busy directory wakes us this seldom.
const PACE: Duration = Duration::from_millis(50);
/// Events in one reading, at most: about as many as the kernel keeps.
const MOST_EVENTS: usize = 16_384;
/// Bytes for events, for one call to the kernel.
const BUFFER: usize = 8192;

/// Has the kernel tell what happens to the names in a directory; asking again is harmless. It blocks when the directory hangs.
pub(super) fn watch(kernel: &OwnedFd, directory: &Path) -> Result<i32, Errno> {
    let interest = WatchFlags::ATTRIB
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MODIFY
        | WatchFlags::MOVE
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(kernel, directory, interest | WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK)
}

/// The directories that the kernel watches for us.
#[derive(Debug)]
pub(super) struct Hints {
    events: Option<pipe::Receiver>,
    /// What to ask by [`watch`].
    pub(super) kernel: Option<Arc<OwnedFd>>,
    /// The names that matter, by the number of their directory.
    pub(super) names: BTreeMap<i32, BTreeSet<OsString>>,
    /// Not before then are events read again.
    earliest: Instant,
    has_complained: bool,
}

impl Hints {
    /// Hints as far as the kernel gives them. Needs the executor.
    pub(super) fn new() -> Self {
        let mut hints = Self::none();
        match open() {
            Ok((events, kernel)) => {
                hints.events = Some(events);
                hints.kernel = Some(Arc::new(kernel));
            }
            Err(error) => hints.complain(&format!("cannot use inotify: {error}")),
        }
        hints
    }

    /// No hints, ever.
    pub(super) fn none() -> Self {
        Self { events: None, kernel: None, names: BTreeMap::new(), earliest: Instant::now(), has_complained: false }
    }

    /// Ready when something has happened to a name that matters. Dropping the future loses nothing.
    pub(super) async fn heard(&mut self) {
        loop {
            let Some(events) = &self.events else {
                return pending().await;
            };
            sleep_until(self.earliest).await;
            if let Err(error) = events.readable().await {
                self.give_up(&error);
                continue;
            }
            self.earliest = Instant::now() + PACE;
            if self.drain() {
                return;
            }
        }
    }

    /// Whether something has happened to a name that matters since it was asked last.
    pub(super) fn drain(&mut self) -> bool {
        let Some(events) = &self.events else {
            return false;
        };
        let mut matters = false;
        let end = events.try_io(|| {
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut reader = Reader::new(events.as_fd(), &mut buffer);
            for _ in 0..MOST_EVENTS {
                let event = reader.next()?;
                matters |= self.matters(&event);
            }
            // Whatever stands behind it in the buffer goes unread.
            matters = true;
            Ok(())
        });
        match end {
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.give_up(&error);
                true
            }
            _ => matters,
        }
    }

    fn matters(&self, event: &Event<'_>) -> bool {
        if event.events().contains(ReadFlags::IGNORED) {
            return false;
        }
        match (self.names.get(&event.wd()), event.file_name()) {
            (Some(names), Some(name)) => names.contains(OsStr::from_bytes(name.to_bytes())),
            // The directory itself, one of which nothing is known yet, or events were lost.
            _ => true,
        }
    }

    /// Notes what the kernel was asked, whether it is of use or not: [`Hints::keep`] decides.
    pub(super) fn note(&mut self, places: &[Place]) {
        for place in places {
            self.names.entry(place.directory).or_default();
        }
    }

    /// Stops watching whatever is not among `places`.
    pub(super) fn keep<'a>(&mut self, places: impl Iterator<Item = &'a Place>) {
        let mut names: BTreeMap<i32, BTreeSet<OsString>> = BTreeMap::new();
        for place in places {
            names.entry(place.directory).or_default().insert(place.name.clone());
        }
        let before = std::mem::replace(&mut self.names, names);
        let Some(kernel) = &self.kernel else {
            return;
        };
        for directory in before.into_keys().filter(|directory| !self.names.contains_key(directory)) {
            // The kernel has forgotten it by itself when the directory was removed.
            let _forgotten = inotify::remove_watch(kernel, directory);
        }
    }

    /// Says once that not everything is hinted at.
    pub(super) fn complain(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.has_complained, true) {
            warn!(
                cause,
                "the kernel does not tell of every change of a file: some are noticed a little later, when it is looked at"
            );
        }
    }

    /// Goes on without hints.
    pub(super) fn give_up(&mut self, error: &io::Error) {
        self.events = None;
        self.kernel = None;
        self.names.clear();
        self.complain(&format!("cannot read from inotify: {error}"));
    }
}

fn open() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let events = kernel.try_clone()?;
    // It is no pipe, but it is read and waited for like one, and this is the executor's safe way to wait for any descriptor.
    Ok((pipe::Receiver::from_owned_fd_unchecked(events)?, kernel))
}
