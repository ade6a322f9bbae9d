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
        let names = fs::read_dir(&directory).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let id = names.filter_map(|name| name.strip_suffix(".asked").map(str::to_owned)).min()?;
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
        Duration::from_secs(self.seconds.min(3600))
    }
}

/// Only the owner may read it: it holds what the cluster's objects say.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}
