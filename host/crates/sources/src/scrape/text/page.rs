//! A page, line by line. Pure; holds one line at most.

use memchr::memchr;

use super::family::Family;
use super::line::{is_passable, name_length, value};
use super::{Broken, Format, Labels, Limits, Reader, Sample};

/// So many lines that cannot be read, and none that can, are enough to know.
const PATIENCE: u64 = 16;
/// What is shown of a line that cannot be read, bytes.
const EXCERPT: usize = 60;

/// A page, as far as it has come.
#[derive(Debug)]
pub(in crate::scrape) struct Page {
    limits: Limits,
    format: Format,
    pub(super) bytes: usize,
    /// What has come of a line that is not complete yet.
    pub(super) line: Vec<u8>,
    /// The rest of the line is left out.
    is_overlong: bool,
    /// Its `# EOF` has come.
    has_ended: bool,
    family: Family,
    labels: Labels,
    read: u64,
    skipped: u64,
    first_skipped: Option<Box<str>>,
}

/// What a line is.
enum Line {
    Blank,
    Metadata,
    Sample,
    End,
}

impl Page {
    pub(in crate::scrape) fn new(format: Format, limits: Limits) -> Self {
        Self {
            limits,
            format,
            bytes: 0,
            line: Vec::new(),
            is_overlong: false,
            has_ended: false,
            family: Family::default(),
            labels: Labels::default(),
            read: 0,
            skipped: 0,
            first_skipped: None,
        }
    }

    /// Lines that could not be read and were left out.
    pub(in crate::scrape) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How the first of them begins.
    pub(in crate::scrape) fn first_skipped(&self) -> Option<&str> {
        self.first_skipped.as_deref()
    }

