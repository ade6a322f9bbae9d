//! What is told at the start of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is told at the start of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtStart {
    /// What has come, changed and gone since the run before. What is as it was is told to modules as unchanged, so that they send no messages
    /// about it again.
    #[default]
    Reconcile,
    /// Everything that is there, as if nobody had heard of it; what has gone is not told.
    Replay,
}
