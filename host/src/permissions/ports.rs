//! Whether a port that a plan listens on can be had. Takes it for a moment.

use std::fs::{self, Metadata};
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;

/// What is in the way of listening there, and what helps. A port that this same program has, which runs already where one looks into its
/// container, is in nobody's way.
pub(super) fn listen(address: SocketAddr) -> Result<(), (String, &'static str)> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_ours(address.port()) => Ok(()),
        Err(error) => Err((error.to_string(), cure(&error))),
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

/// Whether another process of this program listens on the port.
fn is_ours(port: u16) -> bool {
    let Ok(own) = fs::metadata("/proc/self/exe") else { return false };
    let sockets = sockets(port);
    let is_own = |other: &Metadata| (other.dev(), other.ino()) == (own.dev(), own.ino());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|process| process.path());
    let mut ours = processes.filter(|process| fs::metadata(process.join("exe")).is_ok_and(|other| is_own(&other)));
    ours.any(|process| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| sockets.iter().any(|socket| *link == **socket))
    })
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
        assert_eq!(listen(taken.local_addr().unwrap()), Ok(()));
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let (_, cure) = listen("192.0.2.1:9420".parse().unwrap()).unwrap_err();
        assert_eq!(cure, "choose an address of this machine, or 0.0.0.0 for all of them");
    }
}