    /// Takes the next bytes; gives each sample to `reader`.
    pub(in crate::scrape) fn take(&mut self, chunk: &[u8], reader: &mut impl Reader) -> Result<(), Broken> {
        let room = self.limits.document.saturating_sub(self.bytes);
        let (mut rest, beyond) = chunk.split_at_checked(room).unwrap_or((chunk, &[]));
        self.bytes += rest.len();
        while let Some((line, after)) = memchr(b'\n', rest).and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) {
            self.complete(line, reader)?;
            rest = after;
        }
        self.keep(rest);
        if beyond.is_empty() { Ok(()) } else { Err(Broken::TooLong(self.limits.document)) }
    }

    /// Nothing more comes. `has_length` says whether all has come that was sent, for sure: then a last line without a line feed is believed, as
    /// Prometheus does. Else the page may have been cut in the midst of a number, which would be another number.
    pub(in crate::scrape) fn end(&mut self, has_length: bool, reader: &mut impl Reader) -> Result<(), Broken> {
        let last = self.line.trim_ascii();
        // The end of OpenMetrics needs no line feed, and is judged below.
        if !has_length && self.format == Format::Text && !last.is_empty() {
            return Err(Broken::CutLine);
        }
        self.complete(&[], reader)?;
        if self.read == 0 && self.skipped > 0 {
            return Err(self.no_metrics());
        }
        if self.format == Format::OpenMetrics && !self.has_ended {
            return Err(Broken::CutShort);
        }
        Ok(())
    }

    fn no_metrics(&self) -> Broken {
        Broken::NoMetrics(self.first_skipped.clone().unwrap_or_default())
    }

    fn keep(&mut self, part: &[u8]) {
        if self.is_overlong || self.line.len() + part.len() > self.limits.line {
            // What has come of it is enough to show how it begins.
            let room = EXCERPT.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            self.line.truncate(EXCERPT);
            self.is_overlong = true;
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// The end of a line has come.
    fn complete(&mut self, last: &[u8], reader: &mut impl Reader) -> Result<(), Broken> {
        if self.line.is_empty() && last.len() <= self.limits.line {
            return self.line(last, false, reader);
        }
        self.keep(last);
        let mut line = std::mem::take(&mut self.line);
        let is_overlong = std::mem::take(&mut self.is_overlong);
        let result = self.line(&line, is_overlong, reader);
        line.clear();
        self.line = line;
        result
    }

    fn line(&mut self, line: &[u8], is_overlong: bool, reader: &mut impl Reader) -> Result<(), Broken> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        if self.has_ended {
            return Err(Broken::Trailing);
        }
        let read = if is_overlong { None } else { self.read(line, reader) };
        match read {
            Some(Line::Blank) => {}
            Some(Line::Metadata | Line::Sample) => self.read += 1,
            Some(Line::End) => {
                self.read += 1;
                self.has_ended = true;
            }
            None => self.skip(line)?,
        }
        Ok(())
    }

    fn skip(&mut self, line: &[u8]) -> Result<(), Broken> {
        self.skipped += 1;
        if self.first_skipped.is_none() {
            let excerpt = line.get(..EXCERPT).unwrap_or(line);
            self.first_skipped = Some(String::from_utf8_lossy(excerpt).escape_debug().to_string().into());
        }
        // A page for people: what looks like metrics in the midst of it is none.
        let is_markup = line.first() == Some(&b'<');
        if self.read == 0 && (is_markup || self.skipped >= PATIENCE) { Err(self.no_metrics()) } else { Ok(()) }
    }

    /// None for what cannot be read.
    fn read(&mut self, line: &[u8], reader: &mut impl Reader) -> Option<Line> {
        match line.first()? {
            b'#' => self.comment(line),
            b'{' => self.quoted(line, reader),
            _ => self.plain(line, reader),
        }
    }

    fn comment(&mut self, line: &[u8]) -> Option<Line> {
        if self.format == Format::OpenMetrics && line == b"# EOF" {
            return Some(Line::End);
        }
        let is_metadata = self.family.learn(line, self.limits.name)?;
        Some(if is_metadata { Line::Metadata } else { Line::Blank })
    }

    /// `name{label="value"} 1`
    fn plain(&mut self, line: &[u8], reader: &mut impl Reader) -> Option<Line> {
        let (name, rest) = line.split_at_checked(name_length(line))?;
        if name.is_empty() || name.len() > self.limits.name {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        if !matches!(rest.first(), Some(b' ' | b'\t' | b'{')) {
            return None;
        }
        if !reader.wants(name) {
            return is_passable(rest).then_some(Line::Sample);
        }
        let rest = std::str::from_utf8(rest.trim_ascii_start()).ok()?;
        self.labels.clear();
        let rest = match rest.strip_prefix('{') {
            Some(inside) => self.labels.read(inside, &self.limits)?,
            None => rest,
        };
        if self.labels.name().is_some() {
            return None;
        }
        let (value, millis) = value(rest, self.format)?;
        reader.sample(&sample(&self.family, &self.labels, name, value, millis));
        Some(Line::Sample)
    }

    /// `{"a name", label="value"} 1`
    fn quoted(&mut self, line: &[u8], reader: &mut impl Reader) -> Option<Line> {
        let inside = std::str::from_utf8(line).ok()?.strip_prefix('{')?;
        let mut labels = std::mem::take(&mut self.labels);
        let read = labels.read(inside, &self.limits).and_then(|rest| {
            let name = labels.name()?;
            if reader.wants(name) {
                let (value, millis) = value(rest, self.format)?;
                reader.sample(&sample(&self.family, &labels, name, value, millis));
            }
            Some(Line::Sample)
        });
        self.labels = labels;
        read
    }
}

fn sample<'line>(
    family: &'line Family,
    labels: &'line Labels,
    name: &'line str,
    value: f64,
    millis: Option<i64>,
) -> Sample<'line> {
    let (kind, unit, is_cumulative) = family.of(name);
    Sample { name, labels, value, millis, kind, unit, is_cumulative }
}

#[cfg(test)]
mod tests {
    use super::super::LIMITS;
    use super::*;

    /// Values.
    #[derive(Default)]
    struct Told(Vec<f64>);

    impl Reader for Told {
        fn wants(&mut self, _: &str) -> bool {
            true
        }

        fn sample(&mut self, sample: &Sample<'_>) {
            self.0.push(sample.value);
        }
    }

    #[test]
    fn a_last_line_without_a_line_feed_is_believed_only_where_nothing_can_be_missing() {
        let end = |text: &str, format: Format, has_length: bool| {
            let (mut page, mut told) = (Page::new(format, LIMITS), Told::default());
            page.take(text.as_bytes(), &mut told).unwrap();
            page.end(has_length, &mut told).map(|()| told.0)
        };
        let both = || vec![1.0, 12.0];
        assert_eq!(end("a 1\nb 12", Format::Text, true), Ok(both()));
        for cut in ["a 1\nb 12", "a 1\nb", "a 1\n# HEL", "a"] {
            assert_eq!(end(cut, Format::Text, false), Err(Broken::CutLine), "{cut}");
        }
        for whole in ["a 1\nb 12\n", "a 1\nb 12\n\n", "a 1\nb 12\n  "] {
            assert_eq!(end(whole, Format::Text, false), Ok(both()), "{whole}");
        }
        assert_eq!(end("a 1\nb 12\n# EOF", Format::OpenMetrics, false), Ok(both()));
    }
}
