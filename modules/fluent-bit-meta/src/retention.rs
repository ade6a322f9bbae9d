//! How long a file stays after its pod has gone.

use std::time::Duration;

use serde::Deserialize;
use sluicebox_sdk::Span;

/// How long a file stays after its pod has gone: `90s`, `5m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Retention(pub Span);

impl Default for Retention {
    fn default() -> Self {
        Self(Span(Duration::from_mins(1)))
    }
}
