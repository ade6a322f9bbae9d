//! The settings of appending.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{ByteSize, Problem, TimeSpan};

use super::names::{self, LARGEST_NUMBER};

/// More files than this at a time use up what a process may have open.
const MOST_FILES: u32 = 1000;

/// Appends messages as lines to files of the directory. A message's channel, where it has one, is the name of its file, with the
/// same rules as for documents and 250 bytes at most; a name cannot be both a document's and such a file's.
///
/// A line is the body as it is, with a line break added where it ends with none; line breaks within it are kept, so that a quoted
/// field of a CSV file may hold them. A message with an empty body adds no line.
///
/// A message's header `heading` holds the line on top of its file, such as the names of the columns; every new file begins with the
/// last one that was said. A file that begins with another line is rotated. One that has just begun with another heading is not
/// rotated for a third one within a minute: such messages are refused, so that two that disagree do not rotate all lines away.
///
/// Rotation renames `a.csv` to `a.csv.1`, that to `a.csv.2` and so on, in single steps that `tail -F` follows. A file that is there
/// at the start is continued, and keeps its permissions; a torn line at its end, left by a crash, is ended. Files that are removed,
/// replaced or emptied by others are noticed before the next write. After a failed write what is left of a torn line is cut off, and
/// the line is written again.
///
/// A message for a file that cannot be, such as one whose name a directory has, is refused. With `file` itself lines wait until what
/// is in the way is gone. When only the rotation fails, lines are appended nevertheless, and it is tried again after a minute.
///
/// Which files are appended to, and since when, is kept in `.sluicebox-appended` in the directory: a later run lets no document take
/// their names, and never removes them as unclaimed, until they are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Append {
    /// The file of messages that have no channel.
    pub file: String,
    /// A file is rotated before a line that would make it larger than this. A single larger line is written nevertheless, to a file
    /// of its own.
    #[serde(default = "max_bytes")]
    pub max_bytes: ByteSize,
    /// A file is rotated before a line that comes later than this after its first one, also across restarts. Without it, age does not
    /// matter.
    #[serde(default)]
    pub max_age: Option<TimeSpan>,
    /// How many rotated files are kept of each; 0 removes a file instead of renaming it.
    #[serde(default = "keep")]
    pub keep: u32,
    /// When lines are brought safely to the disk.
    #[serde(default)]
    pub sync: Durability,
    /// How many different files are appended to in one run; a message for one more is refused. Each stays open.
    #[serde(default = "max_files")]
    pub max_files: u32,
}

/// When lines are brought safely to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// When the system sees fit, usually within half a minute; only a failure of power or kernel loses what it holds.
    #[default]
    Never,
    /// After each write, which holds the lines of many messages (`fdatasync`). Costs milliseconds.
    EachWrite,
}

impl Append {
    /// The settings for a file, all others as by default.
    pub fn new(file: impl Into<String>) -> Self {
        let (max_bytes, keep, max_files) = (max_bytes(), keep(), max_files());
        Self { file: file.into(), max_bytes, max_age: None, keep, sync: Durability::default(), max_files }
    }

    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(reason) = names::check(&self.file) {
            problems.push(Problem::new("file", reason, "name a file of the directory, such as `usage.csv`"));
        }
        if self.max_bytes.0 == 0 {
            problems.push(Problem::new("max-bytes", "no line fits in 0 bytes", "leave it out for 64MiB"));
        }
        if self.max_age.is_some_and(|age| age.0.is_zero()) {
            let cause = "every line would have a file of its own";
            problems.push(Problem::new("max-age", cause, "leave it out, or name a time such as `24h`"));
        }
        if self.keep > LARGEST_NUMBER {
            let cause = format!("each rotation would rename up to {} files", self.keep);
            problems.push(Problem::new("keep", cause, format!("keep {LARGEST_NUMBER} at most")));
        }
        if self.max_files == 0 || self.max_files > MOST_FILES {
            let cause = format!("{} files cannot be appended to at a time", self.max_files);
            problems.push(Problem::new("max-files", cause, format!("name a number from 1 to {MOST_FILES}")));
        }
        problems
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        self.max_age.map(|age| age.0)
    }
}

fn max_bytes() -> ByteSize {
    ByteSize(64 << 20)
}

fn keep() -> u32 {
    5
}

fn max_files() -> u32 {
    64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_must_be_said() {
        let append: Append = serde_json::from_str(r#"{"file":"usage.csv"}"#).expect("enough");
        assert_eq!(append, Append::new("usage.csv"));
        assert_eq!(append.problems(), []);
        let text = serde_json::to_string(&append).expect("a config");
        assert_eq!(text, r#"{"file":"usage.csv","max-bytes":"64MiB","max-age":null,"keep":5,"sync":"never","max-files":64}"#);
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, fields) in [
            (
                r#"{"file":"","max-bytes":"0B","max-age":"0s","keep":1001,"max-files":0}"#,
                &["file", "max-bytes", "max-age", "keep", "max-files"][..],
            ),
            (r#"{"file":"a/b","max-files":1001}"#, &["file", "max-files"]),
            (r#"{"file":".sluicebox-appended"}"#, &["file"]),
            (r#"{"file":"a","max-age":"24h","keep":0,"sync":"each-write"}"#, &[]),
        ] {
            let append: Append = serde_json::from_str(text).expect("readable");
            let named: Vec<_> = append.problems().into_iter().map(|problem| problem.field).collect();
            assert_eq!(named, fields, "{text}");
        }
    }
}
