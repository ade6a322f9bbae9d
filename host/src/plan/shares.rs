//! How much of the memory for queues each of them has. Pure.

use sluicebox_contract::quantity::ByteSize;

use super::{Check, LANE_QUEUE, LanePlan, SINK_QUEUE, SinkPlan};
use crate::config::yaml::step;

/// A queue with less is hardly one.
const LEAST: usize = 256 << 10;
/// What may wait of dead letters, at most.
const LETTERS: usize = 16 << 20;

/// What a queue takes of the memory for all.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// What the client of a sink may have besides, bytes.
    client: usize,
}

impl Cost {
    /// What the queue of a module takes.
    pub const LANE: Self = Self { client: 0 };

    /// What the queue of a sink takes. A Kafka client has copies of what is in work, which is no more than half of the queue.
    pub fn of(sink: &SinkPlan) -> Self {
        let client = match &sink.config {
            sluicebox_sinks::Config::Kafka(config) => whole(config.queue_size),
            _ => 0,
        };
        Self { client }
    }

    /// Bytes that a queue takes which may hold so many.
    pub fn take(self, bytes: usize) -> usize {
        bytes.saturating_add(self.client.min(bytes / 2))
    }

    /// Bytes that a queue may hold which may take so many.
    pub fn give(self, free: usize) -> usize {
        // Either the client takes half as much again, or all that it may.
        (free / 3).saturating_mul(2).max(free.saturating_sub(self.client))
    }
}

/// Bytes for dead letters on their way to the disk, of so many for all queues.
pub fn letters(queues: usize) -> usize {
    (queues / 8).min(LETTERS)
}

/// A queue that wants its bytes.
struct Claim<'plan> {
    cost: Cost,
    bytes: &'plan mut usize,
    /// Whether these are what the configuration says.
    is_own: bool,
    usual: usize,
}

fn claims<'plan>(lanes: &'plan mut [LanePlan], sinks: &'plan mut [SinkPlan]) -> Vec<Claim<'plan>> {
    let lanes = lanes.iter_mut().map(|lane| Claim {
        cost: Cost::LANE,
        is_own: lane.has_own_bytes,
        bytes: &mut lane.bounds.bytes,
        usual: LANE_QUEUE.bytes,
    });
    let sinks = sinks.iter_mut().map(|sink| Claim {
        cost: Cost::of(sink),
        is_own: sink.has_own_bytes,
        bytes: &mut sink.bounds.bytes,
        usual: SINK_QUEUE.bytes,
    });
    lanes.chain(sinks).collect()
}

/// What those with bytes of their own take.
fn owned(claims: &[Claim<'_>]) -> usize {
    claims.iter().filter(|claim| claim.is_own).map(|claim| claim.cost.take(*claim.bytes)).fold(0, usize::saturating_add)
}

/// Gives each queue its bytes, of so many for all. Those with bytes of their own keep them, unless they are too many together.
pub fn share_out(queues: usize, lanes: &mut [LanePlan], sinks: &mut [SinkPlan]) {
    let mut claims = claims(lanes, sinks);
    let left = queues.saturating_sub(letters(queues));
    let owned = owned(&claims);
    let others = || claims.iter().filter(|claim| !claim.is_own);
    let usual: usize = others().map(|claim| claim.cost.take(claim.usual)).sum();
    let least: usize = others().map(|claim| claim.cost.take(LEAST)).sum();
    for Claim { cost, bytes, is_own, usual: wanted } in &mut claims {
        let (cost, wanted) = (*cost, *wanted);
        if *is_own {
            **bytes = if owned <= left { **bytes } else { cost.give(part(cost.take(**bytes), left, owned)) };
            continue;
        }
        let left = left.saturating_sub(owned);
        let (at_least, at_most) = (cost.take(LEAST), cost.take(wanted));
        **bytes = if usual <= left {
            wanted
        } else if least <= left {
            cost.give(at_least + part(at_most - at_least, left - least, usual - least))
        } else {
            cost.give(part(at_least, left, least))
        };
    }
}

/// So much of what is left as it is of all.
fn part(wanted: usize, left: usize, all: usize) -> usize {
    let part = (wanted as u128).saturating_mul(left as u128) / (all as u128).max(1);
    usize::try_from(part).unwrap_or(usize::MAX)
}

/// As [`share_out`]; names what does not fit. Gives the bytes for all queues.
pub(super) fn check(check: &mut Check<'_>, memory: ByteSize, lanes: &mut [LanePlan], sinks: &mut [SinkPlan]) -> usize {
    let queues = whole(memory);
    let largest = largest(lanes, sinks);
    let claims = claims(lanes, sinks);
    let owned = owned(&claims);
    let others: Vec<Cost> = claims.iter().filter(|claim| !claim.is_own).map(|claim| claim.cost).collect();
    let needed = others.iter().map(|cost| cost.take(LEAST)).fold(owned, usize::saturating_add);
    if needed > queues.saturating_sub(letters(queues)) {
        let mut wishes = Vec::new();
        if owned > 0 {
            wishes.push(format!("those with `queue.bytes` take {}", rounded(owned)));
        }
        if !others.is_empty() {
            let (count, rest) = (others.len(), if owned > 0 { "others" } else { "queues" });
            wishes.push(format!("the {count} {rest} need {} each", size(LEAST)));
        }
        wishes.push("an eighth is for dead letters".to_owned());
        let text = format!("{memory} for all queues are too few: {}", wishes.join(", "));
        let own = largest.map(|path| format!("{path}/queue/bytes"));
        let mut hint = format!("give `memory.queues` at least `{}`", rounded(with_letters(needed)));
        if let Some(own) = &own {
            hint = format!("{hint}, or less as `{}`", own.trim_start_matches('/').replace('/', "."));
        }
        let is_given = check.document.value.pointer("/memory/queues").is_some();
        let path = own.filter(|_| !is_given).unwrap_or_else(|| "/memory/queues".to_owned());
        check.problem(&path, text, hint);
    }
    share_out(queues, lanes, sinks);
    queues
}

/// The path of the part whose queue is given the most bytes.
fn largest(lanes: &[LanePlan], sinks: &[SinkPlan]) -> Option<String> {
    let lanes = lanes.iter().filter(|lane| lane.has_own_bytes);
    let lanes = lanes.map(|lane| (lane.bounds.bytes, step("/modules", &lane.name)));
    let sinks = sinks.iter().filter(|sink| sink.has_own_bytes);
    let sinks = sinks.map(|sink| (sink.bounds.bytes, step("/sinks", &sink.name)));
    lanes.chain(sinks).max().map(|(_, path)| path)
}

/// So many for all that these are left when dead letters have their part.
fn with_letters(bytes: usize) -> usize {
    bytes.saturating_add((bytes / 7 + 1).min(LETTERS))
}

fn rounded(bytes: usize) -> ByteSize {
    size(bytes.div_ceil(1 << 20).saturating_mul(1 << 20))
}

fn size(bytes: usize) -> ByteSize {
    ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn whole(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
