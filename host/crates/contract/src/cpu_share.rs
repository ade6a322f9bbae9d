//! A share of the processor, as Kubernetes writes it: `250m`, `0.5`, `2`.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Thousandths of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuShare {
    /// 1000 is one core.
    pub millicores: u32,
}

/// A text that is no share of the processor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a share of the processor: write cores, such as `1` or `0.5`, or thousandths of a core, such as `250m`")]
pub struct NotACpuShare(String);

impl FromStr for CpuShare {
    type Err = NotACpuShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|millicores| Self { millicores }).ok_or_else(|| NotACpuShare(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<u32> {
    let number = |digits: &str| if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u32>().ok() } else { None };
    if let Some(millicores) = text.strip_suffix('m') {
        return number(millicores);
    }
    let (cores, part) = text.split_once('.').unwrap_or((text, "0"));
    // Finer than a thousandth cannot be said.
    let part = (1..=3).contains(&part.len()).then(|| format!("{part:0<3}"))?;
    number(cores)?.checked_mul(1000)?.checked_add(number(&part)?)
}

impl fmt::Display for CpuShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millicores {
            cores if cores.is_multiple_of(1000) => write!(formatter, "{}", cores / 1000),
            millicores => write!(formatter, "{millicores}m"),
        }
    }
}

impl Serialize for CpuShare {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// A number, or a text that is one.
struct Text;

impl Visitor<'_> for Text {
    type Value = CpuShare;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of cores")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CpuShare, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, cores: u64) -> Result<CpuShare, E> {
        self.visit_str(&cores.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, cores: i64) -> Result<CpuShare, E> {
        self.visit_str(&cores.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, cores: f64) -> Result<CpuShare, E> {
        self.visit_str(&cores.to_string())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for CpuShare {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CpuShare".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number"], "format": "cpu-share", "pattern": "^[0-9]+(m|\\.[0-9]{1,3})?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Option<u32> {
        text.parse::<CpuShare>().ok().map(|share| share.millicores)
    }

    #[test]
    fn shares_are_cores_or_thousandths_of_one() {
        for (text, millicores) in
            [("250m", 250), ("1", 1000), ("0.5", 500), ("1.25", 1250), ("0.001", 1), ("2000m", 2000), ("0", 0)]
        {
            assert_eq!(share(text), Some(millicores), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for junk in ["", "m", "-1", "+1", "1.", ".5", "0.0001", "1e3", "half", "50%", "4294967296m", "4294968", "1m1"] {
            assert_eq!(share(junk), None, "{junk}");
        }
    }

    #[test]
    fn what_is_displayed_reads_back_the_same() {
        for text in ["250m", "1", "2", "1250m"] {
            assert_eq!(text.parse::<CpuShare>().map(|share| share.to_string()), Ok(text.to_owned()));
        }
    }
}
