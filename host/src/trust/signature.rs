//! A detached signature: the 64 bytes of an ed25519 signature over a component's bytes, in base64 or as they are, in a file beside it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluicebox_registry::layout::SIGNATURE;
use sluicebox_wasm::{Refusal, read_component};

/// No signature is larger, whatever stands around it.
const MOST_BYTES: usize = 4096;

/// Where a signature is, or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file beside the component.
    File(PathBuf),
    /// In the manifest that the component was pulled with.
    Manifest,
    /// With the component, which was kept as the last good one.
    Kept,
    /// There is none for it.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Manifest => write!(formatter, "annotation `{SIGNATURE}` of its manifest"),
            Self::Kept => formatter.write_str("signature kept with it"),
            Self::Nowhere => formatter.write_str("signature"),
        }
    }
}

/// What was found where a signature should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Where that is.
    pub place: Place,
    /// What is there; none when nothing is. The error says why it cannot be read.
    pub found: Result<Option<Vec<u8>>, String>,
}

impl Signature {
    /// Reads the file beside a component. Blocks.
    pub fn beside(component: &Path) -> Self {
        let path = path(component);
        let found = match read_component(&path.display().to_string(), &path, MOST_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match error.refusal {
                Refusal::Unreadable { cause, .. } if cause.kind() == ErrorKind::NotFound => Ok(None),
                Refusal::Unreadable { cause, .. } => Err(cause.to_string()),
                Refusal::TooLarge { bytes, .. } => Err(format!("it has {bytes} bytes, a signature has 64")),
                other => Err(other.to_string()),
            },
        };
        Self { place: Place::File(path), found }
    }

    /// What the manifest of a module in a registry has beside its component.
    pub fn annotated(found: Option<String>) -> Self {
        Self { place: Place::Manifest, found: Ok(found.map(String::into_bytes)) }
    }

    /// The signature as text, where there is one.
    pub fn text(&self) -> Option<String> {
        let found = self.found.as_ref().ok()?.as_ref()?;
        bytes(found).ok().map(|bytes| text(&bytes))
    }
}

/// Where the signature of a component is: its path with `.sig` behind it.
pub fn path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// The signature that a file holds. The error says what the file is instead.
pub fn bytes(found: &[u8]) -> Result<[u8; 64], String> {
    if let Ok(raw) = found.try_into() {
        return Ok(raw);
    }
    let decoded =
        std::str::from_utf8(found).ok().and_then(|text| STANDARD.decode(text.split_whitespace().collect::<String>()).ok());
    match decoded {
        _ if found.is_empty() => Err("it is empty".to_owned()),
        Some(decoded) => {
            let length = decoded.len();
            decoded.try_into().map_err(|_| format!("it is base64 of {length} bytes, and a signature has 64"))
        }
        None => Err(format!("it has {} bytes that are no base64", found.len())),
    }
}

/// What a file holds with this signature.
pub fn text(signature: &[u8; 64]) -> String {
    STANDARD.encode(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_64_bytes_or_base64_of_them() {
        let signature: [u8; 64] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(bytes(&signature).unwrap(), signature);
        assert_eq!(bytes(text(&signature).as_bytes()).unwrap(), signature);
        // `openssl base64` breaks the line.
        let text = text(&signature);
        let (first, rest) = text.split_at(64);
        assert_eq!(bytes(format!("{first}\n{rest}\n").as_bytes()).unwrap(), signature);
    }

    #[test]
    fn what_else_stands_there_is_told() {
        assert_eq!(bytes(b"").unwrap_err(), "it is empty");
        assert_eq!(bytes(b"aGVsbG8=").unwrap_err(), "it is base64 of 5 bytes, and a signature has 64");
        assert_eq!(bytes(b"\xff\xff").unwrap_err(), "it has 2 bytes that are no base64");
    }

    #[test]
    fn a_signature_stands_beside_its_component() {
        assert_eq!(path(Path::new("/m/a.wasm")), Path::new("/m/a.wasm.sig"));
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("a.wasm");
        assert_eq!(Signature::beside(&component).found, Ok(None));
        std::fs::write(path(&component), vec![b'A'; 5000]).unwrap();
        assert_eq!(Signature::beside(&component).found, Err("it has 5000 bytes, a signature has 64".to_owned()));
        std::fs::remove_file(path(&component)).unwrap();
        std::fs::create_dir(path(&component)).unwrap();
        assert_eq!(Signature::beside(&component).found, Err("it is no regular file".to_owned()));
    }
}
