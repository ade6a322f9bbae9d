//! The labels of a series, as they stand in braces. Pure; one buffer serves all lines.

use memchr::memchr3;

use super::Limits;

/// Labels by rising names, each name once; those without a value are the same as none and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::scrape) struct Labels {
    text: String,
    spans: Vec<Span>,
    /// Where the name of the metric is, if it stands among the labels.
    name: Option<(usize, usize)>,
}

/// Where a label stands: its name and, right after it, its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    begin: usize,
    middle: usize,
    end: usize,
}

impl Labels {
    /// Each label with its value.
    pub(in crate::scrape) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| (self.part(span.begin, span.middle), self.part(span.middle, span.end)))
    }

    /// The value of a label; empty where there is none.
    pub(in crate::scrape) fn get(&self, name: &str) -> &str {
        self.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// As they stand in braces.
    #[cfg(test)]
    pub(in crate::scrape) fn of(text: &str) -> Self {
        let mut labels = Self::default();
        assert_eq!(labels.read(&format!("{text}}}"), &super::LIMITS), Some(""));
        labels
    }

    /// The name of the metric, if it stands in quotes among the labels.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.map(|(begin, end)| self.part(begin, end))
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.name = None;
    }

    /// Reads what follows an opening brace, and gives back what follows the closing one. None for what are no labels, or too many.
    pub(super) fn read<'line>(&mut self, mut rest: &'line str, limits: &Limits) -> Option<&'line str> {
        self.clear();
        let mut is_sorted = true;
        loop {
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix('}') {
                return (is_sorted || self.sort()).then_some(after);
            }
            rest = self.one(rest, limits)?.trim_ascii_start();
            is_sorted = is_sorted && self.last_is_greatest();
            rest = match rest.strip_prefix(',') {
                Some(after) => after,
                None if rest.starts_with('}') => rest,
                None => return None,
            };
        }
    }

    /// Reads one label, or the metric's name in quotes.
    fn one<'line>(&mut self, rest: &'line str, limits: &Limits) -> Option<&'line str> {
        let begin = self.text.len();
        let is_quoted = rest.starts_with('"');
        let after = if is_quoted { quoted(rest, limits.name, &mut self.text)? } else { self.plain(rest, limits.name)? }
            .trim_ascii_start();
        let middle = self.text.len();
        let name = self.part(begin, middle);
        // This is what the metric's own name is called where labels are told.
        if name.is_empty() || name == "__name__" {
            return None;
        }
        let Some(value) = after.strip_prefix('=') else {
            let is_first = self.name.replace((begin, middle)).is_none();
            return (is_quoted && is_first).then_some(after);
        };
        let after = quoted(value.trim_ascii_start(), limits.value, &mut self.text)?;
        let end = self.text.len();
        if end > limits.series {
            return None;
        }
        if middle == end {
            self.text.truncate(begin);
        } else if self.spans.len() < limits.labels {
            self.spans.push(Span { begin, middle, end });
        } else {
            return None;
        }
        Some(after)
    }

    fn plain<'line>(&mut self, rest: &'line str, most: usize) -> Option<&'line str> {
        let end = rest.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        if name.len() > most || name.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        self.text.push_str(name);
        Some(after)
    }

    fn last_is_greatest(&self) -> bool {
        let [.., before, last] = self.spans.as_slice() else { return true };
        self.part(before.begin, before.middle) < self.part(last.begin, last.middle)
    }

    /// Puts them in order; says whether each name stands there once.
    fn sort(&mut self) -> bool {
        let Self { text, spans, .. } = self;
        let name = |span: &Span| text.get(span.begin..span.middle).unwrap_or_default();
        spans.sort_unstable_by(|one, other| name(one).cmp(name(other)));
        spans.is_sorted_by(|one, other| name(one) < name(other))
    }

    fn part(&self, begin: usize, end: usize) -> &str {
        self.text.get(begin..end).unwrap_or_default()
    }
}

/// Reads a text in quotes, of at most so many bytes, and gives back what follows. Other escapes than the three there are stay as they
/// stand, as they do for Prometheus. A zero byte is in no text: whoever holds texts can separate them by it.
pub(super) fn quoted<'line>(rest: &'line str, most: usize, into: &mut String) -> Option<&'line str> {
    let mut rest = rest.strip_prefix('"')?;
    let begin = into.len();
    loop {
        let at = memchr3(b'"', b'\\', 0, rest.as_bytes())?;
        let (before, mark) = rest.split_at_checked(at)?;
        into.push_str(before);
        if into.len() - begin > most {
            return None;
        }
        if let Some(after) = mark.strip_prefix('"') {
            return Some(after);
        }
        let escaped = mark.strip_prefix('\\')?;
        let (text, length) = match escaped.as_bytes().first()? {
            b'n' => ("\n", 1),
            b'"' => ("\"", 1),
            b'\\' => ("\\", 1),
            _ => ("\\", 0),
        };
        into.push_str(text);
        rest = escaped.get(length..)?;
    }
}
