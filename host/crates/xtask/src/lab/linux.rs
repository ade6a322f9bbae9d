//! Small Linux machines to test cgroup v2 in: kernels, an emulator and a shell, all of Debian, none of them installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command;

/// A disk in memory: the only module that the kernel of the emulated machine is given.
const DISK: &str = "kernel/drivers/block/brd.ko";

/// Linux as an ordinary process. It knows cgroup v2, and no pressure.
pub(super) fn user_mode(cache: &Cache) -> Result<PathBuf> {
    let root = cache.whole("user-mode-linux", |folder| {
        let package = debian::unpacked(cache, "user-mode-linux-package", &["user-mode-linux"])?;
        take(&package.join("usr/bin/linux.uml"), folder)?;
        fs::remove_dir_all(package).context("cannot remove what is not needed of user-mode-linux")
    })?;
    let path = root.join("linux.uml");
    // It leaves a folder in the user's home otherwise.
    command::capture(Command::new(&path).arg("--version").env("HOME", &root))?;
    Ok(path)
}

/// Every command of a small system in one program without libraries.
pub(crate) fn busybox(cache: &Cache) -> Result<PathBuf> {
    let path = debian::unpacked(cache, "busybox", &["busybox-static"])?.join("bin/busybox");
    command::capture(Command::new(&path).arg("true"))?;
    Ok(path)
}

/// A whole computer in software: slow, and like a real one.
pub(super) fn emulator(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find("qemu-system-x86_64") {
        return Ok(path);
    }
    let root = debian::unpacked(cache, "qemu", &["qemu-system-x86"])?;
    let libraries = debian::libraries(&root)?;
    let root = root.display();
    let words = format!(
        "LD_LIBRARY_PATH='{libraries}' exec '{root}/usr/bin/qemu-system-x86_64' -L '{root}/usr/share/qemu' \
         -L '{root}/usr/share/seabios' \"$@\"\n"
    );
    let path = cache.script("qemu-system-x86_64", &words)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}

/// The kernel that the emulator runs, with `brd.ko` beside it.
pub(super) fn kernel(cache: &Cache) -> Result<PathBuf> {
    let root = cache.whole("linux", |folder| {
        let is_image = |package: &str| package.starts_with("linux-image-");
        let package = debian::unpacked_only(cache, "linux-package", &["linux-image-cloud-amd64"], is_image)?;
        let version = only(&package.join("lib/modules"))?;
        take(&version.join(DISK), folder)?;
        let name = version.file_name().unwrap_or_default().display().to_string();
        take(&package.join("boot").join(format!("vmlinuz-{name}")), folder)?;
        fs::rename(folder.join(format!("vmlinuz-{name}")), folder.join("vmlinuz"))?;
        fs::remove_dir_all(package).context("cannot remove what is not needed of the kernel")
    })?;
    Ok(root.join("vmlinuz"))
}

/// Copies a file into a folder under its own name.
fn take(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().context("a file without a name")?;
    fs::copy(file, folder.join(name)).with_context(|| format!("cannot take {} out of its package", file.display()))?;
    Ok(())
}

/// The only entry of a folder.
fn only(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let entry = entries.next().with_context(|| format!("{} is empty", folder.display()))??;
    Ok(entry.path())
}
