//! What became of an entry that was not written.

use sluicebox_contract::Fault;

/// Why an entry was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It can never be.
    Refused(String),
    /// It cannot be for now.
    Stopped(Fault),
}
