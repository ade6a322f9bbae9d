//! Where the state and the compiled modules are kept, when the configuration does not say so.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The state directory, for what must survive a restart: as configured, or the usual one of this user. None when nothing says where.
pub fn state(configured: Option<&Path>) -> Option<PathBuf> {
    resolve(&STATE, configured, &|name| std::env::var_os(name))
}

/// The cache directory, for compiled modules: as configured, or the usual one of this user. None when nothing says where.
pub fn cache(configured: Option<&Path>) -> Option<PathBuf> {
    resolve(&CACHE, configured, &|name| std::env::var_os(name))
}

/// The directory of all stores, below the state directory.
pub const STORES: &str = "store";

/// Where the store of a sink is, below the state directory.
pub fn store(state: &Path, sink: &str) -> PathBuf {
    state.join(STORES).join(sink)
}

/// What says where a directory is, the first that does.
struct Places {
    /// What systemd says.
    systemd: &'static str,
    /// What the desktop's conventions say.
    xdg: &'static str,
    /// Where it is in the home directory otherwise.
    home: &'static str,
}

const STATE: Places = Places { systemd: "STATE_DIRECTORY", xdg: "XDG_STATE_HOME", home: ".local/state" };
const CACHE: Places = Places { systemd: "CACHE_DIRECTORY", xdg: "XDG_CACHE_HOME", home: ".cache" };

fn resolve(places: &Places, configured: Option<&Path>, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let ours = |path: PathBuf| path.join("sluicebox");
    configured
        .map(Path::to_owned)
        .or_else(|| first_of_systemd(&environment(places.systemd)?))
        .or_else(|| variable(places.xdg).map(ours))
        .or_else(|| variable("HOME").map(|home| ours(home.join(places.home))))
}

/// systemd lists all directories of a unit, separated by colons.
fn first_of_systemd(list: &OsStr) -> Option<PathBuf> {
    let first = list.as_bytes().split(|byte| *byte == b':').next()?;
    Some(PathBuf::from(OsStr::from_bytes(first))).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(places: &Places, configured: Option<&str>, variables: &[(&str, &str)], expected: Option<&str>) {
        let environment = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        assert_eq!(resolve(places, configured.map(Path::new), &environment), expected.map(PathBuf::from));
    }

    #[test]
    fn the_configuration_comes_first_and_the_home_last() {
        let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        check(&STATE, Some("s"), &all, Some("s"));
        check(&STATE, None, &all, Some("/var/lib/a"));
        check(&STATE, None, &all[1..], Some("/x/sluicebox"));
        check(&STATE, None, &all[2..], Some("/h/.local/state/sluicebox"));
        check(&STATE, None, &[], None);
        let all = [("CACHE_DIRECTORY", "/var/cache/a:/var/cache/b"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        check(&CACHE, Some("c"), &all, Some("c"));
        check(&CACHE, None, &all, Some("/var/cache/a"));
        check(&CACHE, None, &all[1..], Some("/x/sluicebox"));
        check(&CACHE, None, &all[2..], Some("/h/.cache/sluicebox"));
        check(&CACHE, None, &[], None);
    }

    #[test]
    fn what_is_empty_or_relative_is_passed_over() {
        check(
            &STATE,
            None,
            &[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "x"), ("HOME", "/h")],
            Some("/h/.local/state/sluicebox"),
        );
        check(&CACHE, None, &[("CACHE_DIRECTORY", "a:/b"), ("HOME", "")], None);
    }
}
