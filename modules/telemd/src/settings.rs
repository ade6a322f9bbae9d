//! What the operator can set, and what of it is refused.

use serde::Deserialize;
use sluicebox_sdk::Context;

/// What the operator can set.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Which metrics are published; left out, all of them.
    pub metrics: Option<Vec<Instrument>>,
    /// The name of the node in the channels; left out, that of the node that sluicebox runs on.
    pub node: Option<String>,
    /// Whether the nanoseconds of the time are written without the zeros at their front, as telemd does.
    pub legacy_time: bool,
}

/// A metric, under the name that telemd has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Instrument {
    /// Processor time in nanoseconds.
    #[serde(rename = "kubernetes_cgrp_cpu")]
    Cpu,
    /// Bytes read from and written to block devices.
    #[serde(rename = "kubernetes_cgrp_blkio")]
    Blkio,
    /// Bytes of memory.
    #[serde(rename = "kubernetes_cgrp_memory")]
    Memory,
    /// Bytes received and sent by the pod of the container.
    #[serde(rename = "kubernetes_cgrp_net")]
    Net,
}

impl Instrument {
    /// In the order in which they are published.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Blkio, Self::Memory, Self::Net];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "kubernetes_cgrp_cpu",
            Self::Blkio => "kubernetes_cgrp_blkio",
            Self::Memory => "kubernetes_cgrp_memory",
            Self::Net => "kubernetes_cgrp_net",
        }
    }

    /// The host's metrics that are added up.
    pub(crate) fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &["cpu-usage"],
            Self::Blkio => &["io-read-bytes", "io-written-bytes"],
            Self::Memory => &["memory-usage"],
            Self::Net => &["network-received-bytes", "network-transmitted-bytes"],
        }
    }
}

impl Settings {
    /// Refuses what cannot work; tells the node and the metrics, each once.
    pub(crate) fn check(&self, context: &Context) -> Result<(String, Vec<Instrument>), String> {
        let node = self.node.as_ref().unwrap_or(&context.node_name);
        if node.is_empty() {
            return Err(
                "setting `node`: no channel can be made without the name of the node, which is not known: name it".to_owned()
            );
        }
        if node.contains('/') {
            return Err(format!(
                "setting `node`: `{node}` has a `/`, where readers part the channels: name the node as telemd knew it"
            ));
        }
        let wanted = self.metrics.as_deref().unwrap_or(&Instrument::ALL);
        if wanted.is_empty() {
            return Err("setting `metrics`: is empty: name some metrics, or leave the setting out for all of them".to_owned());
        }
        let instruments = Instrument::ALL.into_iter().filter(|instrument| wanted.contains(instrument));
        Ok((node.clone(), instruments.collect()))
    }
}
