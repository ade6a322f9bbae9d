//! One line with a sample, as Prometheus' text format has it. Pure, and strict: what is taken here is taken by every scraper.

use std::borrow::Cow;

use crate::shown::{NAME, shown};

/// A line, in parts.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    /// By name; none twice, none without a value.
    pub(super) labels: Vec<Label<'a>>,
    pub(super) value: f64,
    /// Milliseconds since 1970.
    pub(super) timestamp: Option<i64>,
}

/// What tells a series from its neighbours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label<'a> {
    pub(super) name: &'a str,
    pub(super) value: Cow<'a, str>,
}

/// What the line says, or what is wrong with it.
pub(super) fn parse(line: &str) -> Result<Sample<'_>, String> {
    let mut cursor = Cursor { rest: line };
    cursor.blanks();
    let name = cursor.metric_name()?;
    let blank = cursor.blanks();
    let labels = if cursor.take('{') {
        labels(&mut cursor)?
    } else if blank {
        Vec::new()
    } else {
        return Err(cursor.expected("a blank or `{` after the name of the metric"));
    };
    cursor.blanks();
    let value = value(cursor.word())?;
    cursor.blanks();
    let timestamp = Some(cursor.word()).filter(|word| !word.is_empty()).map(timestamp).transpose()?;
    cursor.blanks();
    if cursor.rest.is_empty() {
        return Ok(Sample { name, labels, value, timestamp });
    }
    Err(cursor.expected("the end of the line"))
}

/// A number as samples and bounds of buckets have it.
pub(super) fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // A finite number too great is none, but infinity may be said.
    let is_said = text.contains(['i', 'I']);
    (value.is_finite() || value.is_nan() || is_said).then_some(value)
}

/// The rest of a line.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// Says whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self.take_while(|byte| byte == b' ' || byte == b'\t').is_empty()
    }

    pub(super) fn take(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Everything up to the next blank.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(|byte| byte != b' ' && byte != b'\t')
    }

    pub(super) fn metric_name(&mut self) -> Result<&'a str, String> {
        self.name("a metric", |byte| byte == b'_' || byte == b':')
    }

    fn label_name(&mut self) -> Result<&'a str, String> {
        self.name("a label", |byte| byte == b'_')
    }

    fn name(&mut self, of: &str, besides: impl Fn(u8) -> bool) -> Result<&'a str, String> {
        if self.rest.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.expected(&format!("the name of {of}, which begins with no digit,")));
        }
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || besides(byte));
        if name.is_empty() { Err(self.expected(&format!("the name of {of}"))) } else { Ok(name) }
    }

    /// The tests are for bytes of ASCII alone, or for all others together: characters are never cut.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !wanted(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn expected(&self, what: &str) -> String {
        if self.rest.is_empty() {
            return format!("the line ends where {what} is expected");
        }
        format!("`{}` stands where {what} is expected", shown(self.rest, 20))
    }
}

/// What stands between the braces, and the closing one.
fn labels<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Label<'a>>, String> {
    let mut labels = Vec::new();
    loop {
        cursor.blanks();
        if cursor.take('}') {
            break;
        }
        labels.push(label(cursor)?);
        cursor.blanks();
        if !cursor.take(',') {
            if cursor.take('}') {
                break;
            }
            return Err(cursor.expected("`,` or `}`"));
        }
    }
    labels.sort_unstable();
    for pair in labels.windows(2) {
        if let [first, second] = pair
            && first.name == second.name
        {
            return Err(format!("the label `{}` stands there twice", shown(first.name, NAME)));
        }
    }
    // To Prometheus a label without a value is one that is not there.
    labels.retain(|label| !label.value.is_empty());
    Ok(labels)
}

fn label<'a>(cursor: &mut Cursor<'a>) -> Result<Label<'a>, String> {
    let name = cursor.label_name()?;
    if name.starts_with("__") {
        return Err(format!("the label `{}` is reserved: names that begin with `__` are Prometheus' own", shown(name, NAME)));
    }
    cursor.blanks();
    if !cursor.take('=') {
        return Err(cursor.expected("`=` after the name of a label"));
    }
    cursor.blanks();
    if !cursor.take('"') {
        return Err(cursor.expected("`\"` before the value of a label"));
    }
    let mut end = None;
    let mut is_escape = false;
    for (index, byte) in cursor.rest.bytes().enumerate() {
        match byte {
            _ if is_escape => is_escape = false,
            b'\\' => is_escape = true,
            b'"' => {
                end = Some(index);
                break;
            }
            _ => {}
        }
    }
    let quoted = end.and_then(|end| Some((cursor.rest.get(..end)?, cursor.rest.get(end + 1..)?)));
    let Some((text, rest)) = quoted else {
        return Err(format!("the value of the label `{}` has no closing `\"`", shown(name, NAME)));
    };
    cursor.rest = rest;
    let value = unescaped(text, true).map_err(|reason| format!("in the value of the label `{}` {reason}", shown(name, NAME)))?;
    Ok(Label { name, value })
}

