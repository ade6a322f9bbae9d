//! Files of variables, as docker (`--env-file`) and systemd (`EnvironmentFile=`) read them. Pure.

use std::collections::BTreeMap;

use super::found::{Found, Value};

/// Reads the text; `environment` has the value of what is named without one, as with docker.
pub(super) fn read(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Found {
    let mut found = Found::default();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim_start().to_owned();
        while let Some(begun) = line.strip_suffix('\\') {
            line = format!("{begun}{}", lines.next().map_or("", |(_, more)| more));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim()).to_owned())),
            None => (line, environment(line)),
        };
        if !is_name(name) {
            found.warnings.push(format!("line {} is no `KEY=VALUE` and is passed over", number + 1));
        } else if let Some(value) = value {
            found.variables.insert(name.to_owned(), Value::text(&value));
        } else {
            found.warnings.push(format!("line {}: `{name}` has no value there, and none in this environment", number + 1));
        }
    }
    found
}

/// The variables of a process.
pub(super) fn of_process(all: impl Iterator<Item = (String, String)>) -> Found {
    let variables: BTreeMap<_, _> = all.map(|(name, value)| (name, Value::text(&value))).collect();
    Found { variables, ..Found::default() }
}

/// docker takes quotes as a part of the value, systemd and compose do not; no setting that is read here could hold them.
fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_docker_and_systemd_read_them() {
        let text = "# a comment\n; another\n\nA=1\nB=\"two words\"\nexport C='x'\nD=a\\\nb\nE\nF\nG=a=b\n  H = i \nno name=1\n";
        let found = read(text, &|name| (name == "E").then(|| "inherited".to_owned()));
        let read: Vec<String> = found.variables.iter().map(|(name, value)| format!("{name}={}", value.written)).collect();
        assert_eq!(read, ["A=1", "B=two words", "C=x", "D=ab", "E=inherited", "G=a=b", "H=i"]);
        assert_eq!(
            found.warnings,
            ["line 10: `F` has no value there, and none in this environment", "line 13 is no `KEY=VALUE` and is passed over"]
        );
    }
}
