//! The one representation of a moment in events.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z, as the host's clock had them when the fact was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The moment of the call. A clock before 1970 reads as zero, one after the year 2554 as the largest value.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// How long ago this moment was at `now`; zero when the clock has stepped back.
    pub fn elapsed_until(self, now: Self) -> Duration {
        Duration::from_nanos(now.0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for UnixNanos {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
