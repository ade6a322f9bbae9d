//! Reads a page of metrics while its bytes come: the text format 0.0.4 of Prometheus and OpenMetrics 1.0. Pure; holds one line at most.
//!
//! What cannot be read costs its line and nothing else, as far as that is known; what is no such page at all is refused as a whole.
//! `page.rs` follows the lines, `line.rs` reads values and times, `labels.rs` what stands in braces, `family.rs` what the page says of its metrics.

mod family;
mod labels;
mod line;
mod page;

pub(super) use family::Kind;
pub(super) use labels::Labels;
pub(super) use page::Page;

/// What a page may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// All of it, bytes.
    pub(super) document: usize,
    /// One line, bytes.
    pub(super) line: usize,
    /// Labels of one series.
    pub(super) labels: usize,
    /// All of their names and values, bytes.
    pub(super) series: usize,
    /// The name of a metric or a label, bytes.
    pub(super) name: usize,
    /// The value of a label, bytes.
    pub(super) value: usize,
}

/// Far more than any page has that is meant.
pub(super) const LIMITS: Limits =
    Limits { document: 64 << 20, line: 64 << 10, labels: 64, series: 8 << 10, name: 512, value: 4 << 10 };

/// Which of the two formats it is, as the header `content-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Times are whole milliseconds.
    Text,
    /// Times are seconds, and it ends with `# EOF`.
    OpenMetrics,
}

/// Why a page is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("it is longer than {0} bytes (`max-answer-bytes`)")]
    TooLong(usize),
    #[error("it is no page of metrics: it begins with `{0}`")]
    NoMetrics(Box<str>),
    #[error("it ends before its `# EOF`")]
    CutShort,
    #[error(
        "its last line ends without a line feed, so it may be cut: the target must end each line with one, or send `content-length`"
    )]
    CutLine,
    #[error("it goes on after its `# EOF`")]
    Trailing,
}

/// A sample as it stands in a line.
#[derive(Debug)]
pub(super) struct Sample<'line> {
    /// The metric's name, such as `http_requests_total` or `http_request_seconds_bucket`.
    pub(super) name: &'line str,
    pub(super) labels: &'line Labels,
    pub(super) value: f64,
    /// When, where the line says so: milliseconds since 1970 UTC.
    pub(super) millis: Option<i64>,
    /// The type of its family.
    pub(super) kind: Kind,
    /// The unit of its family; empty where the page does not tell.
    pub(super) unit: &'line str,
    /// Whether it only ever grows, unless it begins anew.
    pub(super) is_cumulative: bool,
}

/// Takes what stands in a page.
pub(super) trait Reader {
    /// Whether samples of this name are of use: asked before anything else of the line is looked at.
    fn wants(&mut self, name: &str) -> bool;

    /// Takes a sample of a name that is wanted.
    fn sample(&mut self, sample: &Sample<'_>);
}

#[cfg(test)]
#[path = "../text_tests.rs"]
mod tests;
