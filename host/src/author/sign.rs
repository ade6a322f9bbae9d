//! `sluicebox module keygen`, `sign` and `verify`: a key, the signature beside a component, and whether it fits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sluicebox_registry::SCHEME;
use sluicebox_wasm::{digest, has_form, read_component};

use super::arguments::{KeygenArguments, SignArguments, VerifyArguments};
use crate::plan::{NAME_HINT, is_name};
use crate::trust::keys::{KeyError, PrivateKey, PublicKey};
use crate::trust::signature::{self, Signature};
use crate::{folder, say};

/// No key is larger.
const KEY_BYTES: usize = 64 << 10;
/// More than any lane would take.
const COMPONENT_BYTES: usize = 1 << 30;

/// Makes a key: the private one in a file that nobody else can read, the public one beside it, and what the configuration needs.
pub(super) fn keygen(arguments: &KeygenArguments) -> ExitCode {
    let Some(name) = arguments.key.file_name().and_then(|name| name.to_str()) else {
        return say::wrong(format_args!("`{}` is no name of a file", arguments.key.display()));
    };
    let name = name.strip_suffix(".pem").unwrap_or(name);
    if !is_name(name) {
        return say::wrong(format_args!("`{}` is no usable name of a key\nhint: {NAME_HINT}", name.escape_debug()));
    }
    let private = arguments.key.with_file_name(format!("{name}.pem"));
    let public = arguments.key.with_file_name(format!("{name}.pub"));
    if public.exists() {
        return say::wrong(there_already(&public));
    }
    let Some((key, text)) = PrivateKey::new() else {
        say::complaint("error: the system gives no random bytes");
        return ExitCode::FAILURE;
    };
    // A private key whose public one cannot be had is of no use, and would be in the way.
    let beside = || create(&public, &key.public().pem(), 0o644).inspect_err(|_| drop(fs::remove_file(&private)));
    if let Err(error) = create(&private, &text, 0o600).and_then(|()| beside()) {
        return say::wrong(error);
    }
    let indented = key.public().pem().trim_end().replace('\n', "\n      ");
    let shown = as_yaml(name);
    say::line(format_args!(
        "# {} is the private key: it signs, and stays where that is done. {} is the public one.\n\
         # For the configuration of collectors:\n\
         trust:\n  keys:\n    {shown}: |\n      {indented}\n  signed-by: [{shown}]",
        private.display(),
        public.display(),
    ));
    ExitCode::SUCCESS
}

/// A name as YAML takes it for a text, whatever else it looks like.
fn as_yaml(name: &str) -> String {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_value = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if is_word && !is_value { name.to_owned() } else { format!("\"{name}\"") }
}

/// Signs each component: the signature stands in the file beside it.
pub(super) fn sign(arguments: &SignArguments) -> ExitCode {
    let key = match private_key(&arguments.key) {
        Ok(key) => key,
        Err(error) => return say::wrong(error),
    };
    let mut code = ExitCode::SUCCESS;
    let cure = "sign the file, then `sluicebox module push` it: the signature goes along";
    for component in &arguments.components {
        match is_file(component, cure).and_then(|()| sign_one(component, &key)) {
            Ok((path, digest)) => say::line(format_args!("{}: signed sha256:{digest}", path.display())),
            Err(error) => code = say::wrong(error),
        }
    }
    code
}

/// Gives the path of the signature, and the digest of what was signed.
fn sign_one(path: &Path, key: &PrivateKey) -> Result<(PathBuf, String), String> {
    let (file, bytes) = component(path)?;
    has_form(&bytes).map_err(|refusal| format!("{} is not signed: {refusal}\nhint: {}", file.display(), refusal.hint()))?;
    let path = signature::path(&file);
    let written = replace(&path, &format!("{}\n", signature::text(&key.sign(&bytes))));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok((path, digest(&bytes)))
}

