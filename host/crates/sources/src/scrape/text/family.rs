//! What a page says of its metrics before it tells their samples: type and unit. Pure.
//!
//! All lines of a family stand together, with what is said of it first: so the family that was last spoken of is the only one to be
//! remembered.

use super::labels::quoted;

/// The type of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::scrape) enum Kind {
    /// The page does not tell.
    #[default]
    Untold,
    /// The page says that it does not know.
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl Kind {
    /// As Prometheus writes it; empty where nobody tells.
    pub(in crate::scrape) fn name(self) -> &'static str {
        match self {
            Self::Untold => "",
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"untyped" | b"unknown" => Self::Unknown,
            b"counter" => Self::Counter,
            b"gauge" => Self::Gauge,
            b"histogram" => Self::Histogram,
            b"gaugehistogram" => Self::GaugeHistogram,
            b"summary" => Self::Summary,
            b"info" => Self::Info,
            b"stateset" => Self::StateSet,
            _ => return None,
        })
    }

    /// Whether samples whose names end like this belong to a family of this type, and if so, whether they only ever grow.
    fn has(self, suffix: &str) -> Option<bool> {
        match (self, suffix) {
            (Self::Counter, "" | "_total")
            | (Self::Histogram, "_bucket")
            | (Self::Histogram | Self::Summary, "_sum" | "_count") => Some(true),
            (Self::Counter | Self::Histogram | Self::Summary, "_created")
            | (Self::GaugeHistogram, "_bucket" | "_gsum" | "_gcount" | "_sum" | "_count")
            | (Self::Info, "_info")
            | (_, "") => Some(false),
            _ => None,
        }
    }
}

/// The family that was last spoken of.
#[derive(Debug, Default)]
pub(super) struct Family {
    name: String,
    kind: Kind,
    unit: String,
}

impl Family {
    /// What it says of a sample: type, unit, and whether it only ever grows. Nothing where the sample is of another family.
    pub(super) fn of(&self, sample: &str) -> (Kind, &str, bool) {
        let is_cumulative = sample.strip_prefix(self.name.as_str()).and_then(|suffix| self.kind.has(suffix));
        is_cumulative.map_or((Kind::Untold, "", false), |is_cumulative| (self.kind, self.unit.as_str(), is_cumulative))
    }

    /// Reads a line that begins with `#`: whether it says something of a family. None for what cannot be read.
    pub(super) fn learn(&mut self, line: &[u8], longest_name: usize) -> Option<bool> {
        let (word, rest) = word(line.get(1..)?);
        if !matches!(word, b"HELP" | b"TYPE" | b"UNIT") {
            return Some(false);
        }
        let rest = self.begin(rest, longest_name)?;
        match word {
            b"TYPE" => self.kind = Kind::parse(rest.trim_ascii())?,
            b"UNIT" => {
                let unit = std::str::from_utf8(rest.trim_ascii()).ok()?;
                if unit.len() > longest_name {
                    return None;
                }
                unit.clone_into(&mut self.unit);
            }
            _ => {}
        }
        Some(true)
    }

    /// Reads the name of the family that is spoken of from here on; gives back what follows.
    fn begin<'line>(&mut self, rest: &'line [u8], longest_name: usize) -> Option<&'line [u8]> {
        let mut in_quotes = String::new();
        let (name, rest) = if rest.first() == Some(&b'"') {
            let rest = quoted(std::str::from_utf8(rest).ok()?, longest_name, &mut in_quotes)?;
            (in_quotes.as_str(), rest.as_bytes())
        } else {
            let (name, rest) = word(rest);
            (std::str::from_utf8(name).ok()?, rest)
        };
        if name.is_empty() || name.len() > longest_name {
            return None;
        }
        if self.name != name {
            name.clone_into(&mut self.name);
            self.kind = Kind::Untold;
            self.unit.clear();
        }
        Some(rest)
    }
}

/// The first word, and what follows.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (word, rest.trim_ascii_start())
}
