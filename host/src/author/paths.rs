//! Which case files are meant, and what stands in them.

use std::path::{Path, PathBuf};

/// The files, in the order of their names within each folder; a folder of a module stands for its folder `cases`.
pub(super) fn cases(meant: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for path in meant {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let mut found = listed(path)?;
        if found.is_empty() && path.join("cases").is_dir() {
            found = listed(&path.join("cases"))?;
        }
        if found.is_empty() {
            return Err(format!("there are no cases in {}\nhint: a case is a file whose name ends with .json", path.display()));
        }
        all.append(&mut found);
    }
    Ok(all)
}

/// What stands in a case file. A pipe or a device has no end that one could wait for, and is not read.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let tried = |error: std::io::Error| format!("cannot list the cases in {}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(tried)? {
        paths.push(entry.map_err(tried)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.json");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read(path), Err("it is no regular file".to_owned()), "{}", path.display());
        }
        let link = folder.path().join("link.json");
        std::fs::write(folder.path().join("case.json"), "{}").unwrap();
        std::os::unix::fs::symlink("case.json", &link).unwrap();
        assert_eq!(read(&link), Ok("{}".to_owned()));
    }
}
