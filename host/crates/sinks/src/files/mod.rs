//! Files: each document is one file of a directory, replaced in one step, forgotten at once or when its time has come. Messages are
//! lines, appended to files of the same directory.

mod append;
mod config;
mod directory;
#[cfg(test)]
mod fuzz;
mod name;
mod reaction;
mod state;
mod writer;

use std::future::pending;
use std::sync::Arc;

use sluicebox_contract::{Entry, Fault, Outcome, Sink};
use tokio::time::sleep_until;

pub use append::{Append, Durability};
pub use config::{Config, FileMode, RemoveUnclaimed};

use crate::aside::Aside;
use append::Call;
use state::Moment;
use writer::Writer;

/// The sink.
#[derive(Debug)]
pub struct Files {
    writer: Aside<Writer>,
    /// Batches so far, and the last one whose outcome has reached whoever asked for it.
    call: Call,
}

impl Files {
    /// Touches nothing: the directory is opened by the first write or the first upkeep.
    pub fn new(name: Arc<str>, config: &Config) -> Self {
        Self { writer: Aside::new(Writer::new(name, config.clone())), call: Call { number: 0, heard: 0 } }
    }
}

impl Files {
    /// Has the writer work, and lets a file system that ails go.
    async fn work<R: Send + 'static>(&mut self, work: impl FnOnce(&mut Writer) -> R + Send + 'static) -> Result<R, Fault> {
        let done = self.writer.call(move |writer| {
            let done = work(writer);
            writer.rest();
            done
        });
        done.await
    }
}

impl Sink for Files {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        // A copy: the work goes on beside us when we are dropped.
        let batch = batch.to_vec();
        let now = Moment::now();
        self.call.number += 1;
        let call = self.call;
        let written = self.work(move |writer| writer.write(batch, call, now)).await;
        if written.is_ok() {
            self.call.heard = call.number;
        }
        written.unwrap_or_else(|fault| Outcome::stopped_at(0, fault))
    }

    async fn begins(&mut self) {
        // Where the worker has ended, the next write says so.
        let _ended = self.writer.call(Writer::begins).await;
    }

    async fn settled(&mut self) -> Result<(), Fault> {
        let now = Moment::now();
        self.work(move |writer| writer.settled(now)).await?
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        let writer = self.writer.worker().await?;
        if writer.has_recalled() {
            match writer.next_due() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        }
        let now = Moment::now();
        self.work(move |writer| writer.upkeep(now)).await?
    }
}
