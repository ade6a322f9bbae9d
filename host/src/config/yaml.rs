//! YAML text into a value that remembers where each part stands. `${NAME}` is replaced by the environment on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use super::Problem;

/// Nesting deeper than this is refused; a configuration needs about eight.
const DEEPEST: usize = 64;

/// What the paths of all parts may take together, in bytes: a long name with many parts below it stands in the path of each. Those of real
/// configurations take some kilobytes.
const MOST_PATHS: usize = 16 << 20;

/// A parsed document.
#[derive(Debug, Default)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// The line of each part, by its path such as `/modules/galileo/to/0`.
    pub lines: BTreeMap<String, usize>,
}

impl Document {
    /// The line of a part, or of the nearest part around it.
    pub fn line(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = path.rsplit_once('/')?.0;
        }
    }
}

/// Reads a document, with the problems that do not stand in the way of looking for more. `environment` gives the value of a variable.
pub fn parse(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<(Document, Vec<Problem>), Vec<Problem>> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), environment, document: Document::default(), paths: 0, problems: Vec::new() };
    match reader.document() {
        Ok(value) => {
            reader.document.value = if value.is_null() { Value::Object(Map::new()) } else { value };
            Ok((reader.document, reader.problems))
        }
        Err(problem) => {
            reader.problems.push(problem);
            Err(reader.problems)
        }
    }
}

