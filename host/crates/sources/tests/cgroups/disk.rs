//! A disk to read from and write to past the page cache: the spare one of a small machine, else a file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};
use sluicebox_testkit::machine::DISK;
use tempfile::NamedTempFile;

use super::group::Group;
use super::is_version_2;

const BYTES: usize = 8 << 20;

/// At least 8 MiB.
pub(crate) struct Disk {
    path: PathBuf,
    /// `major:minor`, as limits name it.
    device: String,
    _file: Option<NamedTempFile>,
}

impl Disk {
    pub(crate) fn open() -> Self {
        if let Some(path) = std::env::var_os(DISK).map(PathBuf::from) {
            let device = fs::metadata(&path).expect("a device").rdev();
            return Self { path, device: format!("{}:{}", major(device), minor(device)), _file: None };
        }
        // The target folder is on a disk, the folder for temporary files maybe not.
        let mut file = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
        file.write_all(&vec![1; BYTES]).and_then(|()| file.as_file().sync_all()).expect("8 MiB");
        Self { path: file.path().to_owned(), device: device_under(file.path()), _file: Some(file) }
    }

    /// A script that reads so many MiB.
    pub(crate) fn read(&self, megabytes: u32) -> String {
        format!("dd if='{}' of=/dev/null bs=1M count={megabytes} iflag=direct 2>/dev/null", self.path.display())
    }

    /// A script that writes so many MiB.
    pub(crate) fn write(&self, megabytes: u32) -> String {
        format!("dd if=/dev/zero of='{}' bs=1M count={megabytes} oflag=direct conv=notrunc 2>/dev/null", self.path.display())
    }

    /// Newer kernels count in version 1 only where there is a limit, so there is one that nobody feels.
    pub(crate) fn count(&self, group: &Group) {
        if !is_version_2() {
            self.limit(group, 1 << 40);
        }
    }

    /// Reading and writing is as slow as that.
    pub(crate) fn limit(&self, group: &Group, bytes_per_second: u64) {
        let device = &self.device;
        let limits = if is_version_2() {
            vec![(group.file("io.max", "", ""), format!("{device} rbps={bytes_per_second} wbps={bytes_per_second}"))]
        } else {
            let file = |direction| group.file("", "blkio", &format!("blkio.throttle.{direction}_bps_device"));
            ["read", "write"].map(|direction| (file(direction), format!("{device} {bytes_per_second}"))).into()
        };
        for (file, limit) in limits {
            fs::write(&file, &limit).unwrap_or_else(|error| panic!("{limit} to {}: {error}", file.display()));
        }
    }
}

/// The disk that a file is on.
fn device_under(file: &Path) -> String {
    let device = fs::metadata(file).expect("a file").dev();
    let names = PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)));
    // Of a partition, the disk is what can be limited.
    let disk = if names.join("partition").is_file() { names.join("../dev") } else { names.join("dev") };
    let disk = fs::read_to_string(&disk).unwrap_or_else(|error| panic!("{} is on no disk: {error}", file.display()));
    disk.trim().to_owned()
}
