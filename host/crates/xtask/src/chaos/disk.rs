//! Disks of their own, which can be full, and what can be broken on them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::image::Image;
use super::plan::Damage;
use super::random::Random;
use super::stream::{Line, parse};

/// What fills a disk.
const BALLAST: &str = "ballast";
/// Bytes before the first record of a file, and of a record before what it holds.
const HEADER: usize = 16;
const HEAD: usize = 12;

/// A directory, on a disk of its own where that is possible.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    mounted: bool,
    /// Where it can break down.
    pub(super) image: Option<Image>,
}

impl Disk {
    pub(super) fn new(path: PathBuf, mebibytes: u32, mount: bool) -> Result<Self> {
        fs::create_dir_all(&path)?;
        if mount {
            let mut command = Command::new("mount");
            command.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "chaos"]).arg(&path);
            let output = command.output().context("cannot run mount")?;
            if !output.status.success() {
                bail!("cannot mount {}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        Ok(Self { path, mounted: mount, image: None })
    }

    /// One that can break down.
    pub(super) fn fragile(path: PathBuf, mebibytes: u32) -> Result<Self> {
        fs::create_dir_all(&path)?;
        let image = Some(Image::new(&path, mebibytes)?);
        Ok(Self { path, mounted: false, image })
    }

    /// Nothing more can be written to it.
    pub(super) fn fill(&self) -> Result<()> {
        if self.mounted {
            let mut ballast = File::create(self.path.join(BALLAST))?;
            while ballast.write_all(&[0; 4096]).is_ok() {}
        }
        Ok(())
    }

    /// There is room again.
    pub(super) fn empty(&self) {
        // It may not be there.
        let _none = fs::remove_file(self.path.join(BALLAST));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // It ends with this process at the latest: it is in a namespace of its own.
            let _status = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// What was broken.
pub(super) struct Broken {
    /// What can not be read any more, and must not.
    pub(super) lost: BTreeSet<Line>,
    pub(super) what: String,
}

/// Breaks one of the files of the stores below this state directory; none where there is nothing to break.
pub(super) fn damage(state: &Path, seed: u64, damage: Damage, random: &mut Random) -> Result<Option<Broken>> {
    let ending = if damage == Damage::NoPlace { "place" } else { "entries" };
    let mut files = Vec::new();
    for sink in fs::read_dir(state.join("store")).into_iter().flatten() {
        for file in fs::read_dir(sink?.path())? {
            let path = file?.path();
            if path.to_string_lossy().ends_with(ending) && fs::metadata(&path)?.len() > HEADER as u64 || path.ends_with("place") {
                files.push(path);
            }
        }
    }
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    let Some(path) = files.get(random.index(files.len())) else { return Ok(None) };
    let bytes = fs::read(path)?;
    let at = random.index(bytes.len());
    let mut lost = BTreeSet::new();
    let file = || File::options().write(true).open(path);
    match damage {
        Damage::NoPlace => fs::remove_file(path)?,
        Damage::Append => {
            let garbage: Vec<u8> = (0..random.between(1, 600)).map(|_| random.next().to_le_bytes()[0]).collect();
            file()?.write_all_at(&garbage, bytes.len() as u64)?;
        }
        Damage::Cut => {
            file()?.set_len(at as u64)?;
            lost = behind(&bytes, at, seed);
        }
        Damage::Flip => {
            let byte = bytes.get(at).copied().unwrap_or_default() ^ (1 << random.index(8));
            file()?.write_all_at(&[byte], at as u64)?;
            lost = behind(&bytes, at, seed);
        }
    }
    let what = format!("{damage:?} at {at} of {} bytes of {}: {} lines", bytes.len(), path.display(), lost.len());
    Ok(Some(Broken { lost, what }))
}

/// What stands in the record at this place of a file, and behind it.
fn behind(bytes: &[u8], at: usize, seed: u64) -> BTreeSet<Line> {
    let mut lost = BTreeSet::new();
    let mut begin = HEADER;
    while let Some(head) = bytes.get(begin..begin + HEAD) {
        let length = head.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
        let end = begin + HEAD + usize::try_from(length).unwrap_or(usize::MAX - begin - HEAD);
        let Some(payload) = bytes.get(begin + HEAD..end) else { break };
        if end > at {
            let record: Value = serde_json::from_slice(payload).unwrap_or_default();
            let entries = record.get("entries").and_then(Value::as_array);
            let bodies = entries.into_iter().flatten().filter_map(|entry| entry.pointer("/message/body")?.as_str());
            lost.extend(bodies.filter_map(|body| parse(body, seed)));
        }
        begin = end;
    }
    lost
}
