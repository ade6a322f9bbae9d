//! Where a module is: a registry, a name in it, and a tag or a digest.

use std::cmp::Ordering;
use std::fmt;

use oci_client::Reference as Parsed;

/// How a reference begins.
pub const SCHEME: &str = "oci://";

/// A module in a registry, such as `oci://registry:5000/shop/lines:v1` or `oci://ghcr.io/shop/lines@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    text: String,
    parsed: Parsed,
}

/// Why a text names no module in a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoReference(String);

impl Reference {
    /// Reads a reference; `None` when the text is something else: it does not begin with `oci://`.
    pub fn find(text: &str) -> Option<Result<Self, NoReference>> {
        text.strip_prefix(SCHEME).map(|rest| Self::parse(text, rest))
    }

    fn parse(text: &str, rest: &str) -> Result<Self, NoReference> {
        let no = |why: &str| NoReference(format!("`{text}` names no module in a registry: {why}"));
        let Some((host, name)) = rest.split_once('/') else {
            return Err(no("behind the registry stands no name"));
        };
        // Without this, whatever has no dot would be looked for at Docker Hub.
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(no("its first part is no host: it has neither a dot nor a port"));
        }
        if host.contains('@') {
            return Err(no("a user does not stand in an address: logs would show it"));
        }
        let parsed: Parsed = rest.parse().map_err(|error| no(&format!("{error}")))?;
        if parsed.digest().is_some_and(|digest| !digest.starts_with("sha256:")) {
            return Err(no("its digest is none of sha256"));
        }
        if name.is_empty() {
            return Err(no("behind the registry stands no name"));
        }
        Ok(Self { text: text.to_owned(), parsed })
    }

    /// The registry: host and port, as in the reference.
    pub fn host(&self) -> &str {
        self.parsed.registry()
    }

    /// The digest of the manifest that is meant, where it is said: `sha256:` and 64 hexadecimal digits. Whatever has another is another module.
    pub fn digest(&self) -> Option<&str> {
        self.parsed.digest()
    }

    /// The tag, which may name another module at another time: none where a digest says which one is meant.
    pub fn tag(&self) -> Option<&str> {
        if self.parsed.digest().is_some() { None } else { self.parsed.tag() }
    }

    /// The same module, whatever becomes of the tag.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{SCHEME}{}/{}@{digest}", self.parsed.registry(), self.parsed.repository())
    }

    pub(crate) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Without the scheme, as the library reads it.
    pub(crate) fn bare(&self) -> &str {
        self.text.strip_prefix(SCHEME).unwrap_or(&self.text)
    }
}

impl Ord for Reference {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for Reference {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<String>, Option<String>) {
        let reference = Reference::find(text).unwrap().unwrap();
        (reference.host().to_owned(), reference.tag().map(str::to_owned), reference.digest().map(str::to_owned))
    }

    #[track_caller]
    fn refused(text: &str, word: &str) {
        let error = Reference::find(text).unwrap().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn a_tag_or_a_digest_says_which_module() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parts("oci://127.0.0.1:5000/shop/lines:v1"), ("127.0.0.1:5000".into(), Some("v1".into()), None));
        assert_eq!(parts("oci://ghcr.io/shop/lines"), ("ghcr.io".into(), Some("latest".into()), None));
        assert_eq!(parts(&format!("oci://localhost/lines@{digest}")), ("localhost".into(), None, Some(digest.clone())));
        assert_eq!(parts(&format!("oci://localhost/lines:v1@{digest}")), ("localhost".into(), None, Some(digest)));
    }

    #[test]
    fn what_does_not_begin_so_is_something_else() {
        assert!(Reference::find("./lines.wasm").is_none());
        assert!(Reference::find("ghcr.io/shop/lines:v1").is_none());
    }

    #[test]
    fn what_names_nothing_says_why() {
        refused("oci://", "no name");
        refused("oci://ghcr.io/", "names no module");
        refused("oci://lines:v1", "no name");
        refused("oci://shop/lines:v1", "no host");
        refused("oci://user:word@ghcr.io/lines", "user");
        refused("oci://ghcr.io/Lines:v1", "names no module");
        refused("oci://ghcr.io/lines@sha256:abc", "names no module");
        refused(&format!("oci://ghcr.io/lines@sha512:{}", "a".repeat(128)), "sha256");
    }
}
