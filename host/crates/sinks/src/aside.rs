//! Blocking work beside the executor, one piece at a time and in order.
//!
//! The host's executor is one thread: a disk or a pipe that hangs must not hold up the other sinks, the sources and the probes.
//! So whoever blocks is handed to the blocking pool, and comes back with what it did. When the caller gives up waiting, the work
//! goes on; the next call waits for it to come back. Two pieces of work never run at once, which is what keeps the order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sluicebox_contract::Fault;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

/// A worker whose calls block.
#[derive(Debug)]
pub(crate) enum Aside<W> {
    Here(W),
    Away(JoinHandle<W>),
    /// The executor has ended and taken the worker with it.
    Lost,
}

impl<W: Send + 'static> Aside<W> {
    pub(crate) fn new(worker: W) -> Self {
        Self::Here(worker)
    }

    /// The worker, once it is back from a call that was given up.
    pub(crate) async fn worker(&mut self) -> Result<&mut W, Fault> {
        if let Self::Away(handle) = self {
            *self = handle.await.map_or(Self::Lost, Self::Here);
        }
        match self {
            Self::Here(worker) => Ok(worker),
            _ => Err(lost()),
        }
    }

    /// Lets the worker work. Dropping the future does not undo the work.
    pub(crate) async fn call<R: Send + 'static>(&mut self, work: impl FnOnce(&mut W) -> R + Send + 'static) -> Result<R, Fault> {
        self.worker().await?;
        let Self::Here(mut worker) = std::mem::replace(self, Self::Lost) else {
            return Err(lost());
        };
        let (answer, result) = oneshot::channel();
        *self = Self::Away(spawn_blocking(move || {
            // A worker is kept whatever it met: it knows what a fresh one would not.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(|| work(&mut worker))) {
                // Nobody listens when the caller has given up.
                let _unheard = answer.send(done);
            }
            worker
        }));
        self.worker().await?;
        result.await.map_err(|_| panicked())
    }
}

fn panicked() -> Fault {
    Fault::retry("cannot write", "the writing thread has panicked")
        .hint("this is a defect of sluicebox: please report it with the lines of the log before this one")
}

fn lost() -> Fault {
    Fault::retry("cannot write", "the program is ending")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use sluicebox_contract::Class;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_that_was_given_up_ends_before_the_next_begins() {
        let mut aside = Aside::new(Vec::new());
        let (open, gate) = sync_channel::<()>(1);
        let first = aside.call(move |worker: &mut Vec<u32>| {
            gate.recv().expect("the gate is opened");
            worker.push(1);
        });
        timeout(Duration::from_millis(20), first).await.expect_err("the gate is closed");
        open.send(()).expect("the worker waits");
        let seen = aside
            .call(|worker| {
                worker.push(2);
                worker.clone()
            })
            .await;
        assert_eq!(seen, Ok(vec![1, 2]));
    }

    #[tokio::test]
    async fn a_worker_that_panics_is_reported_and_works_again() {
        let mut aside = Aside::new(1);
        let fault = aside.call(|_| panic!("on purpose")).await.map(|(): ()| ());
        assert_eq!(fault, Err(panicked()));
        assert_eq!(panicked().class, Class::Retry);
        assert_eq!(aside.call(|worker| *worker).await, Ok(1));
    }
}
