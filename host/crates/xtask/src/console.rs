//! Reads what is typed out of a guide, with what it says then, so that the guide says what really comes.

use std::fmt::Write as _;

use anyhow::{Result, bail};

/// What is typed under one heading, in an empty folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) heading: String,
    pub(crate) commands: Vec<Typed>,
}

/// One command and what it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Without the prompt; several lines where one ends with a backslash.
    pub(crate) command: String,
    pub(crate) said: String,
    /// The lines of the guide that hold what is said: first, and one behind the last.
    lines: (usize, usize),
}

/// The sessions: under each heading of the third level, what stands in blocks of the language `console`.
pub(crate) fn sessions(guide: &str) -> Result<Vec<Session>> {
    let mut sessions: Vec<Session> = Vec::new();
    let (mut heading, mut is_block, mut goes_on) = (String::new(), false, false);
    for (number, line) in guide.lines().enumerate() {
        match line {
            "```console" => is_block = true,
            "```" => is_block = false,
            line if is_block => {
                if sessions.last().is_none_or(|session| session.heading != heading) {
                    sessions.push(Session { heading: heading.clone(), commands: Vec::new() });
                }
                let Some(session) = sessions.last_mut() else { continue };
                match (line.strip_prefix("$ "), session.commands.last_mut()) {
                    (_, Some(typed)) if goes_on => typed.go_on(line, number),
                    (Some(command), _) => session.commands.push(Typed {
                        command: format!("{command}\n"),
                        said: String::new(),
                        lines: (number + 1, number + 1),
                    }),
                    (None, Some(typed)) => typed.says(line, number),
                    (None, None) => bail!("line {}: a block begins with what is typed: `$ …`", number + 1),
                }
                goes_on = line.ends_with('\\') && (goes_on || line.starts_with("$ "));
            }
            line => {
                if let Some(text) = line.strip_prefix("### ") {
                    text.clone_into(&mut heading);
                }
            }
        }
    }
    if sessions.is_empty() {
        bail!("the guide has no block of the language `console`");
    }
    Ok(sessions)
}

impl Typed {
    fn go_on(&mut self, line: &str, number: usize) {
        self.command.push_str(line);
        self.command.push('\n');
        self.lines = (number + 1, number + 1);
    }

    fn says(&mut self, line: &str, number: usize) {
        self.said.push_str(line);
        self.said.push('\n');
        self.lines.1 = number + 1;
    }

    /// Whether what it says is ours to keep the same. Others' programs say something else with every version.
    fn is_ours(&self) -> bool {
        ["sluicebox ", "cargo xtask "].iter().any(|ours| self.command.starts_with(ours))
    }

    /// Whether it says something else now; numbers, digests and the width of columns do not count.
    pub(crate) fn says_otherwise(&self, now: &str) -> bool {
        self.is_ours() && plain(&self.said) != plain(now)
    }
}

/// The guide with what was said now; what says the same stays as it is.
pub(crate) fn blessed(guide: &str, said: &[(&Typed, String)]) -> String {
    let mut lines: Vec<&str> = guide.lines().collect();
    let mut said: Vec<_> = said.iter().filter(|(typed, now)| typed.says_otherwise(now) || typed.said.is_empty()).collect();
    said.sort_by_key(|(typed, _)| std::cmp::Reverse(typed.lines));
    let shown: Vec<_> = said.iter().map(|(typed, now)| (typed.lines, shortened(now))).collect();
    for ((from, to), now) in &shown {
        lines.splice(from..to, now.lines());
    }
    lines.join("\n") + "\n"
}

/// Lines in the middle are left out where there are many.
fn shortened(said: &str) -> String {
    const MOST: usize = 24;
    const ENDS: usize = 3;
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let mut shown = String::new();
    for (number, line) in lines.iter().enumerate() {
        let is_middle = lines.len() > MOST && number >= ENDS && number + ENDS < lines.len();
        if !is_middle {
            let _ = writeln!(shown, "{line}");
        } else if number == ENDS {
            shown.push_str("…\n");
        }
    }
    shown
}

/// Numbers and hexadecimal digests become `#`, white space one blank.
fn plain(said: &str) -> String {
    let mut plain = String::new();
    for line in said.lines() {
        for word in line.split_whitespace() {
            let parts = word.split_inclusive(|letter: char| !letter.is_alphanumeric() && letter != '.');
            for part in parts {
                let (part, end) = match part.char_indices().next_back() {
                    Some((at, last)) if !last.is_alphanumeric() && last != '.' => part.split_at(at),
                    _ => (part, ""),
                };
                let is_number = part.contains(|letter: char| letter.is_ascii_digit())
                    && part.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '.');
                plain.push_str(if is_number { "#" } else { part });
                plain.push_str(end);
            }
            plain.push(' ');
        }
        plain.push('\n');
    }
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "# G\n### C\nWords.\n```console\n$ sluicebox a \\\n  b\nmade 12 of   0a1b2c\n$ cd x\n```\nMore.\n```console\n$ make\n```\n### Go\n```console\n$ go\n```\n";

    #[test]
    fn what_is_typed_under_a_heading_is_one_session() {
        let sessions = sessions(GUIDE).unwrap();
        let shown: Vec<_> = sessions.iter().map(|session| (session.heading.as_str(), session.commands.len())).collect();
        assert_eq!(shown, [("C", 3), ("Go", 1)]);
        let first = &sessions[0].commands[0];
        assert_eq!((first.command.as_str(), first.said.as_str()), ("sluicebox a \\\n  b\n", "made 12 of   0a1b2c\n"));
        assert!(super::sessions("### C\n```console\nwords\n```\n").is_err());
    }

    #[test]
    fn numbers_do_not_count_and_words_do() {
        let sessions = sessions(GUIDE).unwrap();
        let typed = &sessions[0].commands[0];
        assert!(!typed.says_otherwise("made 7 of ffff0011\n"));
        assert!(typed.says_otherwise("made 7 from ffff0011\n"));
        assert!(!sessions[0].commands[2].says_otherwise("anything"));
    }

    #[test]
    fn what_is_said_now_takes_the_place_of_what_was_said() {
        let sessions = sessions(GUIDE).unwrap();
        let [a, cd, make] = sessions[0].commands.as_slice() else { panic!("three commands") };
        let said = [(a, "made none\nof it\n".to_owned()), (cd, String::new()), (make, "done  \n".to_owned())];
        let expected = GUIDE.replace("made 12 of   0a1b2c\n", "made none\nof it\n").replace("$ make\n", "$ make\ndone\n");
        assert_eq!(blessed(GUIDE, &said), expected);
        assert_eq!(blessed(GUIDE, &[(a, "made 1 of 1\n".to_owned())]), GUIDE);
    }
}
