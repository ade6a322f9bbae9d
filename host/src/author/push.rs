//! `sluicebox module push`: a component becomes a module in a registry.

use std::collections::BTreeMap;
use std::process::ExitCode;

use sluicebox_registry::layout::SIGNATURE;
use sluicebox_registry::{Config, Kind, PullError, Reference};
use sluicebox_wasm::{COMPONENT_BYTES, read_component};
use tokio::time::timeout;

use super::arguments::PushArguments;
use super::load;
use crate::trust::signature::Signature;
use crate::{folder, foundry, say};

const AWAY: &str = "is the registry up, and can it be reached from here? try again when it is, or with a longer `--deadline`";

/// Pushes what would be accepted, and says by which name nothing else can be pulled.
pub(super) fn push(arguments: &PushArguments) -> ExitCode {
    let name = arguments.component.display().to_string();
    let reference = match Reference::find(&arguments.reference) {
        Some(Ok(reference)) => reference,
        Some(Err(error)) => return say::wrong(error),
        None => return say::wrong(format_args!("`{}` does not begin with `oci://`", arguments.reference)),
    };
    if reference.digest().is_some() {
        return say::wrong(format_args!(
            "`{reference}` names a digest, which comes of what is pushed\nhint: name a tag, such as `oci://registry:5000/name:1.0.0`"
        ));
    }
    let config = Config {
        secrets_in_clear_text: arguments.secrets_in_clear_text,
        ..Config::of_person(reference.host(), arguments.plain_http.then_some(true))
    };
    if config.shows_secret(reference.host()) {
        return say::wrong(format_args!(
            "you are logged in to {}, and without TLS anybody between here and there could read the password\n\
             hint: leave out `--plain-http`, log out, or add `--secrets-in-clear-text` where the network encrypts",
            reference.host()
        ));
    }
    let read = folder::file(&name, &arguments.component)
        .and_then(|file| Ok((read_component(&name, &file, COMPONENT_BYTES)?, Signature::beside(&file))));
    let (component, signature) = match read {
        Ok(read) => read,
        Err(error) => return load::refused(&error),
    };
    let mut annotations = BTreeMap::new();
    match (signature.text(), &signature.found) {
        (Some(text), _) => drop(annotations.insert(SIGNATURE.to_owned(), text)),
        (None, Ok(None)) => {}
        (None, _) => return say::wrong(format_args!("{} is no signature, or cannot be read", signature.place)),
    }
    let cache = foundry::cache(None);
    let described = match load::module(&name, &component, cache.as_ref()) {
        Ok(module) => module.describe().clone(),
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::complaint(format_args!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let pushing = sluicebox_registry::push(&reference, component, &described.exports, &described.imports, annotations, &config);
    let deadline = arguments.deadline.0;
    let Ok(pushed) = runtime.block_on(async { timeout(deadline, pushing).await }) else {
        say::complaint(format_args!(
            "error: `{reference}` was not pushed: it was not done within {}\nhint: {AWAY}",
            arguments.deadline
        ));
        return ExitCode::FAILURE;
    };
    match pushed {
        Ok(pushed) => {
            say::line(reference.with_digest(&pushed.digest));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::complaint(format_args!("error: `{reference}` was not pushed: {error}\nhint: {}", hint(&error)));
            ExitCode::FAILURE
        }
    }
}

/// What would cure it, for whoever pushes.
fn hint(error: &PullError) -> &'static str {
    match error.kind {
        Kind::Denied if error.keeps_secret() => {
            "have the registry name an `https` address for it, or add `--secrets-in-clear-text` where the network encrypts"
        }
        Kind::Away => AWAY,
        Kind::Denied => {
            "log in (`docker login`, `oras login` or `podman login`) as somebody who may push there; a password is told in clear text only with \
             `--secrets-in-clear-text`"
        }
        Kind::Absent => "may anybody push there under this name?",
        Kind::Mismatch => "do not trust that registry, nor who is between: it does not have what was sent",
        Kind::Layout | Kind::TooMuch => "is it a registry for OCI artifacts?",
    }
}
