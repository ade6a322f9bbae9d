//! The machine's root: a folder with busybox, the program, their shared libraries, and a script that is the machine's first process.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers;

/// Whom this machine trusts: programs that may use TLS do not start without.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What differs between the kinds of machines.
pub(super) struct Terms<'a> {
    /// As `VARIABLE` says it.
    pub(super) kernel: &'a str,
    /// Lines of the script that make the disk.
    pub(super) disk: &'a str,
    /// What the program prints goes to this file of the machine.
    pub(super) text: &'a str,
    /// And its exit code to this one.
    pub(super) code: &'a str,
}

/// Fills an empty folder.
pub(super) fn make(folder: &Path, program: &Path, arguments: &[&str], terms: &Terms<'_>) -> Result<()> {
    for name in ["bin", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(folder.join(name)).with_context(|| format!("cannot make {}", folder.join(name).display()))?;
    }
    let busybox = servers::busybox()?;
    take(&busybox, Path::new("/bin/busybox"), folder)?;
    symlink("busybox", folder.join("bin/sh"))?;
    take(program, Path::new("/program"), folder)?;
    if Path::new(AUTHORITIES).is_file() {
        take(Path::new(AUTHORITIES), Path::new(AUTHORITIES), folder)?;
    }
    for library in libraries(program)?.into_iter().chain(libraries(&busybox)?) {
        take(&library, &library, folder)?;
    }
    let init = folder.join("init");
    fs::write(&init, script(arguments, terms)).with_context(|| format!("cannot write {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The first process never ends by itself: the kernel would panic, or end before its last words are read.
fn script(arguments: &[&str], terms: &Terms<'_>) -> String {
    let Terms { kernel, disk, text, code } = terms;
    let mut words = String::new();
    for argument in arguments {
        let _ = write!(words, " {}", quoted(argument));
    }
    format!(
        "#!/bin/busybox sh\n\
         export PATH=/bin HOME=/tmp CI=true SLUICEBOX_MACHINE={kernel}\n\
         /bin/busybox --install -s /bin\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev\n\
         mount -t tmpfs tmpfs /tmp\n\
         mount -t cgroup2 cgroup2 /sys/fs/cgroup\n\
         for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do\n\
         echo +$controller > /sys/fs/cgroup/cgroup.subtree_control\n\
         done\n\
         ifconfig lo 127.0.0.1 up\n\
         {disk}\n\
         /program{words} < /dev/null > {text} 2>&1\n\
         echo $? > {code}\n\
         while :; do sleep 1000; done\n"
    )
}

fn quoted(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Copies a file of this machine to a path inside.
fn take(file: &Path, inside: &Path, folder: &Path) -> Result<()> {
    let target = folder.join(inside.strip_prefix("/").unwrap_or(inside));
    if target.exists() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::copy(file, &target).with_context(|| format!("cannot copy {} into the machine", file.display()))?;
    Ok(())
}

/// The shared libraries that a program needs, the loader among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let told = Command::new("ldd").arg(program).env("LC_ALL", "C").output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&told.stdout);
    if !told.status.success() {
        let complaint = String::from_utf8_lossy(&told.stderr);
        if complaint.contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("ldd cannot tell what {} needs: {}", program.display(), complaint.trim());
    }
    Ok(paths(&text))
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)`, `/lib64/ld-linux-x86-64.so.2 (0x00007f...)`, `linux-vdso.so.1 (0x...)`
fn paths(told: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let place = line.split_once("=>").map_or(line, |(_, place)| place).trim();
        let (path, _) = place.split_once(" (")?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    told.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_the_loader_tells() {
        let told = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f22)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f23)\n";
        assert_eq!(paths(told), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from));
        assert_eq!(paths("\tstatically linked\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn arguments_reach_the_program_as_they_are() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
