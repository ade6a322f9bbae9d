//! Which case files are meant.

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
