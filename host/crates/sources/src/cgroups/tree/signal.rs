//! Wakes whoever waits for directories to come and go. It is apart from the tree, which may be at work elsewhere meanwhile.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep_until;

/// The least time between two wakings: who makes and removes directories without end does not keep us busy without end.
const PAUSE: Duration = Duration::from_millis(20);

/// Can be awaited as often as one likes.
#[derive(Clone)]
pub(crate) struct Signal(Arc<Shared>);

struct Shared {
    inotify: Option<Arc<OwnedFd>>,
    poll: Duration,
    /// When to look although there is no notice.
    due: Mutex<Option<Instant>>,
    woken: Mutex<Option<Instant>>,
}

impl Signal {
    pub(super) fn new(inotify: Option<Arc<OwnedFd>>, poll: Duration) -> Self {
        Self(Arc::new(Shared { inotify, poll, due: Mutex::new(Some(Instant::now())), woken: Mutex::new(None) }))
    }

    pub(super) fn set_due(&self, due: Option<Instant>) {
        *self.0.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Ready when there is something to be told, or when it is time to look. Dropping it loses nothing.
    pub(crate) async fn changed(&self) {
        let woken = *self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(woken) = woken {
            sleep_until((woken + PAUSE).into()).await;
        }
        let notices = self.0.inotify.as_deref().and_then(notices);
        loop {
            let now = Instant::now();
            let due = *self.0.due.lock().unwrap_or_else(PoisonError::into_inner);
            // What is due may be set while we wait; without notices it is all that there is.
            let until = due.unwrap_or(now + self.0.poll).min(now + self.0.poll);
            tokio::select! {
                () = readable(notices.as_ref()) => break,
                () = sleep_until(until.into()) => {
                    if due.is_some_and(|due| due <= Instant::now()) || notices.is_none() {
                        break;
                    }
                }
            }
        }
        *self.0.woken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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
