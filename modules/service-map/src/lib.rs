//! Who talks to whom: the traffic between workloads, summed over a period, as JSON messages.

use sluicebox_sdk::{Context, Module, NoSettings};

/// The module.
pub struct ServiceMap;

impl Module for ServiceMap {
    type Settings = NoSettings;

    fn start(_: NoSettings, _: &Context) -> Result<Self, String> {
        Ok(Self)
    }
}

sluicebox_sdk::export!(ServiceMap);
