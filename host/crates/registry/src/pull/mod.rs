//! A module is pulled: the client library works in a process that may use so much memory and so much time, and what it hands over is held
//! against its digests.

mod error;
mod process;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layout::{self, MANIFEST_BYTES, Mistake};
use crate::secret::{self, Secret};
use crate::{Config, PullConfig, Reference};
pub use error::{Kind, PullError};
pub use task::PullTask;

/// What the program is asked for when it is started to pull.
pub const COMMAND: &str = "pull-module";

/// How modules are pulled: by which program, from which registries, and what a pull may use.
#[derive(Clone, Debug)]
pub struct Puller {
    program: PathBuf,
    registries: BTreeMap<String, Config>,
    settings: PullConfig,
}

/// What is to be pulled.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// From where.
    pub reference: &'a Reference,
    /// The digest of the manifest that is here already: it is not pulled again.
    pub known: Option<&'a str>,
    /// How many bytes the component may have.
    pub most_bytes: usize,
    /// How long it may take; not longer than a pull may at all.
    pub patience: Duration,
}

/// What a pull has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// What is meant is what is known.
    Unchanged,
    /// Another one, which is what it is called.
    Taken {
        /// The manifest as it came.
        manifest: Vec<u8>,
        /// The component.
        component: Vec<u8>,
    },
}

/// What the process is told, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    reference: String,
    plain: bool,
    /// Whether plain HTTP may go to other machines.
    clear_text: bool,
    secret: Secret,
    proxy: Option<String>,
    known: Option<String>,
    most_bytes: u64,
    connect_millis: u64,
    memory_bytes: u64,
    seconds: u64,
}

/// What it says, on its standard error.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Unchanged,
    Taken { manifest: String },
    Failed { kind: Kind, reason: String },
}

impl Puller {
    /// Pulls by the program that runs now, as it was when it was started.
    pub fn this_program(registries: BTreeMap<String, Config>, settings: PullConfig) -> Self {
        Self::by(PathBuf::from("/proc/self/exe"), registries, settings)
    }

    /// Pulls by a program that understands [`COMMAND`].
    pub fn by(program: PathBuf, registries: BTreeMap<String, Config>, settings: PullConfig) -> Self {
        Self { program, registries, settings }
    }

    /// How it is pulled, and what is kept.
    pub fn settings(&self) -> &PullConfig {
        &self.settings
    }

    /// Asks the registry, and pulls what is not known. Blocks.
    pub fn pull(&self, wish: Wish<'_>) -> Result<Pulled, PullError> {
        let Wish { reference, known, most_bytes, patience } = wish;
        let default = Config::default();
        let config = self.registries.get(reference.host()).unwrap_or(&default);
        let secret = secret::read(config, reference.host()).map_err(|reason| PullError::new(Kind::Denied, reason))?;
        let deadline = self.settings.deadline.0.min(patience);
        let request = Request {
            reference: reference.bare().to_owned(),
            plain: config.is_plain(reference.host()),
            clear_text: config.secrets_in_clear_text || secret.0.is_none(),
            secret,
            proxy: config.proxy.clone(),
            known: known.map(str::to_owned),
            most_bytes: most_bytes as u64,
            connect_millis: u64::try_from(self.settings.connect_timeout.0.as_millis()).unwrap_or(u64::MAX),
            memory_bytes: self.settings.memory.0,
            seconds: deadline.as_secs() + 1,
        };
        let ending = process::run(&mut self.command(config), &request, deadline);
        let ending = ending.map_err(|error| PullError::new(Kind::Away, format!("cannot run the process that pulls: {error}")))?;
        match error::judge(&ending, self.settings.memory, deadline)? {
            Answer::Unchanged => Ok(Pulled::Unchanged),
            Answer::Failed { kind, reason } => Err(PullError::new(kind, layout::excerpt(&reason))),
            Answer::Taken { manifest } => {
                verified(reference, manifest.into_bytes(), ending.output).map_err(|mistake| mistaken(&mistake))
            }
        }
    }

    fn command(&self, config: &Config) -> Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new(&self.program);
        command.arg0("sluicebox").arg(COMMAND).env_clear();
        // Whom the library believes when nothing else is said.
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if let Some(path) = std::env::var_os(name) {
                command.env(name, path);
            }
        }
        if let Some(path) = &config.ca_file {
            command.env("SSL_CERT_FILE", path).env_remove("SSL_CERT_DIR");
        }
        command
    }
}

/// What the process has handed over, if it is what was asked for.
fn verified(reference: &Reference, manifest: Vec<u8>, component: Vec<u8>) -> Result<Pulled, Mistake> {
    if let Some(wanted) = reference.digest() {
        layout::is("what the registry sent", &manifest, wanted)?;
    }
    layout::is_layer(&layout::layer(&manifest)?, &component)?;
    Ok(Pulled::Taken { manifest, component })
}

fn mistaken(mistake: &Mistake) -> PullError {
    let kind = if matches!(mistake, Mistake::Layout(_)) { Kind::Layout } else { Kind::Mismatch };
    PullError::new(kind, mistake.to_string())
}

/// Of a manifest and the words around it, escaped: never more.
const fn words_bytes() -> usize {
    MANIFEST_BYTES * 2 + (64 << 10)
}
