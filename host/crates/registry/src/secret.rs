//! Who a registry is told that we are: read from files, at each pull.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sluicebox_contract::ByteSize;
use sluicebox_credentials::file;

use crate::Config;

const LARGEST: ByteSize = ByteSize(256 << 10);

/// A user with his password, or nobody.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Secret(pub(crate) Option<(String, String)>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_some() { "Secret(somebody)" } else { "Secret(nobody)" })
    }
}

/// As `docker login` writes it.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// Who is told to the registry of this host. Blocks. The error says what cannot be read.
pub(crate) fn read(config: &Config, host: &str) -> Result<Secret, String> {
    if let (Some(username), Some(path)) = (&config.username, &config.password_file) {
        let password = text("password-file", path)?;
        let password = password.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(unusable("password-file", path, "it is empty"));
        }
        return Ok(Secret(Some((username.clone(), password.to_owned()))));
    }
    let Some(path) = &config.credentials_file else {
        return Ok(Secret::default());
    };
    let text = text("credentials-file", path)?;
    let secret = login(&text, host).map_err(|cause| unusable("credentials-file", path, &cause))?;
    Ok(Secret(Some(secret)))
}

fn login(text: &str, host: &str) -> Result<(String, String), String> {
    // What stands in it is no part of a message.
    let config: DockerConfig =
        serde_json::from_str(text).map_err(|error| format!("line {} is not as `docker login` writes it", error.line()))?;
    let is_it = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        let named = key.split('/').next().unwrap_or(key);
        named == host || (host == "docker.io" && matches!(named, "index.docker.io" | "registry-1.docker.io"))
    };
    let (_, found) = config.auths.into_iter().find(|(key, _)| is_it(key)).ok_or_else(|| format!("it says nothing of {host}"))?;
    if let (Some(username), Some(password)) = (found.username, found.password) {
        return Ok((username, password));
    }
    let decoded =
        found.auth.and_then(|auth| BASE64_STANDARD.decode(auth.trim()).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let both = decoded.as_deref().and_then(|both| both.split_once(':'));
    let (username, password) = both.ok_or_else(|| format!("what it says of {host} is no user with a password"))?;
    Ok((username.to_owned(), password.to_owned()))
}

fn text(what: &str, path: &Path) -> Result<String, String> {
    let bytes = file::read(path, LARGEST).map_err(|error| unusable(what, path, &error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| unusable(what, path, "it is no text"))
}

fn unusable(what: &str, path: &Path, cause: &str) -> String {
    format!("cannot use `{what}` {}: {cause}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"auths": {
        "https://ghcr.io/v1/": {"auth": "bWU6d29yZDptb3Jl"}, "registry:5000": {"username": "you", "password": "w"}, "index.docker.io": {"auth": "YTpi"},
        "bad": {"auth": "!"}
    }, "credsStore": "desktop"}"#;

    fn of(host: &str) -> Result<(String, String), String> {
        login(FILE, host)
    }

    #[test]
    fn a_file_of_docker_login_is_read() {
        let pair = |user: &str, word: &str| Ok((user.to_owned(), word.to_owned()));
        assert_eq!(of("ghcr.io"), pair("me", "word:more"));
        assert_eq!(of("registry:5000"), pair("you", "w"));
        assert_eq!(of("docker.io"), pair("a", "b"));
    }

    #[test]
    fn what_it_does_not_say_is_told_without_a_secret() {
        assert_eq!(of("quay.io"), Err("it says nothing of quay.io".to_owned()));
        assert!(of("bad").unwrap_err().contains("no user with a password"));
        let error = login(r#"{"auths": "hidden"}"#, "x").unwrap_err();
        assert!(!error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_password_is_what_stands_in_its_file_without_the_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "word \n").unwrap();
        let config = Config { username: Some("me".into()), password_file: Some(path.clone()), ..Config::default() };
        let secret = read(&config, "x").unwrap();
        assert_eq!(secret.0, Some(("me".to_owned(), "word ".to_owned())));
        assert_eq!(format!("{secret:?}"), "Secret(somebody)");
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&config, "x").unwrap_err().contains("it is empty"));
    }
}
