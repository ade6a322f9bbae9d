//! File systems of their own, that fill up, fail and are taken away.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{TempDir, tempdir};

/// A mounted file system, gone when dropped.
pub(crate) struct Mounted {
    folder: TempDir,
    image: Option<PathBuf>,
}

impl Mounted {
    /// In memory; none, loudly, where the user may not mount.
    pub(crate) fn in_memory(options: &str) -> Option<Self> {
        let mounted = Self { folder: tempdir().expect("a folder"), image: None };
        mounted.mount(&["-t", "tmpfs", "-o", options, "tmpfs"]).then_some(mounted)
    }

    /// On a disk of so many MiB, which turns read-only when it is damaged.
    pub(crate) fn on_a_disk(size: u64) -> Option<Self> {
        let mounted = Self::with_image(size);
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(mounted.image()));
        (made && mounted.mount_image("loop,errors=remount-ro")).then_some(mounted)
    }

    /// On a disk, with a folder in it that may hold so many bytes.
    pub(crate) fn with_quota(mkfs: &Path, btrfs: &Path, bytes: u64) -> Option<(Self, PathBuf)> {
        let mounted = Self::with_image(64);
        if !run(Command::new(mkfs).args(["-q", "--mixed"]).arg(mounted.image())) || !mounted.mount_image("loop") {
            return None;
        }
        let volume = mounted.path().join("volume");
        let words = |words: &[&str], path: &Path| run(Command::new(btrfs).args(words).arg(path));
        let made = words(&["quota", "enable"], mounted.path())
            && words(&["subvolume", "create"], &volume)
            && words(&["qgroup", "limit", &bytes.to_string()], &volume);
        made.then_some((mounted, volume))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn remount(&self, how: &str) -> bool {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()))
    }

    /// What the kernel does when it finds the file system damaged.
    pub(crate) fn damage(&self) -> bool {
        let device = fs::read_to_string("/proc/mounts").expect("Linux");
        let path = self.path().to_string_lossy().into_owned();
        let device = device.lines().find(|line| line.split(' ').nth(1) == Some(&path)).and_then(|line| line.split(' ').next());
        let Some(name) = device.and_then(|device| device.strip_prefix("/dev/")) else {
            return false;
        };
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").is_ok()
    }

    /// What an operator does after that: it is taken away, although somebody has it open, checked, and mounted again.
    pub(crate) fn mend(&self) -> bool {
        self.unmount() && {
            // The answer tells that something was mended.
            run_any(Command::new("e2fsck").args(["-f", "-y"]).arg(self.image()));
            self.mount_image("loop,errors=remount-ro")
        }
    }

    fn with_image(size: u64) -> Self {
        let folder = tempdir().expect("a folder");
        let image = folder.path().with_extension("image");
        let file = fs::File::create(&image).expect("an image");
        file.set_len(size << 20).expect("a size");
        Self { folder, image: Some(image) }
    }

    fn image(&self) -> &Path {
        self.image.as_deref().expect("it is on a disk")
    }

    fn mount_image(&self, options: &str) -> bool {
        let image = self.image().to_string_lossy().into_owned();
        self.mount(&["-o", options, &image])
    }

    fn mount(&self, words: &[&str]) -> bool {
        run(Command::new("mount").args(words).arg(self.path()))
    }

    fn unmount(&self) -> bool {
        run_any(Command::new("umount").arg("--lazy").arg(self.path()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
        if let Some(image) = &self.image {
            fs::remove_file(image).expect("it was made before");
        }
    }
}

/// Says loudly why it could not be done.
fn run(command: &mut Command) -> bool {
    let reason = match command.output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    not_run(&format!("{command:?}: {reason}"));
    false
}

fn run_any(command: &mut Command) -> bool {
    command.output().is_ok()
}

pub(crate) fn not_run(reason: &str) {
    let _unheard = writeln!(std::io::stderr(), "NOT RUN: {reason}");
}