/// The text without its escapes, of which there are `\\`, `\n` and, within quotes, `\"`.
pub(super) fn unescaped(text: &str, quoted: bool) -> Result<Cow<'_, str>, String> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if quoted => plain.push('"'),
            Some(other) => return Err(format!("`\\{}` is no escape", other.escape_debug())),
            None => return Err("there is a `\\` at the end".to_owned()),
        }
    }
    Ok(Cow::Owned(plain))
}

fn value(word: &str) -> Result<f64, String> {
    if word.is_empty() {
        return Err("the sample has no value".to_owned());
    }
    number(word).ok_or_else(|| format!("the value `{}` is no number", shown(word, NAME)))
}

fn timestamp(word: &str) -> Result<i64, String> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let time = if digits.bytes().all(|byte| byte.is_ascii_digit()) { word.parse().ok() } else { None };
    time.ok_or_else(|| format!("the time `{}` is no whole number of milliseconds", shown(word, NAME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, name: &str, labels: &[(&str, &str)], value: f64, timestamp: Option<i64>) {
        let sample = parse(line).unwrap_or_else(|reason| panic!("{line}: {reason}"));
        let read: Vec<_> = sample.labels.iter().map(|label| (label.name, label.value.as_ref())).collect();
        assert_eq!((sample.name, read.as_slice(), sample.timestamp), (name, labels, timestamp), "{line}");
        assert!(sample.value.to_bits() == value.to_bits() || (sample.value.is_nan() && value.is_nan()), "{line}");
    }

    #[test]
    fn samples_of_every_form_are_read() {
        check("a 1", "a", &[], 1.0, None);
        check(" \ta:b_9\t-3e3  103948 \t", "a:b_9", &[], -3000.0, Some(103_948));
        check("a{} NaN -5", "a", &[], f64::NAN, Some(-5));
        check("a {b=\"1\"}+Inf", "a", &[("b", "1")], f64::INFINITY, None);
        check("a{ c = \"2\" , b=\"1\" , } -Inf", "a", &[("b", "1"), ("c", "2")], f64::NEG_INFINITY, None);
        check(r#"a{b="C:\\DIR\\\n\"ü,}= {"} .5"#, "a", &[("b", "C:\\DIR\\\n\"ü,}= {")], 0.5, None);
        check(r#"a{b="",c="1"} 0x"#.trim_end_matches('x'), "a", &[("c", "1")], 0.0, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("a", "the line ends where a blank or `{` after the name of the metric is expected"),
            ("a ", "the sample has no value"),
            ("9a 1", "`9a 1` stands where the name of a metric, which begins with no digit, is expected"),
            ("ü 1", "`ü 1` stands where the name of a metric is expected"),
            ("a-b 1", "`-b 1` stands where a blank or `{` after the name of the metric is expected"),
            ("a 1 2 3", "`3` stands where the end of the line is expected"),
            ("a 1\r", "the value `1\\r` is no number"),
            ("a 1e400", "the value `1e400` is no number"),
            ("a 0x1p3", "the value `0x1p3` is no number"),
            ("a 1_0", "the value `1_0` is no number"),
            ("a 1 1.5", "the time `1.5` is no whole number of milliseconds"),
            ("a 1 99999999999999999999", "the time `99999999999999999999` is no whole number of milliseconds"),
            ("a 1 -", "the time `-` is no whole number of milliseconds"),
            ("a{b=\"1\",b=\"2\"} 1", "the label `b` stands there twice"),
            ("a{b=\"\",b=\"2\"} 1", "the label `b` stands there twice"),
            ("a{__name__=\"b\"} 1", "the label `__name__` is reserved: names that begin with `__` are Prometheus' own"),
            ("a{b=\"1} 2", "the value of the label `b` has no closing `\"`"),
            ("a{b=\"1\\\"} 2", "the value of the label `b` has no closing `\"`"),
            ("a{b=\"\\x\"} 2", "in the value of the label `b` `\\x` is no escape"),
            ("a{b=1} 2", "`1} 2` stands where `\"` before the value of a label is expected"),
            ("a{b} 2", "`} 2` stands where `=` after the name of a label is expected"),
            ("a{b=\"1\" c=\"2\"} 2", "`c=\"2\"} 2` stands where `,` or `}` is expected"),
            ("a{,} 2", "`,} 2` stands where the name of a label is expected"),
            ("a{", "the line ends where the name of a label is expected"),
            ("{\"a\"} 1", "`{\"a\"} 1` stands where the name of a metric is expected"),
        ] {
            assert_eq!(parse(line).expect_err(line), reason, "{line}");
        }
    }
}
