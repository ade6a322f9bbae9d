//! What failed tests printed, to be shown once more in the end: between them and the end of a run come thousands of lines.

use std::fmt::{self, Display, Formatter};

/// Failed tests that are shown; the rest are only counted.
const MOST_SHOWN: usize = 10;
/// Lines at the beginning and at the end of what a test printed.
const FIRST_LINES: usize = 40;
const LAST_LINES: usize = 40;
const LONGEST_LINE: usize = 400;

/// Collects them out of what `cargo test` prints.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    tests: Vec<Failure>,
    /// Whether the lines that come are those of the last one.
    is_open: bool,
}

#[derive(Debug)]
struct Failure {
    test: String,
    lines: Vec<String>,
    left_out: usize,
}

impl Failures {
    /// The next line of cargo's output: `---- the name of a test stdout ----` begins what it printed, `failures:` ends it.
    pub(crate) fn add(&mut self, line: &str) {
        if line == "failures:" || line.starts_with("test result: ") {
            self.is_open = false;
        } else if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.tests.push(Failure { test: test.to_owned(), lines: Vec::new(), left_out: 0 });
            self.is_open = true;
        } else if let Some(last) = self.tests.last_mut().filter(|_| self.is_open) {
            last.add(line);
        }
    }
}

impl Failure {
    fn add(&mut self, line: &str) {
        if self.lines.len() == FIRST_LINES + LAST_LINES {
            self.lines.remove(FIRST_LINES);
            self.left_out += 1;
        }
        self.lines.push(line.chars().take(LONGEST_LINE).collect());
    }
}

impl Display for Failures {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for failure in self.tests.iter().take(MOST_SHOWN) {
            writeln!(out, "\nFAILED: {}", failure.test)?;
            for (number, line) in failure.lines.iter().enumerate() {
                if number == FIRST_LINES && failure.left_out > 0 {
                    writeln!(out, "  […{} lines…]", failure.left_out)?;
                }
                writeln!(out, "  {line}")?;
            }
        }
        match self.tests.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "\nFAILED: {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(text: &str) -> Failures {
        let mut failures = Failures::default();
        text.lines().for_each(|line| failures.add(line));
        failures
    }

    #[test]
    fn what_failed_tests_printed_is_shown_once_more_and_nothing_else() {
        let failures = collected(
            "test good ... ok\ntest a::bad ... FAILED\n\nfailures:\n\n---- a::bad stdout ----\nthread panicked\nleft: 1\n\n\
             ---- worse stdout ----\nboom\n\nfailures:\n    a::bad\n    worse\n\ntest result: FAILED. 1 passed; 2 failed;\n\ntest more ... ok\n",
        );
        let expected = "\nFAILED: a::bad\n  thread panicked\n  left: 1\n  \n\nFAILED: worse\n  boom\n  \n";
        assert_eq!(failures.to_string(), expected);
        assert_eq!(collected("test good ... ok\ntest result: ok.\n").to_string(), "");
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let long: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        let text = collected(&format!("---- long stdout ----\n{}\n", long.join("\n"))).to_string();
        assert_eq!(text.lines().count(), 3 + FIRST_LINES + LAST_LINES);
        assert!(text.contains("line 39\n  […920 lines…]\n  line 960\n") && text.ends_with("line 999\n"), "{text}");
        let many: Vec<String> = (0..15).map(|number| format!("---- t{number} stdout ----\nboom")).collect();
        let text = collected(&many.join("\n")).to_string();
        assert!(text.contains("t9\n") && !text.contains("t10\n") && text.ends_with("\nFAILED: 5 more\n"), "{text}");
    }
}
