//! What lanes hand to an outlet, and what several such parcels hold together, in one list, as a sink takes it.

use std::sync::Arc;

use sluicebox_contract::meter::OutletMeter;
use sluicebox_contract::{Entry, ModuleIdentity, Receipt, UnixNanos};
use tokio::sync::mpsc;

use crate::queue::{Item, Worth};

/// Which lane made an entry, for whoever looks for the culprit.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) lane: Arc<str>,
    pub(crate) module: ModuleIdentity,
    /// It was a dead letter before, or was made from one: its age says nothing of how quick the pipeline is.
    pub(crate) again: bool,
    /// Who wants to know whether the entry is written, or else why it is refused: it is replayed, and was a dead letter before.
    pub(crate) replay: Option<mpsc::Sender<Option<String>>>,
}

/// What a lane hands to an outlet.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// What one call of the module made. The receipt is done once all of it is written, refused or put away.
    Entries { origin: Arc<Origin>, entries: Vec<Entry>, observed_at: UnixNanos, receipt: Option<Receipt> },
    /// The lane of this name has shaped everything that was there when its sources began.
    Settled(Arc<str>),
    /// A lane that was added while the program runs: it has everything to shape yet.
    Joined(Arc<str>),
}

impl Parcel {
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Entries { entries, .. } => entries.iter().map(Entry::weight).sum(),
            Self::Settled(_) | Self::Joined(_) => 16,
        }
    }

    /// How many entries it holds.
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Self::Entries { entries, .. } => entries.len() as u64,
            Self::Settled(_) | Self::Joined(_) => 0,
        }
    }

    /// The receipt of the events that it was made of.
    pub(super) fn take_receipt(&mut self) -> Option<Receipt> {
        match self {
            Self::Entries { receipt, .. } => receipt.take(),
            Self::Settled(_) | Self::Joined(_) => None,
        }
    }

    /// Whether it survives the end of the program in a store. Who replays a dead letter waits for its answer, and has the letter still.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::Entries { origin, .. } if origin.replay.is_none())
    }
}

/// Entries are dropped where the sink is configured so. Who replays a dead letter waits for its answer.
impl Item for Parcel {
    fn worth(&self) -> Worth {
        if self.is_stored() { Worth::Fact } else { Worth::Kept }
    }

    fn things(&self) -> u64 {
        self.entries()
    }
}

/// What several parcels hold, in one list.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) entries: Vec<Entry>,
    /// Who made them, in their order.
    made: Vec<Made>,
    /// Lanes that have settled or joined, in order.
    pub(super) lanes: Vec<(Arc<str>, Progress)>,
}

/// Who made the entries up to an index, from an event of when.
#[derive(Debug)]
struct Made {
    end: usize,
    origin: Arc<Origin>,
    observed_at: UnixNanos,
}

/// How far a lane is with what was there at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Joined,
    Settled,
}

impl Gathered {
    /// Whoever has taken their receipts knows when all is dealt with.
    pub(super) fn new(parcels: impl IntoIterator<Item = Parcel>) -> Self {
        let mut gathered = Self::default();
        for parcel in parcels {
            match parcel {
                Parcel::Entries { origin, entries, observed_at, receipt: _ } => {
                    gathered.entries.extend(entries);
                    gathered.made.push(Made { end: gathered.entries.len(), origin, observed_at });
                }
                Parcel::Settled(lane) => gathered.lanes.push((lane, Progress::Settled)),
                Parcel::Joined(lane) => gathered.lanes.push((lane, Progress::Joined)),
            }
        }
        gathered
    }

    /// Who made the entry of this index, from an event of when.
    pub(super) fn origin(&self, index: usize) -> Option<(&Origin, UnixNanos)> {
        let place = self.made.partition_point(|made| made.end <= index);
        self.made.get(place).map(|made| (made.origin.as_ref(), made.observed_at))
    }

    /// The entries from this index on, those together that were made together, and at which index each part begins.
    pub(super) fn parts(&self, from: usize) -> impl Iterator<Item = (usize, &Arc<Origin>, UnixNanos, &[Entry])> {
        let begins = std::iter::once(0).chain(self.made.iter().map(|made| made.end));
        self.made.iter().zip(begins).filter_map(move |(made, begin)| {
            let begin = begin.max(from);
            let entries = self.entries.get(begin..made.end).filter(|entries| !entries.is_empty())?;
            Some((begin, &made.origin, made.observed_at, entries))
        })
    }

    /// All of it is written or refused: whoever wants to know is told.
    pub(super) fn finished(&self, meter: &OutletMeter) {
        let now = UnixNanos::now();
        for made in &self.made {
            if !made.origin.again {
                meter.delay.observe(made.observed_at.elapsed_until(now));
            }
            if let Some(replay) = &made.origin.replay {
                // The first answer counts, and that an entry was refused has been said before.
                let _answered = replay.try_send(None);
            }
        }
    }
}
