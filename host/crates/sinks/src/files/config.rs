//! The settings of the files sink.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluicebox_contract::{ByteSize, Problem, TimeSpan};

use super::append::Append;
use super::name;

/// Keeps each document as one file of a directory: the file's name is the document's, its content the body. A reader never sees
/// an empty or partial file: the content is written beside it and takes the place of the old one in one step.
///
/// A document's collection, where it has one, is a directory within the directory. Names and collections are refused when they
/// hold `/` or a zero byte, are `.`, `..` or empty, exceed 255 bytes, or begin with `.sluicebox`, which is kept for the sink
/// itself. Messages are refused, as they have no name to be kept under, unless `append` is set. One sink writes to a directory at a
/// time; a second one waits.
///
/// A document to be forgotten later keeps its time across a restart, in `.sluicebox-retention` in the directory. What fell due
/// while the program was away waits ten seconds more: it may be put again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "FilesSink")]
pub struct Config {
    /// The directory. Made, with those above it, where missing.
    pub directory: PathBuf,
    /// The permissions of the files, in octal and in quotes; the umask does not change them.
    #[serde(default)]
    pub mode: FileMode,
    /// Whether each file is brought safely to the disk before the next is written (`fsync`). Off by default: it costs
    /// milliseconds for each file, and after a power failure all files are written again anyway as soon as the sources have
    /// listed what is there.
    #[serde(default)]
    pub sync: bool,
    /// The largest file; a larger document is refused.
    #[serde(default = "max_bytes_per_file")]
    pub max_bytes_per_file: ByteSize,
    /// Forgets files that an earlier run left behind and that belong to nothing any more; nothing is removed without it.
    #[serde(default)]
    pub remove_unclaimed: Option<RemoveUnclaimed>,
    /// Appends messages to files of the directory; without it they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<Append>,
}

/// Forgets what nothing claims: once everything that was there at the start has been written, files in the directory itself (not
/// in those below) whose name ends with the suffix, that this run has not written, that are not waiting to be forgotten, and that messages were never appended to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemoveUnclaimed {
    /// The end of the names of the files that are ours to remove, such as `.meta`.
    pub suffix: String,
    /// How long they stay once nothing has claimed them.
    #[serde(default = "after")]
    pub after: TimeSpan,
}

/// Permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Config {
    /// The settings for a directory, all others as by default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            mode: FileMode::default(),
            sync: false,
            max_bytes_per_file: max_bytes_per_file(),
            remove_unclaimed: None,
            append: None,
        }
    }

    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.directory.as_os_str().is_empty() {
            problems.push(Problem::new("directory", "the directory has no name", "name one, such as `/var/run/meta`"));
        }
        if self.max_bytes_per_file.0 == 0 {
            problems.push(Problem::new("max-bytes-per-file", "no document fits in 0 bytes", "leave it out for 16MiB"));
        }
        if let Some(unclaimed) = &self.remove_unclaimed {
            let field = "remove-unclaimed.suffix";
            let cure = "name the end that only our files have, such as `.meta`";
            if unclaimed.suffix.is_empty() {
                problems.push(Problem::new(field, "an empty suffix would remove every file of the directory", cure));
            } else if let Err(reason) = name::check(&unclaimed.suffix) {
                problems.push(Problem::new(field, format!("no file name ends like this: {reason}"), cure));
            }
        }
        let append = self.append.iter().flat_map(Append::problems);
        problems.extend(append.map(|problem| problem.within("append")));
        problems
    }
}

fn max_bytes_per_file() -> ByteSize {
    ByteSize(16 << 20)
}

fn after() -> TimeSpan {
    TimeSpan(Duration::from_mins(1))
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o644)
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 3 || (text.len() == 4 && text.starts_with('0'));
        let digits = digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits => Ok(Self(mode)),
            _ => Err(format!("`{text}` is no file mode: write three octal digits in quotes, such as \"0644\"")),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Without quotes some readers of YAML take 0644 for a decimal number: only text says what was meant.
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for FileMode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^0?[0-7]{3}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_must_be_said() {
        let config: Config = serde_json::from_str(r#"{"directory":"/run/meta"}"#).expect("enough");
        assert_eq!(config, Config::new("/run/meta"));
        assert_eq!(config.problems(), []);
        let text = serde_json::to_string(&config).expect("a config");
        assert_eq!(
            text,
            r#"{"directory":"/run/meta","mode":"0644","sync":false,"max-bytes-per-file":"16MiB","remove-unclaimed":null}"#
        );
    }

    #[test]
    fn a_mode_is_octal_and_in_quotes() {
        assert_eq!("0640".parse(), Ok(FileMode(0o640)));
        assert_eq!("600".parse(), Ok(FileMode(0o600)));
        for junk in ["", "4", "0888", "1777", "rw", "+644", "00644x"] {
            assert!(junk.parse::<FileMode>().is_err(), "{junk}");
        }
        let number = serde_json::from_str::<Config>(r#"{"directory":"/","mode":420}"#);
        assert!(number.is_err());
    }

    #[test]
    fn every_mistake_is_named() {
        let config: Config = serde_json::from_str(
            r#"{"directory":"","max-bytes-per-file":"0B","remove-unclaimed":{"suffix":""},"append":{"file":""}}"#,
        )
        .expect("readable");
        let paths: Vec<_> = config.problems().into_iter().map(|problem| problem.field).collect();
        assert_eq!(paths, ["directory", "max-bytes-per-file", "remove-unclaimed.suffix", "append.file"]);
    }
}
