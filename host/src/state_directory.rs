//! Where what must survive a restart is kept, when the configuration does not say so.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The state directory: as configured, or the usual one of this user. None when nothing says where.
pub fn state_directory(configured: Option<&Path>) -> Option<PathBuf> {
    resolve(configured, &|name| std::env::var_os(name))
}

fn resolve(configured: Option<&Path>, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    configured
        .map(Path::to_owned)
        .or_else(|| first_of_systemd(&environment("STATE_DIRECTORY")?))
        .or_else(|| variable("XDG_STATE_HOME").map(|path| path.join("sluicebox")))
        .or_else(|| variable("HOME").map(|path| path.join(".local/state/sluicebox")))
}

/// systemd lists all directories of a unit, separated by colons.
fn first_of_systemd(list: &OsString) -> Option<PathBuf> {
    let first = list.as_bytes().split(|byte| *byte == b':').next()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(first))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(configured: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
        let environment = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        assert_eq!(resolve(configured.map(Path::new), &environment), expected.map(PathBuf::from));
    }

    #[test]
    fn the_configuration_comes_first_and_the_home_last() {
        let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        check(Some("s"), &all, Some("s"));
        check(None, &all, Some("/var/lib/a"));
        check(None, &all[1..], Some("/x/sluicebox"));
        check(None, &all[2..], Some("/h/.local/state/sluicebox"));
        check(None, &[], None);
    }

    #[test]
    fn what_is_empty_or_relative_is_passed_over() {
        check(None, &[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "x"), ("HOME", "/h")], Some("/h/.local/state/sluicebox"));
        check(None, &[("STATE_DIRECTORY", "a:/b"), ("HOME", "")], None);
    }
}
