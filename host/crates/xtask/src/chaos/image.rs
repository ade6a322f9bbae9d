//! A disk in a file, with a file system as nodes have it: on an error the kernel lets nothing more be written to it, whoever has files open. What
//! was not forced onto it by then is lost when it is mended, as after a power cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

/// How long it may take until nobody has a file open on it any more.
const LET_GO_WITHIN: Duration = Duration::from_secs(20);

/// Whether a disk can be made to break down on this machine; below that folder, which is made.
pub(super) fn probe(folder: &Path) -> Result<()> {
    let path = folder.join("probe");
    fs::create_dir_all(&path)?;
    Image::new(&path, 8)?.break_down()
}

/// The file, and where it is mounted.
pub(super) struct Image {
    file: PathBuf,
    path: PathBuf,
}

impl Image {
    /// Makes one and mounts it there.
    pub(super) fn new(path: &Path, mebibytes: u32) -> Result<Self> {
        let file = path.with_extension("image");
        fs::File::create(&file)?.set_len(u64::from(mebibytes) << 20)?;
        // What is below it cannot be written either: nobody writes past the disk while it is out.
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "ro,size=4k", "chaos"]).arg(path), &[0])?;
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&file), &[0])?;
        let image = Self { file, path: path.to_owned() };
        image.mount()?;
        Ok(image)
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(&self.file).arg(&self.path), &[0])
    }

    /// The kernel finds an error in it: nothing can be written any more.
    pub(super) fn break_down(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let device = mounts.lines().rev().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            let (place, _) = rest.split_once(' ')?;
            (Path::new(place) == self.path).then(|| device.trim_start_matches("/dev/").to_owned())
        });
        let device = device.with_context(|| format!("{} is not mounted", self.path.display()))?;
        let lever = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&lever, "1").with_context(|| format!("cannot write {lever}"))?;
        let mark = self.path.join("can-be-written");
        if fs::write(&mark, "").is_ok() {
            bail!("{} can still be written", self.path.display());
        }
        Ok(())
    }

    /// Takes it out as soon as nobody has a file open on it, has it checked, and puts it in again.
    pub(super) async fn mend(&self) -> Result<()> {
        let begin = Instant::now();
        while let Err(error) = run(Command::new("umount").arg(&self.path), &[0]) {
            if begin.elapsed() > LET_GO_WITHIN {
                return Err(error).context("somebody keeps files of a disk open that cannot be written");
            }
            sleep(Duration::from_millis(20)).await;
        }
        // One says that something was mended.
        run(Command::new("e2fsck").args(["-f", "-y"]).arg(&self.file), &[0, 1])?;
        self.mount()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for _ in 0..2 {
            let _status = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

fn run(command: &mut Command, good: &[i32]) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if output.status.code().is_none_or(|code| !good.contains(&code)) {
        bail!("{command:?} has failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
