//! The reading has a thread of the blocking pool for as long as it takes; the executor goes on meanwhile.

use std::time::Instant as SteadyInstant;

use sluicebox_contract::Fault;
use tokio::task::{JoinHandle, spawn_blocking};

use super::names::Orders;
use super::sampler::{Sampler, Taken, What};

/// The sampler, here or at work.
pub(super) enum Reader {
    Here(Box<Sampler>),
    Away {
        handle: JoinHandle<(Box<Sampler>, Result<Taken, Fault>)>,
        what: Extent,
        since: SteadyInstant,
    },
    /// It has panicked, or the executor has ended.
    Lost,
}

/// Whether all is read, or only what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    Some,
}

impl Reader {
    pub(super) fn new(sampler: Sampler) -> Self {
        Self::Here(Box::new(sampler))
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// What it is at work with, and since when.
    pub(super) fn at_work(&self) -> Option<(Extent, SteadyInstant)> {
        match self {
            Self::Away { what, since, .. } => Some((*what, *since)),
            Self::Here(_) | Self::Lost => None,
        }
    }

    /// Begins to read, unless it is at work.
    pub(super) fn begin(&mut self, what: What, orders: Orders) {
        *self = match std::mem::replace(self, Self::Lost) {
            Self::Here(mut sampler) => {
                let extent = if matches!(what, What::All) { Extent::All } else { Extent::Some };
                let handle = spawn_blocking(move || {
                    let taken = sampler.read(&what, orders);
                    (sampler, taken)
                });
                Self::Away { handle, what: extent, since: SteadyInstant::now() }
            }
            busy => busy,
        };
    }

    /// Ready when the reading has ended; never when there is none.
    pub(super) async fn back(&mut self) -> Result<(Extent, Taken), Fault> {
        let Self::Away { handle, what, .. } = self else { return std::future::pending().await };
        let (joined, what) = (handle.await, *what);
        let Ok((sampler, taken)) = joined else {
            *self = Self::Lost;
            return Err(Fault::fatal("cannot read cgroups", "the reading thread has panicked")
                .hint("this is a defect of sluicebox: please report it with the lines of the log before this one"));
        };
        *self = Self::Here(sampler);
        Ok((what, taken?))
    }

    /// Ready when cgroups have come or gone; never while it is at work.
    pub(super) async fn changed(&self) {
        match self {
            Self::Here(sampler) => sampler.changed().await,
            Self::Away { .. } | Self::Lost => std::future::pending().await,
        }
    }
}
