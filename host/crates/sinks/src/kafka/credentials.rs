//! What the sink shows to the brokers and expects of them, as the files have it now.

use std::fmt;
use std::path::Path;

use sluicebox_contract::{ByteSize, Fault};
use sluicebox_credentials::file;
use tokio::task::spawn_blocking;

use super::config::Config;

/// All authorities that systems know have a third of this.
const LARGEST: ByteSize = ByteSize(1 << 20);

/// The largest password.
const PASSWORD: ByteSize = ByteSize(64 << 10);

/// Certificates as PEM, and the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) authorities: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) password: Option<String>,
}

/// Shows none of them.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files beside the executor.
    pub(super) async fn read(config: &Config) -> Result<Self, Fault> {
        let config = config.clone();
        spawn_blocking(move || Self::read_now(&config))
            .await
            .unwrap_or_else(|_| Err(Fault::retry("cannot read the credentials for kafka", "the program is ending")))
    }

    fn read_now(config: &Config) -> Result<Self, Fault> {
        let pem = |field: &str, path: &Option<std::path::PathBuf>| path.as_deref().map(|path| pem(field, path)).transpose();
        Ok(Self {
            authorities: pem("ca-file", &config.ca_file)?,
            certificate: pem("client-certificate-file", &config.client_certificate_file)?,
            key: pem("client-key-file", &config.client_key_file)?,
            password: match &config.password_file {
                Some(path) => Some(password(path)?),
                None => config.password.clone(),
            },
        })
    }
}

fn pem(field: &str, path: &Path) -> Result<String, Fault> {
    let unusable = |cause: &dyn fmt::Display| {
        Fault::retry(format!("cannot use {field} `{}`", path.display()), cause)
            .hint("it must be a PEM file that sluicebox may read; it is read again at the next try")
    };
    let bytes = file::read(path, LARGEST).map_err(|error| unusable(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| unusable(&"it is no text"))?;
    if text.contains('\0') || !text.contains("-----BEGIN ") {
        return Err(unusable(&"there is no certificate or key in it"));
    }
    Ok(text)
}

fn password(path: &Path) -> Result<String, Fault> {
    let unreadable = |cause: &dyn fmt::Display| {
        Fault::retry(format!("cannot read the password from `{}`", path.display()), cause)
            .hint("the file must hold the password in one line; it is read again at the next try")
    };
    let bytes = file::read(path, PASSWORD).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(&"it is no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(unreadable(&"it is empty"));
    }
    if text.contains('\0') {
        return Err(unreadable(&"it is no text"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(field: impl Fn(&mut Config, std::path::PathBuf), bytes: &[u8]) -> Result<Credentials, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("a file");
        let mut config = Config::new(["k:1"]);
        field(&mut config, path);
        Credentials::read_now(&config).map_err(|fault| fault.cause)
    }

    #[test]
    fn a_password_is_one_line() {
        let read = |bytes: &[u8]| with(|config, path| config.password_file = Some(path), bytes).map(|read| read.password);
        assert_eq!(read(b"secret\r\n"), Ok(Some("secret".to_owned())));
        assert_eq!(read(b""), Err("it is empty".to_owned()));
        assert_eq!(read(b"a\0b"), Err("it is no text".to_owned()));
        assert_eq!(read(&[0xff]), Err("it is no text".to_owned()));
        assert_eq!(read(&vec![b'x'; 65_537]), Err("it is larger than 64KiB".to_owned()));
    }

    #[test]
    fn a_certificate_is_pem() {
        let read = |bytes: &[u8]| with(|config, path| config.ca_file = Some(path), bytes).map(drop);
        assert_eq!(read(b"-----BEGIN CERTIFICATE-----"), Ok(()));
        for bytes in [&b"\0-----BEGIN "[..], b"", b"hello"] {
            assert_eq!(read(bytes), Err("there is no certificate or key in it".to_owned()));
        }
        assert_eq!(read(&vec![b'x'; (1 << 20) + 1]), Err("it is larger than 1MiB".to_owned()));
    }
}
