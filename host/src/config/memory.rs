//! What the user says about memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::ByteSize;

/// How much memory is given to what waits.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes that all queues hold together, at most: what waits for modules and sinks, and what they have in work. An eighth of it, `16MiB` at
    /// most, is for dead letters on their way to the disk; queues with `queue.bytes` have what they say, all others share what is left, and
    /// none has more than `4MiB` for a module and `8MiB` for a sink. A Kafka sink counts half as much again, or its `queue-size` if that is
    /// less: its client has copies of what is in work. When lanes come and go the shares change, and what is taken from a queue is given to another
    /// when it is free.
    ///
    /// Beside it: an item that weighs more than half of its queue's bytes goes in when nothing waits, so that a queue may hold two such items;
    /// that something exists or has gone is always told, `64B` each; a module at work has what one call was given and gave (`limits.output`) and
    /// `256KiB` for rehearsals, beside its own memory (`limits.memory`); a sink has the bytes of one write in its protocol's form. Under a flood
    /// four modules and four sinks take less than `32MiB` for all of this, without the memory of the modules. What is remembered, such as objects,
    /// subjects and series, has bounds of its own. A change of this number needs a restart.
    pub queues: ByteSize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { queues: ByteSize(128 << 20) }
    }
}
