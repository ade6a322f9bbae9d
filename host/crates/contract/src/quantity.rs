//! Quantities as people write them in a configuration: `1h30m`, `64MiB`. Parsed once here, trusted everywhere else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written as numbers with units, the largest first: `500ms`, `1m`, `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(pub Duration);

/// A number of bytes, written with its unit: `512B`, `64KiB`, `16MiB`, `10MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text that is no quantity; says what form is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a [`TimeSpan`].
    #[error(
        "`{0}` is not a length of time: write whole numbers with units, the largest first, such as `500ms`, `30s` or `1h30m` (units: d, h, m, s, ms, us, ns)"
    )]
    TimeSpan(String),
    /// Not a [`ByteSize`].
    #[error(
        "`{0}` is not a size in bytes: write a whole number with its unit, such as `512B`, `64KiB` or `16MiB` (units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"
    )]
    ByteSize(String),
}

/// Units of time in nanoseconds, the largest first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size in bytes, in the order in which they are tried for display.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for TimeSpan {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        time_span_nanos(text)
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .ok_or_else(|| QuantityError::TimeSpan(text.to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        byte_size(text).map(Self).ok_or_else(|| QuantityError::ByteSize(text.to_owned()))
    }
}

/// Every unit at most once and in falling order, so that each text has one reading.
fn time_span_nanos(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = TIME_UNITS.iter();
    let mut nanos: u64 = 0;
    loop {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(number.checked_mul(*factor)?)?;
        rest = after;
        if rest.is_empty() {
            return Some(nanos);
        }
    }
}

fn byte_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is longer than 584 years is written as 584 years: the largest value that can be read back.
        let mut nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return formatter.write_str("0s");
        }
        for (unit, factor) in TIME_UNITS {
            if nanos >= factor {
                write!(formatter, "{}{unit}", nanos / factor)?;
                nanos %= factor;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("B", 1));
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).and_then(|text| text.parse().map_err(D::Error::custom))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text).and_then(|text| text.parse().map_err(D::Error::custom))
    }
}

/// Takes a bare number as text, too, so that the refusal says which form is accepted instead of naming a type.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number with its unit")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(feature = "schema")]
mod schema {
    //! What `sluicebox schema` says of quantities.

    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{ByteSize, TimeSpan};

    impl JsonSchema for TimeSpan {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "TimeSpan".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "format": "time-span", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?([0-9]+ns)?$", "minLength": 2 })
        }
    }

    impl JsonSchema for ByteSize {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "ByteSize".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "format": "byte-size", "pattern": "^[0-9]+(B|[KMGT]iB|[kMGT]B)$" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Option<Duration> {
        text.parse::<TimeSpan>().ok().map(|span| span.0)
    }

    fn size(text: &str) -> Option<u64> {
        text.parse::<ByteSize>().ok().map(|size| size.0)
    }

    #[test]
    fn time_spans_are_numbers_with_units() {
        assert_eq!(span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(span("1m"), Some(Duration::from_mins(1)));
        assert_eq!(span("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(span("1s500ms"), Some(Duration::from_millis(1_500)));
        assert_eq!(span("0s"), Some(Duration::ZERO));
        assert_eq!(span("7d"), Some(Duration::from_hours(168)));
    }

    #[test]
    fn a_time_span_without_unit_or_out_of_order_is_refused() {
        for junk in ["", "30", "s", "1.5s", "-1s", "1 s", "1m1h", "1m1m", "1fortnight", "1m30", "99999999999d", "1S", "1é"] {
            assert_eq!(span(junk), None, "{junk}");
        }
    }

    #[test]
    fn sizes_are_a_number_with_a_unit() {
        assert_eq!(size("512B"), Some(512));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("10MB"), Some(10_000_000));
        assert_eq!(size("0B"), Some(0));
    }

    #[test]
    fn a_size_without_unit_or_too_large_is_refused() {
        for junk in ["", "512", "MiB", "1.5MiB", "-1B", "1 B", "1Mi", "1mib", "16777216TiB", "1MiB1KiB"] {
            assert_eq!(size(junk), None, "{junk}");
        }
    }

    #[test]
    fn what_is_displayed_reads_back_the_same() {
        for text in ["0s", "500ms", "1h30m", "1d1ns", "59s999ms"] {
            assert_eq!(text.parse::<TimeSpan>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
        for text in ["0B", "1B", "1000B", "64MiB", "1KiB", "10MB", "1025B"] {
            let shown = text.parse::<ByteSize>().map(|size| size.to_string()).expect("a size");
            assert_eq!(shown.parse::<ByteSize>(), text.parse::<ByteSize>(), "{shown}");
        }
        assert_eq!(TimeSpan(Duration::from_mins(90)).to_string(), "1h30m");
        assert_eq!(ByteSize(16 << 20).to_string(), "16MiB");
    }

    #[test]
    fn a_refusal_names_the_text_and_the_accepted_form() {
        let refusal = "30".parse::<TimeSpan>().expect_err("no unit").to_string();
        assert!(
            refusal.starts_with("`30` is not a length of time: write whole numbers with units") && refusal.contains("`1h30m`"),
            "{refusal}"
        );
        let refusal = "lots".parse::<ByteSize>().expect_err("no number").to_string();
        assert!(refusal.starts_with("`lots` is not a size in bytes") && refusal.contains("`16MiB`"), "{refusal}");
    }
}