/// A step of a path, with the two characters escaped that RFC 6901 escapes.
pub fn step(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

struct Reader<'text, 'environment> {
    parser: Parser<'text, saphyr_parser::StrInput<'text>>,
    environment: &'environment dyn Fn(&str) -> Option<String>,
    document: Document,
    paths: usize,
    problems: Vec<Problem>,
}

impl<'text> Reader<'text, '_> {
    fn next(&mut self) -> Result<(Event<'text>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Problem::at_line(error.marker().line(), format!("not YAML: {}", error.info()))
                .hint("check indentation, colons and quotes on this line and the one before")),
            None => Err(Problem::whole("the file ends in the middle")),
        }
    }

    fn document(&mut self) -> Result<Value, Problem> {
        let mut value = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(value.unwrap_or_default()),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if value.is_some() => {
                    return Err(Problem::at_line(span.start.line(), "a second document begins").hint(
                        "a configuration is one document: remove the `---` line and what follows, or put it in a file of its own",
                    ));
                }
                event => value = Some(self.value(event, span, "", 0)?),
            }
        }
    }

    fn value(&mut self, event: Event<'text>, span: Span, path: &str, depth: usize) -> Result<Value, Problem> {
        let line = span.start.line();
        self.paths += path.len();
        if self.paths > MOST_PATHS {
            let problem = Problem::at_line(line, "there are too many parts below names that are too long");
            return Err(problem.hint("is this a configuration? shorten the names above this line"));
        }
        self.document.lines.entry(path.to_owned()).or_insert(line);
        if depth > DEEPEST {
            return Err(Problem::at_line(line, format!("nested deeper than {DEEPEST} levels")));
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                if tag.is_some() {
                    return Err(Problem::at_line(line, "a YAML tag (`!…`) stands here").hint("write the plain value"));
                }
                Ok(self.scalar(text, style, line))
            }
            Event::SequenceStart(..) => self.sequence(path, depth),
            Event::MappingStart(..) => self.mapping(path, depth),
            Event::Alias(_) => {
                Err(Problem::at_line(line, "a YAML alias (`*…`) stands here")
                    .hint("write the value out: aliases are not supported"))
            }
            _ => Err(Problem::at_line(line, "a value is missing here")),
        }
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(items));
            }
            let path = format!("{path}/{}", items.len());
            items.push(self.value(event, span, &path, depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, Problem> {
        let mut fields = Map::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Problem::at_line(line, "a key must be a plain text")),
            };
            let path = step(path, &key);
            if let Some(first) = self.document.lines.get(&path) {
                let problem = Problem::at_line(line, format!("`{key}` stands here a second time; the first is on line {first}"));
                self.problems.push(problem.hint("keep one of them"));
            }
            self.document.lines.insert(path.clone(), line);
            let (event, span) = self.next()?;
            let value = self.value(event, span, &path, depth + 1)?;
            fields.insert(key, value);
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, line: usize) -> Value {
        let text = self.substitute(text, line);
        if matches!(style, ScalarStyle::Plain) { resolve(&text) } else { Value::String(text.into_owned()) }
    }

    /// Replaces `${NAME}` and `${NAME:-default}`; `$$` stands for one `$`.
    fn substitute<'value>(&mut self, text: Cow<'value, str>, line: usize) -> Cow<'value, str> {
        if !text.contains('$') {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest: &str = &text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((inside, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                self.variable(inside, line, &mut out);
                rest = after;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn variable(&mut self, inside: &str, line: usize, out: &mut String) {
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        match ((self.environment)(name), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                // The text stays as it is, so that an empty value does not look like a second mistake.
                for part in ["${", inside, "}"] {
                    out.push_str(part);
                }
                let problem = Problem::at_line(line, format!("the environment variable `{name}` is not set"));
                // PromQL and others write the groups of an expression like this.
                let of_text = format!("for a text that says `${{{inside}}}` itself, write `$${{{inside}}}`");
                let cure = format!("set it, or give a default: `${{{name}:-…}}`");
                self.problems.push(problem.hint(if is_usual(name) {
                    cure
                } else if name.starts_with(|letter: char| letter.is_ascii_digit()) {
                    of_text
                } else {
                    format!("{cure}; {of_text}")
                }));
            }
        }
    }
}

/// Whether variables of the environment are usually called like this.
fn is_usual(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    name.chars().all(fits) && !name.starts_with(|letter: char| letter.is_ascii_digit())
}

/// The type of a plain scalar, by the core schema of YAML 1.2.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let looks_like_number = text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    if !looks_like_number {
        return Value::String(text.to_owned());
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Document, Vec<String>) {
        let environment = |name: &str| match name {
            "PORT" => Some("6379".to_owned()),
            "EVIL" => Some("a\nadmin: {}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let (document, problems) = parse(text, &environment).unwrap_or_else(|problems| (Document::default(), problems));
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_plain_variable_takes_the_type_of_its_text_and_a_quoted_one_stays_text() {
        let (document, problems) =
            read("a: ${PORT}\nb: '${PORT}'\nc: redis://x:${PORT}/0\nd: ${NONE:-7s}\ne: $$PORT\nf: ${EMPTY:-x}");
        assert_eq!(document.value, json!({"a": 6379, "b": "6379", "c": "redis://x:6379/0", "d": "7s", "e": "$PORT", "f": "x"}));
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn a_variable_cannot_bring_in_yaml() {
        let (document, _) = read("a: ${EVIL}");
        assert_eq!(document.value, json!({"a": "a\nadmin: {}"}));
    }

    #[test]
    fn a_group_of_an_expression_is_written_with_two_dollars() {
        let (_, problems) = read(r#"a: 'label_replace(up, "pod", "${1}-x", "name", "(.+)")'"#);
        let cure = "for a text that says `${1}` itself, write `$${1}`";
        assert_eq!(problems, [format!("line 1: the environment variable `1` is not set\n  hint: {cure}")]);
        let (_, problems) = read("a: ${pod}");
        assert!(problems[0].ends_with("`${pod:-…}`; for a text that says `${pod}` itself, write `$${pod}`"), "{problems:?}");
        let (document, problems) = read("a: x$${1}");
        assert_eq!((document.value["a"].as_str(), problems), (Some("x${1}"), Vec::new()));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named_with_its_line() {
        let (_, problems) = read("a: 1\nb: ${NONE}");
        assert_eq!(
            problems,
            ["line 2: the environment variable `NONE` is not set\n  hint: set it, or give a default: `${NONE:-…}`"]
        );
    }

    #[test]
    fn each_part_knows_its_line() {
        let (document, _) = read("a:\n  b: [1,\n    2]\n  c/d: {}\n");
        assert_eq!(document.line("/a/b/1"), Some(3));
        assert_eq!(document.line("/a/c~1d"), Some(4));
        assert_eq!(document.line("/a/c~1d/not/there"), Some(4));
    }

    #[test]
    fn a_key_that_stands_twice_is_named_with_both_lines() {
        let (_, problems) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(problems, ["line 3: `a` stands here a second time; the first is on line 1\n  hint: keep one of them"]);
    }

    #[test]
    fn what_is_not_yaml_is_named_with_its_line() {
        for text in ["a: [1\nb: 2", "a: 'x", "a: *x", "a: !!str b", "a: 1\n---\nb: 2"] {
            let (_, problems) = read(text);
            assert!(problems.iter().any(|problem| problem.starts_with("line ")), "{text:?}: {problems:?}");
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_configuration() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(read(text).0.value, json!({}));
        }
    }

    #[test]
    fn a_long_name_with_many_parts_below_it_takes_no_memory_without_end() {
        let (_, problems) = read(&format!("? {}\n: [{}]", "a".repeat(100_000), "1,".repeat(100_000)));
        assert!(problems.iter().any(|problem| problem.starts_with("line 2: there are too many parts")), "{problems:?}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let (_, problems) = read(&"[".repeat(100_000));
        assert!(problems.iter().any(|problem| problem.contains("deep") || problem.contains("recursion")), "{problems:?}");
    }
}
