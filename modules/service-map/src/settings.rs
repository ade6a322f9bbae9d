//! What the operator can set, and what of it is refused.

use std::time::Duration;

use serde::Deserialize;
use sluicebox_sdk::Span;

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The time over which traffic is summed, in whole seconds.
    pub period: Span,
    /// The channel, topic or file of the messages; left out, the sink's configuration decides.
    #[serde(alias = "topic", alias = "file")]
    pub channel: Option<String>,
    /// How many rows a period can have; what does not fit is summed in one more.
    pub max_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { period: Span(Duration::from_mins(1)), channel: None, max_rows: 10_000 }
    }
}

/// What is saved for the next instance must fit into what a call may return, 8 MiB unless the lane says otherwise.
const MOST: usize = 20_000;

impl Settings {
    /// Refuses what cannot work; tells the seconds of a period.
    pub(crate) fn check(&self) -> Result<u64, String> {
        if self.period.0.is_zero() || self.period.0.subsec_nanos() != 0 {
            return Err("setting `period`: is not a number of whole seconds: write it like `10s`, `1m` or `1h`".to_owned());
        }
        if self.channel.as_ref().is_some_and(String::is_empty) {
            return Err(
                "setting `channel`: is empty: name a channel, topic or file, or leave the setting out for the sink's".to_owned()
            );
        }
        if self.max_rows == 0 || self.max_rows > MOST {
            return Err(format!(
                "setting `max-rows`: there cannot be {} rows: set it from 1 to {MOST}, or leave it out for 10000",
                self.max_rows
            ));
        }
        Ok(self.period.0.as_secs())
    }
}
