//! What watches the outside and produces events.

use std::future::Future;

use crate::{Fault, Notice};

/// Watches the outside until told to stop. Does its own retries; ends early only with a fatal fault.
pub trait Source: Send + 'static {
    /// Runs until `stop` is ready.
    fn run(
        self,
        feed: impl Feed,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Where a source puts what it observes.
pub trait Feed: Send + 'static {
    /// Hands a notice to every lane that wants it; waits while a queue is full.
    fn send(&mut self, notice: Notice) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// Nobody listens any more: the host is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens any more")]
pub struct Closed;
