//! What an operator reads of troubles with a tracer.

use super::trouble::Trouble;

/// A tracer that fails in another way each time does not fill the log.
const OFTEN: u64 = 20;

/// Says when there is trouble of another kind than before, ever more rarely where that goes on, and when the tracer reports again.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failures: u64,
    last: Option<std::mem::Discriminant<Trouble>>,
    /// Troubles of another kind than the one before.
    changes: u64,
    /// The last trouble was told.
    is_told: bool,
    strangers: u64,
    is_blind: bool,
}

impl Outage {
    pub(super) fn failed(&mut self, trouble: &Trouble) {
        self.failures += 1;
        let kind = std::mem::discriminant(trouble);
        if self.last.replace(kind) == Some(kind) {
            return;
        }
        self.changes += 1;
        self.is_told = self.changes <= OFTEN || self.changes.is_power_of_two();
        if self.is_told {
            tracing::warn!(source = "tracer", %trouble, hint = trouble.hint(), "no report from the tracer; it is tried again at each turn");
        }
    }

    /// Somebody was not let in: that says nothing of the tracer.
    pub(super) fn refused(&mut self, trouble: &Trouble) {
        self.strangers += 1;
        if self.strangers <= OFTEN || self.strangers.is_power_of_two() {
            tracing::warn!(source = "tracer", %trouble, so_far = self.strangers, hint = trouble.hint(), "somebody who may not push was not let in");
        }
    }

    /// Whether the processes that are seen are those of the node.
    pub(super) fn sees_host(&mut self, sees: bool) {
        if !sees && !std::mem::replace(&mut self.is_blind, true) {
            tracing::warn!(
                source = "tracer",
                hint = "does it run with `hostPID: true`, or is `host-proc` where the host's is mounted?",
                "these are not the processes of a node with pods: ends are told apart by their addresses only"
            );
        }
    }

    /// Whether the last try failed.
    pub(super) fn is_on(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn succeeded(&mut self) {
        self.last = None;
        if std::mem::take(&mut self.failures) > 0 && self.is_told {
            tracing::info!(source = "tracer", "the tracer reports again");
        }
    }

    pub(super) fn blind(&mut self, cause: &str) {
        if !std::mem::replace(&mut self.is_blind, true) {
            tracing::warn!(
                source = "tracer",
                cause,
                hint = "is `host-proc` the host's, and may this user read it?",
                "cannot look at the processes: ends are told apart by their addresses only"
            );
        }
    }
}
