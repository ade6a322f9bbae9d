//! Linux in an emulated computer (QEMU without the host's help): its root is an archive in memory, its serial lines are files of ours.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::root::{self, Terms};
use super::{DISK_BYTES, Kernel, MEMORY_MEGABYTES, Prepared};
use crate::servers;

pub(super) fn prepare(folder: &Path, program: &Path, arguments: &[&str]) -> Result<Prepared> {
    let root = folder.join("root");
    fs::create_dir(&root).context("cannot make the machine's root")?;
    let kernel = servers::linux()?;
    let module = kernel.with_file_name("brd.ko");
    fs::copy(&module, root.join("brd.ko")).with_context(|| format!("cannot copy {}", module.display()))?;
    // A terminal would make two bytes of a line feed.
    let disk = format!(
        "stty -F /dev/ttyS1 raw; stty -F /dev/ttyS2 raw\n\
         insmod /brd.ko rd_nr=1 rd_size={}; export SLUICEBOX_DISK=/dev/ram0",
        DISK_BYTES / 1024
    );
    let terms = Terms { kernel: Kernel::Emulated.name(), disk: &disk, text: "/dev/ttyS1", code: "/dev/ttyS2" };
    root::make(&root, program, arguments, &terms)?;
    let archive = folder.join("archive");
    pack(&root, &archive)?;
    // It is all in the archive.
    fs::remove_dir_all(&root).context("cannot remove what was packed")?;

    let (text, code) = (folder.join("text"), folder.join("code"));
    let mut command = Command::new(servers::emulator()?);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg", "-cpu", "max"])
        .args(["-m", &MEMORY_MEGABYTES.to_string()])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1 psi=1 mitigations=off rdinit=/init"])
        .args(["-serial", "stdio"])
        .args(["-serial", &format!("file:{}", text.display())])
        .args(["-serial", &format!("file:{}", code.display())])
        .current_dir(folder);
    Ok(Prepared { name: "qemu", command, text, code })
}

/// Packs the folder as kernels unpack it.
fn pack(root: &Path, archive: &Path) -> Result<()> {
    let output = File::create(archive).with_context(|| format!("cannot write {}", archive.display()))?;
    let names = names(root)?;
    let list = root.with_file_name("names");
    fs::write(&list, names).with_context(|| format!("cannot write {}", list.display()))?;
    let packed = Command::new(servers::busybox()?)
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(File::open(&list)?)
        .stdout(output)
        .stderr(Stdio::piped())
        .output()
        .context("cannot run busybox")?;
    if !packed.status.success() {
        bail!("cannot pack the machine's root: {}", String::from_utf8_lossy(&packed.stderr).trim());
    }
    Ok(())
}

/// The paths of everything in a folder, parents first.
fn names(root: &Path) -> Result<String> {
    let mut names = String::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(root)?.to_str().context("a name that is no UTF-8")?;
            names.push_str(name);
            names.push('\n');
            if entry.file_type()?.is_dir() {
                folders.push(path.clone());
            }
        }
    }
    Ok(names)
}
