//! Wakes whoever waits for directories to come and go.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep_until;

/// The least time between two wakings: who makes and removes directories without end does not keep us busy without end.
const PAUSE: Duration = Duration::from_millis(20);

/// Can be awaited as often as one likes.
pub(super) struct Signal {
    inotify: Option<Arc<OwnedFd>>,
    poll: Duration,
    /// When to look although there is no notice.
    due: Option<Instant>,
    woken: Mutex<Option<Instant>>,
}

impl Signal {
    /// Due at once, for the first look.
    pub(super) fn new(inotify: Option<Arc<OwnedFd>>, poll: Duration) -> Self {
        Self { inotify, poll, due: Some(Instant::now()), woken: Mutex::new(None) }
    }

    pub(super) fn set_due(&mut self, due: Option<Instant>) {
        self.due = due;
    }

    /// Ready when there is something to be told, or when it is time to look. Dropping it loses nothing.
    pub(super) async fn changed(&self) {
        let woken = *self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(woken) = woken {
            sleep_until((woken + PAUSE).into()).await;
        }
        let notices = self.inotify.as_deref().and_then(notices);
        let due = self.due.or_else(|| notices.is_none().then(|| Instant::now() + self.poll));
        tokio::select! {
            () = readable(notices.as_ref()) => {}
            () = reached(due) => {}
        }
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Made anew each time, it is ready whenever something is left to be read. Every way to an `AsyncFd` is either unsafe or deprecated as
/// unsound; a pipe's reading end owns its descriptor, is never read from here, and becomes readable in the same way.
fn notices(inotify: &OwnedFd) -> Option<Receiver> {
    match inotify.try_clone().and_then(Receiver::from_owned_fd_unchecked) {
        Ok(notices) => Some(notices),
        Err(error) => {
            tracing::debug!("cannot wait for notices of cgroups: {error}: looking from time to time instead");
            None
        }
    }
}

async fn readable(notices: Option<&Receiver>) {
    match notices {
        // An error is told by reading.
        Some(notices) => drop(notices.readable().await),
        None => std::future::pending().await,
    }
}

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
