//! Linux as an ordinary process (User Mode Linux): its root is a folder of ours, its disk a file of ours.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::root::{self, Terms};
use super::{DISK_BYTES, Kernel, MEMORY_MEGABYTES, Prepared};
use crate::servers;

/// `disk` is that of an earlier machine; without one it has a new one.
pub(super) fn prepare(folder: &Path, program: &Path, arguments: &[&str], disk: Option<&Path>) -> Result<Prepared> {
    let root = folder.join("root");
    fs::create_dir(&root).context("cannot make the machine's root")?;
    // What is written inside to a file of the root is written to our file at once.
    let terms = Terms { kernel: Kernel::UserMode.name(), disk: "export SLUICEBOX_DISK=/dev/ubda", text: "/text", code: "/code" };
    root::make(&root, program, arguments, &terms)?;
    let disk = disk.map_or_else(|| folder.join("disk"), Path::to_owned);
    if !disk.exists() {
        File::create(&disk).and_then(|disk| disk.set_len(DISK_BYTES)).context("cannot make the machine's disk")?;
    }

    let mut command = Command::new(servers::user_mode_linux()?);
    command
        .arg(format!("mem={MEMORY_MEGABYTES}M"))
        .args(["root=/dev/root", "rootfstype=hostfs"])
        .arg(format!("rootflags={}", root.display()))
        .args(["rw", "init=/init", "quiet", "panic=-1", "con=null", "con0=null,fd:1", "ssl=null"])
        .arg(format!("ubd0={}", disk.display()))
        .arg(format!("uml_dir={}", folder.display()))
        .env("HOME", folder)
        .current_dir(folder);
    Ok(Prepared { name: "user-mode-linux", command, text: root.join("text"), code: root.join("code") })
}
