//! The components that `cargo xtask languages` has made.

use std::path::{Path, PathBuf};

/// The languages, each the name of a folder in `guest-sdk/examples`. Rust is the reference.
pub(crate) const LANGUAGES: [&str; 5] = ["rust", "c", "javascript", "python", "go"];

/// The component, or why there is none.
pub(crate) fn component(language: &str) -> Result<Vec<u8>, String> {
    let folder = folder();
    let path = folder.join(format!("{language}.wasm"));
    std::fs::read(path).map_err(|_| {
        let reason = std::fs::read_to_string(folder.join(format!("{language}.unavailable")));
        reason.unwrap_or_else(|_| "`cargo xtask languages` has not been run".to_owned())
    })
}

fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    std::env::var_os("SLUICEBOX_LANGUAGES").map_or_else(|| root.join(target).join("languages"), PathBuf::from)
}