/// Says of each component whether the signature beside it is the key's.
pub(super) fn verify(arguments: &VerifyArguments) -> ExitCode {
    let key = match public_key(&arguments.key) {
        Ok(key) => key,
        Err(error) => return say::wrong(error),
    };
    let mut code = ExitCode::SUCCESS;
    let cure = "`sluicebox module inspect` says whether it has a signature there, and a collector whose configuration has `signed-by` verifies it";
    for path in &arguments.components {
        let verified = is_file(path, cure).and_then(|()| component(path)).and_then(|(file, bytes)| {
            judge(&file, &bytes, &key).map_err(|reason| format!("{}: {reason}", file.display()))?;
            Ok((file, digest(&bytes)))
        });
        match verified {
            Ok((file, digest)) => say::line(format_args!("{}: signed by this key, sha256:{digest}", file.display())),
            Err(error) => {
                say::complaint(format_args!("error: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn judge(component: &Path, bytes: &[u8], key: &PublicKey) -> Result<(), String> {
    let Signature { place, found } = Signature::beside(component);
    match found {
        Ok(Some(found)) => match signature::bytes(&found) {
            Ok(signature) if key.verifies(bytes, &signature) => Ok(()),
            Ok(_) => Err(format!("{place} does not fit it: it was changed after it was signed, or another key has signed it")),
            Err(cause) => Err(format!("{place} is no signature: {cause}")),
        },
        Ok(None) => Err(format!("it is not signed: there is no {place}")),
        Err(cause) => Err(format!("{place} cannot be read: {cause}")),
    }
}

/// Refuses what is the name of a module in a registry.
fn is_file(path: &Path, cure: &str) -> Result<(), String> {
    let name = path.to_string_lossy();
    if name.starts_with(SCHEME) { Err(format!("{name} is in a registry, and this takes files\nhint: {cure}")) } else { Ok(()) }
}

/// The file that a path means, and its bytes.
fn component(path: &Path) -> Result<(PathBuf, Vec<u8>), String> {
    let name = path.display().to_string();
    let read = folder::file(&name, path).and_then(|file| {
        let bytes = read_component(&name, &file, COMPONENT_BYTES)?;
        Ok((file.into_owned(), bytes))
    });
    read.map_err(|error| format!("{}\nhint: {}", error.refusal, error.refusal.hint()))
}

fn private_key(path: &Path) -> Result<PrivateKey, String> {
    let text = key_text(path)?;
    if PublicKey::from_pem(&text).is_ok() {
        let private = path.with_extension("pem");
        let there = if private != path && private.is_file() {
            format!("it may be {}", private.display())
        } else {
            "`sluicebox module keygen` has put it beside it, as NAME.pem".to_owned()
        };
        return Err(format!(
            "{} is a public key, which verifies and cannot sign\nhint: give the private one; {there}",
            path.display()
        ));
    }
    let mode = fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "others may read the private key {} (its mode is {:o}): it is not used\nhint: `chmod 600 {}`; if others could have read it, make a \
             new key",
            path.display(),
            mode & 0o777,
            path.display()
        ));
    }
    PrivateKey::from_pem(&text).map_err(|error| unusable(path, &error))
}

fn public_key(path: &Path) -> Result<PublicKey, String> {
    PublicKey::from_pem(&key_text(path)?).map_err(|error| unusable(path, &error))
}

fn key_text(path: &Path) -> Result<String, String> {
    let name = path.display().to_string();
    let bytes = read_component(&name, path, KEY_BYTES).map_err(|error| error.refusal.to_string())?;
    String::from_utf8(bytes).map_err(|_| format!("{name} is no key in PEM: it is no text"))
}

fn unusable(path: &Path, error: &KeyError) -> String {
    format!("{} cannot be used as a key: {error}\nhint: {}", path.display(), error.hint())
}

/// A file that was not there before.
fn create(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|file| write(file, text).inspect_err(|_| drop(fs::remove_file(path))));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => there_already(path),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}

fn there_already(path: &Path) -> String {
    format!("{} is there already, and is not written over\nhint: take another name, or remove it", path.display())
}

/// A reader finds what was there or what comes, and never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside).and_then(|file| write(file, text));
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn write(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
