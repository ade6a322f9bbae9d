//! What writes entries to the outside.

use std::future::{Future, pending};

use crate::{Entry, Fault};

/// Writes entries. Its calls may take long; the outlet that owns it puts a limit on each. Writing an entry twice is harmless.
pub trait Sink: Send + 'static {
    /// Writes a batch once, in order. Stops at the first entry that cannot be written for now; an entry that can never be written
    /// is refused and the rest goes on.
    fn write(&mut self, batch: &[Entry]) -> impl Future<Output = Outcome> + Send;

    /// How many entries one write is given at most. More suit a sink that waits for an answer to each write, fewer one whose write takes long.
    fn most_entries(&self) -> usize {
        256
    }

    /// The entries of how many calls of modules are gathered for one write at most. More suit a sink that writes seldom, and then all at once.
    fn most_calls(&self) -> usize {
        64
    }

    /// Everything that was written so far had waited from an earlier run, in a store: whether any of it is of something that is there now,
    /// nobody knows before it is written again.
    fn begins(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Everything that was there when the sources began has been written: what is kept from an earlier run and was not written
    /// again belongs to nothing any more.
    fn settled(&mut self) -> impl Future<Output = Result<(), Fault>> + Send {
        async { Ok(()) }
    }

    /// The sink's own work between writes, such as forgetting what is due. Awaited whenever there is nothing to write, dropped
    /// when there is; must lose nothing when dropped, and be pending while there is nothing to do.
    fn upkeep(&mut self) -> impl Future<Output = Result<(), Fault>> + Send {
        pending()
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Entries that can never be written, in order of their index.
    pub refused: Vec<Refusal>,
    /// Where the writing stopped: entries from this index on were not written, for this reason.
    pub stopped: Option<(usize, Fault)>,
}

impl Outcome {
    /// All was written.
    pub fn written() -> Self {
        Self::default()
    }

    /// Nothing from `index` on was written.
    pub fn stopped_at(index: usize, fault: Fault) -> Self {
        Self { refused: Vec::new(), stopped: Some((index, fault)) }
    }
}

/// An entry that can never be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its index in the batch.
    pub index: usize,
    /// Why.
    pub reason: String,
}
