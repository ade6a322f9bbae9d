//! The parts of a pipeline as an operator calls them, their end, and how the run ended.

use std::fmt;
use std::sync::Arc;

use sluicebox_contract::meter::OutletMeter;

/// How the run ended.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults that ended the run, or came up while it ended.
    pub faults: Vec<String>,
    /// Who had not finished at the deadline.
    pub late: Vec<String>,
}

impl Report {
    /// Whether everything ended as asked.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.late.is_empty()
    }
}

/// What an operator calls a task: `source pods`, `lane galileo`, `sink events`.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    /// It was to end: how it does is no fault of the run.
    pub(crate) removed: bool,
    /// What a sink counts.
    pub(crate) meter: Option<Arc<OutletMeter>>,
}

impl Part {
    /// Whether it has something to do itself, and does not only wait for others to end.
    pub(crate) fn is_at_work(&self) -> bool {
        match self.kind {
            Kind::Source | Kind::Lane => true,
            Kind::Sink => self.meter.as_ref().is_none_or(|meter| meter.held() > 0),
            Kind::DeadLetters => false,
        }
    }
}

/// What kind of part a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Source,
    Lane,
    Sink,
    DeadLetters,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Lane => "module",
            Self::Sink => "sink",
            Self::DeadLetters => "dead letters",
        })
    }
}

/// Calls what is to be called at the end of a task, even of one that panics or is dropped.
pub(crate) struct AtEnd<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtEnd<F> {
    pub(crate) fn new(at_end: F) -> Self {
        Self(Some(at_end))
    }
}

impl<F: FnOnce()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        if let Some(at_end) = self.0.take() {
            at_end();
        }
    }
}
