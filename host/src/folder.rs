//! A directory in place of a module's file: the one component that lies in it, under whatever name.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use sluicebox_contract::text::harmless;
use sluicebox_wasm::{LoadError, Refusal};

/// Entries of a directory, at most: one with more is none that was made for a module.
pub const MOST_ENTRIES: usize = 1024;
/// So many names are told of an unexpected one.
const MOST_TOLD: usize = 5;

const COMPONENT: &[u8] = b".wasm";
const SIGNATURE: &[u8] = b".wasm.sig";

/// The file that a module's path means: the path itself, or where a directory is there, the one component in it. Blocks.
///
/// A component is a file whose name ends with `.wasm` and begins with no dot; links are followed. `module` is for the error.
pub fn file<'a>(module: &str, path: &'a Path) -> Result<Cow<'a, Path>, LoadError> {
    // What is not there, or cannot be looked at, is told by whoever reads it.
    if !path.is_dir() {
        return Ok(Cow::Borrowed(path));
    }
    let refused = |refusal| LoadError { module: module.to_owned(), refusal };
    let directory = path.display().to_string();
    let names = match names(path) {
        Ok(Some(names)) => names,
        Ok(None) => {
            let found = format!("has more than {MOST_ENTRIES} entries");
            return Err(refused(Refusal::NotSingle { directory, found }));
        }
        Err(cause) => return Err(refused(Refusal::Unreadable { path: directory, cause })),
    };
    let mut components: Vec<PathBuf> = Vec::new();
    for file in names.iter().filter(|name| is_component(name)).map(|name| path.join(name)) {
        match std::fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() => components.push(file),
            // A link may lead nowhere for a moment, while what it leads to is replaced.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(refused(Refusal::Unreadable { path: file.display().to_string(), cause })),
        }
    }
    if let [component] = components.as_mut_slice() {
        return Ok(Cow::Owned(std::mem::take(component)));
    }
    let found = found(&names, &components);
    Err(refused(Refusal::NotSingle { directory, found }))
}

/// What a directory has that is not one component.
fn found(names: &[OsString], components: &[PathBuf]) -> String {
    match (components, names) {
        ([], []) => "has no component: it is empty".to_owned(),
        ([], names) => format!("has no component, but {}", told(names.iter().map(OsString::as_os_str).collect())),
        (components, _) => {
            let names = components.iter().filter_map(|path| path.file_name()).collect();
            format!("has {} components: {}", components.len(), told(names))
        }
    }
}

fn told(names: Vec<&OsStr>) -> String {
    let more = names.len().saturating_sub(MOST_TOLD);
    let first: Vec<String> = names.into_iter().take(MOST_TOLD).map(|name| harmless(&name.to_string_lossy())).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

/// Whether a change of what has this name in a directory may be one of the component there, or of its signature.
pub fn matters(name: &OsStr) -> bool {
    is_component(name) || (is_visible(name) && name.as_encoded_bytes().ends_with(SIGNATURE))
}

fn is_component(name: &OsStr) -> bool {
    is_visible(name) && name.as_encoded_bytes().ends_with(COMPONENT)
}

/// Files that are being written, and what Kubernetes has beside the files of a volume (`..data`), begin with a dot.
fn is_visible(name: &OsStr) -> bool {
    !name.as_encoded_bytes().starts_with(b".")
}

/// What a directory holds that begins with no dot, in order; none where it holds more than [`MOST_ENTRIES`]. Blocks.
pub fn names(directory: &Path) -> io::Result<Option<Vec<OsString>>> {
    let mut names = Vec::new();
    for (number, entry) in std::fs::read_dir(directory)?.enumerate() {
        if number >= MOST_ENTRIES {
            return Ok(None);
        }
        names.push(entry?.file_name());
    }
    names.retain(|name| is_visible(name));
    names.sort();
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    #[track_caller]
    fn refused(folder: &TempDir, words: &str) {
        let error = file("m", folder.path()).unwrap_err();
        assert_eq!(error.refusal.to_string(), format!("the directory {} {words}", folder.path().display()));
        assert!(error.refusal.hint().contains("one file there whose name ends with `.wasm`"));
    }

    #[test]
    fn a_path_that_is_no_directory_means_itself() {
        let folder = folder(&["a.wasm"]);
        for name in ["a.wasm", "missing"] {
            let path = folder.path().join(name);
            assert_eq!(file("m", &path).unwrap(), path);
        }
    }

    #[test]
    fn a_directory_means_the_one_component_in_it() {
        let folder = folder(&["a-2.wasm", "a-2.wasm.sig", "README", ".b.wasm", "..c.wasm", "d.wasm.old", "e.WASM"]);
        fs::create_dir(folder.path().join("f.wasm")).unwrap();
        symlink("nothing", folder.path().join("g.wasm")).unwrap();
        assert_eq!(file("m", folder.path()).unwrap(), folder.path().join("a-2.wasm"));
    }

    #[test]
    fn a_volume_of_kubernetes_is_such_a_directory() {
        let folder = folder(&[]);
        fs::create_dir(folder.path().join("..2026_1")).unwrap();
        fs::write(folder.path().join("..2026_1/a.wasm"), "").unwrap();
        symlink("..2026_1", folder.path().join("..data")).unwrap();
        symlink("..data/a.wasm", folder.path().join("a.wasm")).unwrap();
        assert_eq!(file("m", folder.path()).unwrap(), folder.path().join("a.wasm"));
    }

    #[test]
    fn none_and_several_are_told_with_their_names() {
        refused(&folder(&[]), "has no component: it is empty");
        refused(&folder(&[".a.wasm"]), "has no component: it is empty");
        refused(&folder(&["x\n", "a.wasm.sig"]), "has no component, but a.wasm.sig, x\\n");
        refused(&folder(&["b.wasm", "a.wasm", "c"]), "has 2 components: a.wasm, b.wasm");
        let names: Vec<String> = (0..9).map(|number| format!("{number}.wasm")).collect();
        let many = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        refused(&many, "has 9 components: 0.wasm, 1.wasm, 2.wasm, 3.wasm, 4.wasm and 4 more");
    }

    #[test]
    fn a_directory_that_was_made_for_something_else_is_not_read_to_its_end() {
        let folder = folder(&["a.wasm"]);
        for number in 1..MOST_ENTRIES {
            fs::write(folder.path().join(format!("{number}")), "").unwrap();
        }
        assert_eq!(file("m", folder.path()).unwrap(), folder.path().join("a.wasm"));
        fs::write(folder.path().join("one-more"), "").unwrap();
        refused(&folder, "has more than 1024 entries");
    }
}
