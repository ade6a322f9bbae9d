//! The C libraries that crates bring as sources and link: cargo knows nothing of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::text;

/// A library that is part of a crate.
pub(super) struct Carried {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) licence: &'static str,
    pub(super) purl: String,
}

/// Where a crate says which version it brings.
enum Version {
    /// Behind the `+` of its own, and behind these letters.
    Own(&'static str),
    /// Of a crate that it uses while it is compiled only, behind the `+`.
    Of(&'static str),
    /// In a line of a file: `#define ZLIB_VERSION "1.3.2"`.
    Defined { file: &'static str, name: &'static str },
}

/// The crate, the library, its licence, and how package URLs name it.
const CARRIED: [(&str, &str, &str, &str, Version); 4] = [
    ("rdkafka-sys", "librdkafka", "BSD-2-Clause", "pkg:github/confluentinc/librdkafka@v", Version::Own("")),
    ("openssl-sys", "openssl", "Apache-2.0", "pkg:generic/openssl@", Version::Of("openssl-src")),
    ("libz-sys", "zlib", "Zlib", "pkg:generic/zlib@", Version::Defined { file: "src/zlib/zlib.h", name: "ZLIB_VERSION" }),
    ("zstd-sys", "zstd", "BSD-3-Clause", "pkg:github/facebook/zstd@v", Version::Own("zstd.")),
];

/// The crates that link something (`links` in their manifest) and bring no library of somebody else for it: they are for the name alone,
/// or what they link is their own.
const NOTHING_CARRIED: [&str; 3] = ["k8s-openapi", "prettyplease", "ring"];

/// What a crate brings. `versions` are those of all packages of a name.
pub(super) fn by(package: &Value, versions: impl Fn(&str) -> Option<String>) -> Result<Option<Carried>> {
    let crate_name = text(package, "name");
    let Some((_, name, licence, purl, version)) = CARRIED.into_iter().find(|(carrier, ..)| *carrier == crate_name) else {
        let links = text(package, "links");
        if !links.is_empty() && !text(package, "source").is_empty() && !NOTHING_CARRIED.contains(&crate_name) {
            bail!("{crate_name} links `{links}`: write down in xtask's sbom/carried.rs what it brings");
        }
        return Ok(None);
    };
    let behind_plus = |version: &str, letters: &str| {
        let (_, version) = version.split_once('+')?;
        Some(version.strip_prefix(letters)?.to_owned())
    };
    let version = match version {
        Version::Own(letters) => behind_plus(text(package, "version"), letters),
        Version::Of(other) => versions(other).and_then(|version| behind_plus(&version, "")),
        Version::Defined { file, name } => defined(&Path::new(text(package, "manifest_path")).with_file_name(file), name)?,
    };
    let version = version.with_context(|| format!("{crate_name} does not say which version of {name} it brings"))?;
    let purl = format!("{purl}{version}");
    Ok(Some(Carried { name, version, licence, purl }))
}

fn defined(file: &Path, name: &str) -> Result<Option<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let define = format!("#define {name} \"");
    Ok(text.lines().find_map(|line| Some(line.strip_prefix(&define)?.strip_suffix('"')?.to_owned())))
}
