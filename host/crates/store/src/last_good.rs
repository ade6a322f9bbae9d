//! The last module of each lane that worked, with its settings, so that a bad new one can be replaced by it even after a restart.

use sluicebox_contract::text::in_few_words;
use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sluicebox_contract::{ModuleIdentity, UnixNanos};

use crate::directory::{Directory, Endures};
use crate::{StoreError, json};

/// What is known of a component is never larger than this in bytes: a configuration has 4 MiB at most, and escapes take room.
const LARGEST_GOOD: u64 = 32 << 20;
const GOOD: &str = "good.json";
/// Before each lane's name, which may be `..`.
const LANE: &str = "lane-";

/// A module that worked.
#[derive(Clone, Debug)]
pub struct Good {
    /// Which module. Its digest is that of the component.
    pub module: ModuleIdentity,
    /// The settings that it worked with: a JSON object.
    pub settings: String,
    /// The component's bytes; presets too, because the next version of the program may carry another.
    pub component: Cow<'static, [u8]>,
    /// Its signature as text, where it had to have one.
    pub signature: Option<String>,
    /// When it was kept.
    pub kept_at: UnixNanos,
}

/// What is written beside the component.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Label {
    lane: String,
    module: ModuleIdentity,
    settings: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(rename = "kept-at-unix-nanos")]
    kept_at: UnixNanos,
}

/// The last good module of each lane.
#[derive(Debug)]
pub struct LastGood {
    lanes: Directory,
}

impl LastGood {
    /// Opens what is kept in a state directory, or makes the place for it.
    pub fn open(state_directory: &Path) -> Result<Self, StoreError> {
        let state = Directory::open(state_directory)?;
        let lanes = state.below("last-good")?;
        state.sync()?;
        Ok(Self { lanes })
    }

    /// Keeps a lane's module in place of the one before. Survives a power cut from the moment that this returns; interrupted before,
    /// the module before is still kept. What is there already is not written again.
    pub fn keep(&self, lane: &str, good: &Good) -> Result<(), StoreError> {
        let name = name(lane)?;
        if hex(&good.component) != good.module.digest {
            let reason = format!("the component does not have the digest {}", good.module.digest.escape_debug());
            return Err(StoreError::Damaged { path: self.lanes.path(&name), reason });
        }
        let label = Label {
            lane: lane.to_owned(),
            module: good.module.clone(),
            settings: good.settings.clone(),
            signature: good.signature.clone(),
            kept_at: good.kept_at,
        };
        let damaged =
            |error| StoreError::Damaged { path: self.lanes.path(&name), reason: format!("it would be no JSON: {error}") };
        let label = json::write_pretty(&label).map_err(damaged)?;
        if label.len() as u64 > LARGEST_GOOD {
            let what = format!("what is known of the module of lane `{lane}`");
            return Err(StoreError::TooLarge { what, bytes: label.len() as u64, most: LARGEST_GOOD });
        }
        let directory = self.lanes.below(&name)?;
        let component = component_name(&good.module.digest);
        let there = directory.read(&component, good.component.len() as u64);
        if !there.is_ok_and(|there| there.is_some_and(|there| there == *good.component)) {
            directory.write(&component, &good.component, Endures::Power)?;
        }
        // The component lies there for good before anything speaks of it.
        directory.sync()?;
        directory.write(GOOD, &label, Endures::Power)?;
        directory.sync()?;
        self.lanes.sync()?;
        sweep(&directory, &[GOOD, &component])
    }

    /// A lane's module; none when none is kept. One that is not what was kept is taken away.
    pub fn load(&self, lane: &str, most_bytes: u64) -> Result<Option<Good>, StoreError> {
        let Some(directory) = self.lanes.existing(&name(lane)?)? else {
            return Ok(None);
        };
        let good = read(&directory, lane, most_bytes);
        if let Err(StoreError::Damaged { .. }) = &good {
            // When it cannot be removed it is found damaged again.
            let _gone = self.forget(lane);
        }
        good
    }

    /// Keeps nothing for a lane.
    pub fn forget(&self, lane: &str) -> Result<(), StoreError> {
        let name = name(lane)?;
        let Some(directory) = self.lanes.existing(&name)? else {
            return Ok(());
        };
        // The label first: a component without one is nothing.
        directory.remove(GOOD)?;
        sweep(&directory, &[])?;
        self.lanes.remove_directory(&name)
    }

    /// The lanes for which something is kept, by name.
    pub fn lanes(&self) -> Result<Vec<String>, StoreError> {
        let mut lanes = Vec::new();
        for folder in self.lanes.names()? {
            let Some(lane) = folder.to_str().and_then(|folder| folder.strip_prefix(LANE)) else {
                continue;
            };
            if name(lane).is_ok()
                && let Ok(Some(directory)) = self.lanes.existing(&format!("{LANE}{lane}"))
                && directory.size(GOOD).is_some()
            {
                lanes.push(lane.to_owned());
            }
        }
        lanes.sort_unstable();
        Ok(lanes)
    }
}

fn read(directory: &Directory, lane: &str, most_bytes: u64) -> Result<Option<Good>, StoreError> {
    let Some(text) = directory.read(GOOD, LARGEST_GOOD)? else {
        return Ok(None);
    };
    let damaged = |reason: String| StoreError::Damaged { path: directory.path(GOOD), reason };
    let label: Label = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("it is no description of a module: {}", in_few_words(error))))?;
    if label.lane != lane {
        return Err(damaged(format!("it is about lane `{}`", in_few_words(&label.lane))));
    }
    let digest = &label.module.digest;
    // A digest is part of a file name.
    if digest.len() != 64 || !digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(damaged(format!("`{}` is no digest", in_few_words(digest))));
    }
    let component_name = component_name(digest);
    let component = directory.read(&component_name, most_bytes)?;
    let component = component.ok_or_else(|| damaged(format!("its component {component_name} is missing")))?;
    if hex(&component) != *digest {
        let reason = "its content does not have the digest that it is named by".to_owned();
        return Err(StoreError::Damaged { path: directory.path(&component_name), reason });
    }
    let Label { module, settings, signature, kept_at, .. } = label;
    Ok(Some(Good { module, settings, component: Cow::Owned(component), signature, kept_at }))
}

/// Removes all files but those.
fn sweep(directory: &Directory, but: &[&str]) -> Result<(), StoreError> {
    for name in directory.names()? {
        if !but.iter().any(|kept| name == **kept) {
            directory.remove(&name)?;
        }
    }
    Ok(())
}

fn name(lane: &str) -> Result<String, StoreError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if lane.is_empty() || lane.len() > 63 || !lane.bytes().all(fine) {
        let hint = "1 to 63 letters, digits, `-`, `_` and `.`";
        return Err(StoreError::Unknown(format!("`{}` is no name of a lane (hint: {hint})", lane.escape_debug())));
    }
    Ok(format!("{LANE}{lane}"))
}

fn component_name(digest: &str) -> String {
    format!("{digest}.wasm")
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
