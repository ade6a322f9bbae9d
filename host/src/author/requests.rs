//! How an author asks a running collector for a recording, and how it answers: files in its state directory.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const DIRECTORY: &str = "recordings";
/// A longer request is none of ours.
const LONGEST: u64 = 64 << 10;

/// No recording takes longer.
pub const MOST_TIME: Duration = Duration::from_hours(1);
/// After so long nobody waits any more; longer than any recording may take.
const FORGOTTEN: Duration = Duration::from_hours(2);
/// Whoever waits for an answer looks for it all the time: after so long nobody does, and what it says of the cluster is not left about.
const UNFETCHED: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    /// Of which lane.
    pub lane: String,
    /// How many events, at most.
    pub events: usize,
    /// How long to wait for them.
    pub seconds: u64,
    /// Fields whose texts are taken out before anything is written.
    pub redact: Vec<String>,
}

/// A recording as a case, or why there is none.
pub type Answer = Result<Value, String>;

/// One request: the place of its files.
#[derive(Clone, Debug)]
pub struct Asked {
    directory: PathBuf,
    id: String,
}

impl Asked {
    /// Asks the collector that works with this state directory.
    pub fn ask(state: &Path, id: &str, request: &Request) -> io::Result<Self> {
        let directory = state.join(DIRECTORY);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let asked = Self { directory, id: id.to_owned() };
        write(&asked.file("new"), &serde_json::to_vec(request)?)?;
        fs::rename(asked.file("new"), asked.file("asked"))?;
        Ok(asked)
    }

    /// Whether the collector has begun with it.
    pub fn is_taken(&self) -> bool {
        !self.file("asked").exists()
    }

    /// The collector's answer, once it is there.
    pub fn answer(&self) -> Option<io::Result<Answer>> {
        let bytes = match fs::read(self.file("answer")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            read => read,
        };
        Some(bytes.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)))
    }

    /// Takes all of it away.
    pub fn end(&self) {
        for kind in ["new", "asked", "taken", "answer"] {
            let _absent = fs::remove_file(self.file(kind));
        }
    }

    /// What the collector does: takes the oldest request, if there is one. One that cannot be read is answered at once.
    pub fn take(state: &Path) -> Option<(Self, Request)> {
        let directory = state.join(DIRECTORY);
        let mut first: Option<String> = None;
        for entry in fs::read_dir(&directory).ok()?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            match name.strip_suffix(".asked") {
                Some(id) if first.as_deref().is_none_or(|first| id < first) => first = Some(id.to_owned()),
                None if is_old(&entry, if name.ends_with(".answer") { UNFETCHED } else { FORGOTTEN }) => {
                    drop(fs::remove_file(entry.path()));
                }
                Some(_) | None => {}
            }
        }
        let id = first?;
        let asked = Self { directory, id };
        fs::rename(asked.file("asked"), asked.file("taken")).ok()?;
        match asked.request() {
            Ok(request) => Some((asked, request)),
            Err(error) => {
                let _nobody = asked.reply(&Err(format!("cannot read the request: {error}")));
                None
            }
        }
    }

    fn request(&self) -> io::Result<Request> {
        let path = self.file("taken");
        let metadata = fs::symlink_metadata(&path)?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err(io::Error::other("it is no regular file, or too long"));
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// What the collector does: answers.
    pub fn reply(&self, answer: &Answer) -> io::Result<()> {
        write(&self.file("new"), &serde_json::to_vec(answer)?)?;
        fs::rename(self.file("new"), self.file("answer"))?;
        fs::remove_file(self.file("taken"))
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.id))
    }
}

impl Request {
    /// How long to wait.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.seconds).min(MOST_TIME)
    }
}

/// What nobody has fetched: whoever has asked was killed meanwhile.
fn is_old(entry: &fs::DirEntry, age_at_most: Duration) -> bool {
    let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > age_at_most)
}

/// Only the owner may read it: it holds what the cluster's objects say.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn request(lane: &str) -> Request {
        Request { lane: lane.to_owned(), events: 3, seconds: 1, redact: vec!["name".to_owned()] }
    }

    #[test]
    fn requests_are_taken_in_their_order_and_answered_once() {
        let state = TempDir::new().unwrap();
        assert!(Asked::take(state.path()).is_none());
        let second = Asked::ask(state.path(), "2", &request("b")).unwrap();
        let first = Asked::ask(state.path(), "1", &request("a")).unwrap();
        let (taken, found) = Asked::take(state.path()).unwrap();
        assert_eq!(found, request("a"));
        assert!(first.is_taken() && !second.is_taken());
        assert!(first.answer().is_none());
        taken.reply(&Ok(json!({"about": ""}))).unwrap();
        assert_eq!(first.answer().unwrap().unwrap(), Ok(json!({"about": ""})));
        first.end();
        second.end();
        assert!(Asked::take(state.path()).is_none());
        assert_eq!(fs::read_dir(state.path().join(DIRECTORY)).unwrap().count(), 0);
    }

    #[test]
    fn a_request_that_cannot_be_read_is_answered_with_the_reason() {
        let state = TempDir::new().unwrap();
        let asked = Asked::ask(state.path(), "1", &request("a")).unwrap();
        fs::write(asked.file("asked"), "{}").unwrap();
        assert!(Asked::take(state.path()).is_none());
        let answer = asked.answer().unwrap().unwrap();
        assert!(answer.unwrap_err().starts_with("cannot read the request: missing field"));
    }

    #[test]
    fn an_answer_that_nobody_looks_for_any_more_goes_soon() {
        let state = TempDir::new().unwrap();
        let asked = Asked::ask(state.path(), "1", &request("a")).unwrap();
        let (taken, _) = Asked::take(state.path()).unwrap();
        let age = |kind: &str, age: Duration| {
            let file = fs::File::options().write(true).open(asked.file(kind)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        // What is under way may take an hour.
        age("taken", MOST_TIME + UNFETCHED);
        assert!(Asked::take(state.path()).is_none() && asked.file("taken").exists());
        taken.reply(&Ok(json!({"about": "of the cluster"}))).unwrap();
        age("answer", UNFETCHED / 2);
        assert!(Asked::take(state.path()).is_none() && asked.answer().is_some());
        age("answer", UNFETCHED + Duration::from_secs(1));
        assert!(Asked::take(state.path()).is_none() && asked.answer().is_none());
    }

    #[test]
    fn what_nobody_has_fetched_goes_after_a_while() {
        let state = TempDir::new().unwrap();
        let asked = Asked::ask(state.path(), "1", &request("a")).unwrap();
        let (taken, _) = Asked::take(state.path()).unwrap();
        taken.reply(&Err("no".to_owned())).unwrap();
        assert!(Asked::take(state.path()).is_none());
        assert!(asked.answer().is_some());
        let long_ago = SystemTime::now() - FORGOTTEN - Duration::from_secs(1);
        fs::File::options().write(true).open(asked.file("answer")).unwrap().set_modified(long_ago).unwrap();
        assert!(Asked::take(state.path()).is_none());
        assert!(asked.answer().is_none());
    }
}
