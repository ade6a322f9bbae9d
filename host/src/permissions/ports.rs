//! Whether a port that a plan listens on can be had. Takes it for a moment.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is in the way of listening there, and what helps. A port that this same collector has, which runs already where one looks into its
/// container, is in nobody's way: it is known by its state directory.
pub(super) fn listen(address: SocketAddr, state: Option<&Path>) -> Result<(), (String, &'static str)> {
    let Err(error) = TcpListener::bind(address) else { return Ok(()) };
    let other = if error.kind() == ErrorKind::AddrInUse { ours(address.port()) } else { None };
    match other {
        Some(process) if state.is_none_or(|state| has_open(&process, state)) => Ok(()),
        Some(process) => {
            let number = process.file_name().unwrap_or_default().display();
            Err((
                format!("{error}: by another sluicebox, process {number}, with another state directory"),
                "stop that one, or choose another port",
            ))
        }
        None => Err((error.to_string(), cure(&error))),
    }
}

fn cure(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "another program has it: choose another port",
        ErrorKind::PermissionDenied => "choose a port above 1023, which needs no right",
        ErrorKind::AddrNotAvailable => "choose an address of this machine, or 0.0.0.0 for all of them",
        _ => "choose another address",
    }
}

/// The process of this program that listens on the port.
fn ours(port: u16) -> Option<PathBuf> {
    let own = fs::metadata("/proc/self/exe").ok()?;
    let sockets = sockets(port);
    let is_own = |other: &Metadata| (other.dev(), other.ino()) == (own.dev(), own.ino());
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter(|process| is_number(&process.file_name()));
    let mut ours = processes
        .map(|process| process.path())
        .filter(|process| fs::metadata(process.join("exe")).is_ok_and(|other| is_own(&other)));
    ours.find(|process| open_files(process).any(|link| sockets.iter().any(|socket| *link == **socket)))
}

/// What a process has open.
fn open_files(process: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok())
}

/// Whether a process works on this state directory. One that is above that of another collector is not the same.
fn has_open(process: &Path, state: &Path) -> bool {
    const KEPT: [&str; 3] = ["announced", "dead-letters", "last-good"];
    let Ok(state) = fs::canonicalize(state) else { return false };
    open_files(process).any(|file| KEPT.iter().any(|kept| file.starts_with(state.join(kept))))
}

/// The sockets that listen on a port, as links of open files name them.
fn sockets(port: u16) -> Vec<String> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| socket(line, port)).collect()
}

/// A row of the kernel's table: number, local address, remote address, state, and as the tenth field the inode.
fn socket(row: &str, port: u16) -> Option<String> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = row.split_whitespace().collect();
    let has = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == LISTENS;
    has.then(|| fields.get(9)).flatten().map(|inode| format!("socket:[{inode}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_kernel_s_table_names_the_socket() {
        let row = "   0: 0100007F:24CC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(socket(row, 9420).as_deref(), Some("socket:[4711]"));
        assert_eq!(socket(row, 9421), None);
        assert_eq!(socket(&row.replace(" 0A ", " 01 "), 9420), None);
        assert_eq!(socket("  sl  local_address rem_address   st", 9420), None);
    }

    #[test]
    fn a_port_that_this_program_has_already_is_in_nobody_s_way() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        // Here it is this process itself that has it.
        let (address, state) = (taken.local_addr().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(listen(address, None), Ok(()));
        let kept = state.path().join("dead-letters");
        fs::create_dir(&kept).unwrap();
        let open = fs::File::open(&kept).unwrap();
        assert_eq!(listen(address, Some(state.path())), Ok(()));
        drop(open);
        let (cause, cure) = listen(address, Some(state.path())).unwrap_err();
        let own = std::process::id();
        assert!(cause.ends_with(&format!("by another sluicebox, process {own}, with another state directory")), "{cause}");
        assert_eq!(cure, "stop that one, or choose another port");
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let (_, cure) = listen("192.0.2.1:9420".parse().unwrap(), None).unwrap_err();
        assert_eq!(cure, "choose an address of this machine, or 0.0.0.0 for all of them");
    }
}
