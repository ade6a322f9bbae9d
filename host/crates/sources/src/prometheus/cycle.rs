//! The queries of one period: when they are asked, and how far a cycle has come. Pure.

use std::time::Duration;

use sluicebox_contract::UnixNanos;
use tokio::time::Instant;

use super::request::Moments;
use crate::http::Trouble;
use crate::turns::{Turns, multiple};

/// A cycle takes at most so many parts of twenty of its period.
const PARTS: u32 = 19;

/// Queries that share a period.
pub(super) struct Group {
    pub(super) period: Duration,
    pub(super) turns: Turns,
    /// Their places in the list of all queries.
    pub(super) queries: Vec<usize>,
    pub(super) cycle: Option<Cycle>,
}

/// A cycle that is not over.
pub(super) struct Cycle {
    /// What it is called in logs.
    pub(super) name: String,
    /// When it was due.
    pub(super) at: UnixNanos,
    pub(super) begun: Instant,
    /// By then it is over.
    pub(super) deadline: Instant,
    /// Queries whose answers have not been told.
    pub(super) left: usize,
    pub(super) failed: Vec<(String, Trouble)>,
}

/// One question of a cycle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) group: usize,
    pub(super) query: usize,
    pub(super) moments: Moments,
    pub(super) deadline: Instant,
    /// Its query was late in the cycle before.
    pub(super) is_late: bool,
}

impl Group {
    pub(super) fn new(period: Duration, queries: Vec<usize>) -> Self {
        Self { period, turns: Turns::new(period, Instant::now(), UnixNanos::now()), queries, cycle: None }
    }

    /// Takes the turn that is due and begins its cycle, unless the one before is not over; says how many turns were missed.
    pub(super) fn begin(&mut self, name: &str, now: Instant, wall: UnixNanos) -> u64 {
        let missed = self.turns.take(now, wall);
        if self.cycle.is_some() {
            return missed + 1;
        }
        self.cycle = Some(Cycle {
            name: name.to_owned(),
            at: multiple(self.period, wall),
            begun: now,
            deadline: now + self.period * PARTS / 20,
            left: self.queries.len(),
            failed: Vec::new(),
        });
        missed
    }
}

impl Cycle {
    /// When it was due, milliseconds since 1970 UTC.
    pub(super) fn turn_millis(&self) -> i64 {
        i64::try_from(self.at.0 / 1_000_000).unwrap_or(i64::MAX)
    }
}
