//! What a sink may put away on the disk.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluicebox_contract::quantity::{ByteSize, QuantityError, TimeSpan};

/// Where entries wait that a sink does not take: on the disk, in `store/` below the state directory. They survive the end of the program, and
/// are written in the order in which they came.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Store {
    /// Bytes on the disk, at most; from `1MiB` to `1TiB`. A single entry may take a quarter of it.
    pub bytes: ByteSize,
    /// What passes through it. `overflow` is what the sink does not take for now: when it fails, when it is slower than what comes, and what
    /// is left when the program ends. With `always` everything does, so that `kill -9` and a power cut cost no more than `sync` says; each
    /// entry is then written to the disk once.
    pub takes: Takes,
    /// When what was written is forced onto the disk, which is what a power cut may cost; the end of the program costs nothing that was
    /// put away. A time such as `1s`, at most so much; `always`, nothing, at the price of a write of the disk's own for each batch; `never`
    /// leaves it to the system, which most often takes half a minute.
    pub sync: Sync,
    /// Entries that are read from it each second, on average and at most: a sink that has come back is not flooded. What one call of a module
    /// has made may come out at once, and so may what one second gives. More must come out than goes in, or it only grows.
    #[schemars(range(min = 1))]
    pub entries_per_second: u32,
}

/// What passes through a store.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// What the sink does not take for now.
    #[default]
    Overflow,
    /// Everything.
    Always,
}

/// What happens to the entries of a sink that takes none when neither its queue nor its store has room.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SinkWhenFull {
    /// Its lanes wait, and as their queues fill, the sources do as the lanes' `when-full` says. Nothing is lost, but another sink of the same
    /// lane waits, too.
    #[default]
    Block,
    /// The oldest entries are dropped and counted.
    DropOldest,
    /// What comes is dropped and counted.
    DropNewest,
}

/// When what was written is forced onto the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Each time.
    Always,
    /// After so long.
    Every(Duration),
    /// When the system sees fit.
    Never,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            bytes: ByteSize(64 << 20),
            takes: Takes::default(),
            sync: Sync::Every(Duration::from_secs(1)),
            entries_per_second: 10_000,
        }
    }
}

impl FromStr for Sync {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        match text {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => text.parse().map(|span: TimeSpan| Self::Every(span.0)),
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => formatter.write_str("always"),
            Self::Never => formatter.write_str("never"),
            Self::Every(span) => TimeSpan(*span).fmt(formatter),
        }
    }
}

impl Serialize for Sync {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sync {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format_args!("{error}, or `always` or `never`")))
    }
}

impl JsonSchema for Sync {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Sync".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = TimeSpan::json_schema(generator);
        json_schema!({ "anyOf": [{ "enum": ["always", "never"] }, span] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_word_says_when_the_disk_is_written() {
        for (text, sync) in [("always", Sync::Always), ("never", Sync::Never), ("250ms", Sync::Every(Duration::from_millis(250)))]
        {
            assert_eq!((text.parse(), sync.to_string().as_str()), (Ok(sync), text));
        }
        let error = serde_json::from_str::<Sync>("\"sometimes\"").unwrap_err().to_string();
        assert!(error.contains("`sometimes`") && error.contains("`always` or `never`"), "{error}");
    }
}
