//! Where probes and metrics are.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

/// Probes and metrics over HTTP: `/metrics` (Prometheus text), `/livez`, `/readyz`. They are answered from the beginning: while modules are
/// being compiled, for which a small node may need a minute, `/livez` says yes, and `/readyz` no and why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port to listen on; port 0 takes a free one and logs it, `null` turns it off. In a
    /// cluster probes come from outside of the pod: use `0.0.0.0:9420`.
    pub listen: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from(([127, 0, 0, 1], 9420))) }
    }
}
