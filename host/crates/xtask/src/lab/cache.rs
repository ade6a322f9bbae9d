//! The folder outside the tree where the lab lies: one writer at a time, nothing half made under a final name.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use sluicebox_testkit::servers;

use crate::command::say;

/// The lab's folder, held for us alone until dropped.
pub(crate) struct Cache {
    folder: PathBuf,
    _lock: File,
}

impl Cache {
    /// Makes the folder if there is none, and waits for whoever works in it.
    pub(crate) fn open() -> Result<Self> {
        let folder = servers::cache().context("neither SLUICEBOX_CACHE nor HOME is set: no place for the lab")?;
        let folder = std::path::absolute(folder).context("SLUICEBOX_CACHE is not a path")?;
        fs::create_dir_all(&folder).with_context(|| {
            format!("cannot make {}; cure: point SLUICEBOX_CACHE at a folder that can be written", folder.display())
        })?;
        let lock = File::create(folder.join("lock")).with_context(|| format!("cannot write in {}", folder.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                say(format!("waiting for another run that works in {}", folder.display()));
                lock.lock().context("cannot lock the cache")?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
        }
        Ok(Self { folder, _lock: lock })
    }

    /// A path inside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder inside, made if there is none.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// The folder `name`, made by `fill` if there is none. It gets its name when it is whole, so a run that was cut off leaves none.
    pub(crate) fn whole(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(name);
        if path.is_dir() {
            return Ok(path);
        }
        let unfinished = self.path(&format!("{name}.unfinished"));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
        fill(&unfinished)?;
        fs::rename(&unfinished, &path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A shell script in the folder of programs.
    pub(crate) fn script(&self, name: &str, words: &str) -> Result<PathBuf> {
        let path = self.make("bin")?.join(name);
        write(&path, format!("#!/bin/sh\n{words}").as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Where the output of a long step goes.
    pub(crate) fn log(&self, step: &str) -> Result<PathBuf> {
        Ok(self.make("logs")?.join(format!("{step}.log")))
    }
}

/// Writes a file that nobody ever sees half written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}
