//! Why the loop of a source ends.

use sluicebox_contract::{Closed, Fault};

/// Nobody listens any more, or it cannot go on.
pub(crate) enum End {
    Closed,
    Fault(Fault),
}

impl End {
    /// What the source says of it.
    pub(crate) fn result(self) -> Result<(), Fault> {
        match self {
            Self::Closed => Ok(()),
            Self::Fault(fault) => Err(fault),
        }
    }
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// There is no number left for another subject.
pub(crate) fn out_of_ids(what: &str) -> Fault {
    Fault::fatal(format!("cannot number another {what}"), "all 4294967295 numbers of this run have been used")
        .hint("restart sluicebox")
}
