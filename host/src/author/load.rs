//! The module that an author's command is about: a preset by its name, a component file, a directory with one, or a module in a
//! registry.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sluicebox_contract::quantity::ByteSize;
use sluicebox_registry::layout::{self, SIGNATURE};
use sluicebox_registry::{Config, NoReference, PullConfig, Pulled, Puller, Reference, Wish};
use sluicebox_wasm::{
    COMPONENT_BYTES, Cache, Engine, EngineError, Limits, LoadError, LoadOptions, Module, Refusal, read_component,
};

use super::paths;
use crate::trust::signature::Signature;
use crate::{folder, foundry, presets, say};

/// A component as it was found.
pub(super) struct Found {
    /// Its bytes.
    pub(super) component: Cow<'static, [u8]>,
    /// Which file it is, where a directory was named.
    pub(super) file: Option<PathBuf>,
    /// What lies beside it, or stands in its manifest; none for what this program carries.
    pub(super) signature: Option<Signature>,
}

/// Finds the component of this name.
pub(super) fn component(name: &str) -> Result<Found, LoadError> {
    if let Some(preset) = presets::find(name) {
        return Ok(Found { component: Cow::Borrowed(preset.component), file: None, signature: None });
    }
    if let Some(reference) = Reference::find(name) {
        return pulled(name, reference);
    }
    let path = Path::new(name);
    let file = folder::file(name, path)?;
    let component = Cow::Owned(read_component(name, &file, COMPONENT_BYTES)?);
    let signature = Some(Signature::beside(&file));
    Ok(Found { component, file: (file != path).then(|| file.into_owned()), signature })
}

/// From its registry, as whoever types this may have it. Nothing is kept.
fn pulled(name: &str, reference: Result<Reference, NoReference>) -> Result<Found, LoadError> {
    let reference = reference.map_err(|error| {
        let refusal = Refusal::NotPulled { cause: error.to_string(), cure: "write it like `oci://registry:5000/name:tag`" };
        LoadError { module: name.to_owned(), refusal }
    })?;
    let host = reference.host().to_owned();
    let registries = BTreeMap::from([(host.clone(), Config::of_person(&host, None))]);
    let puller = Puller::this_program(registries, PullConfig::default());
    let wish = Wish { reference: &reference, known: None, most_bytes: COMPONENT_BYTES, patience: Duration::MAX };
    match puller.pull(wish) {
        Ok(Pulled::Taken { component, manifest }) => {
            let signature = Some(Signature::annotated(layout::annotation(&manifest, SIGNATURE)));
            Ok(Found { component: Cow::Owned(component), file: None, signature })
        }
        // Nothing was known before.
        Ok(Pulled::Unchanged) => Ok(Found { component: Cow::Borrowed(&[]), file: None, signature: None }),
        Err(error) if error.is_away() => {
            let refusal =
                Refusal::NotPulled { cause: error.to_string(), cure: "is the registry up, and can it be reached from here?" };
            Err(LoadError { module: name.to_owned(), refusal })
        }
        // Who types this has no configuration of registries.
        Err(error) if error.keeps_secret() => {
            let cure = "have the registry name an `https` address for it, or log out there";
            Err(LoadError { module: name.to_owned(), refusal: Refusal::NotPulled { cause: error.to_string(), cure } })
        }
        Err(error) => Err(foundry::not_pulled(name, &error)),
    }
}

/// The module, compiled or taken from the cache; what is wrong was said already when there is none.
pub(super) fn module(name: &str, component: &[u8], cache: Option<&Cache>) -> Result<Module, ExitCode> {
    by(Engine::new(), name, component, cache)
}

/// The same, by an engine that says at which line of its source the module has failed.
fn traced(name: &str, component: &[u8]) -> Result<Module, ExitCode> {
    by(Engine::with_lines(), name, component, foundry::cache(None).as_ref())
}

fn by(engine: Result<Engine, EngineError>, name: &str, component: &[u8], cache: Option<&Cache>) -> Result<Module, ExitCode> {
    let engine = engine.map_err(|error| {
        say::complaint(format_args!("error: {error}"));
        ExitCode::FAILURE
    })?;
    let options = LoadOptions { cache, ..LoadOptions::default() };
    Module::load(&engine, name, component, &options).map_err(|error| refused(&error))
}

/// The module of this name, from the cache or compiled, and the case files that are meant; else what is wrong has been said.
pub(super) fn with_cases(name: &str, meant: &[PathBuf]) -> Result<(Module, Vec<PathBuf>), ExitCode> {
    let found = component(name).map_err(|error| refused(&error))?;
    let module = traced(name, &found.component)?;
    let paths = paths::cases(meant).map_err(say::wrong)?;
    Ok((module, paths))
}

/// Says why a module is refused.
pub(super) fn refused(error: &LoadError) -> ExitCode {
    let LoadError { module, refusal } = error;
    let or_preset = if presets::find(module).is_none() && !module.contains(['/', '.']) {
        "; `sluicebox modules` lists the presets"
    } else {
        ""
    };
    say::wrong(format_args!("cannot load module `{module}`: {refusal}\nhint: {}{or_preset}", refusal.hint()))
}

/// The limits of a lane that says nothing, but for time: what a command finds out is not how fast a busy machine is.
pub(super) fn limits(memory: ByteSize) -> Limits {
    let deadline = Duration::from_mins(1);
    Limits {
        memory_bytes: usize::try_from(memory.0).unwrap_or(usize::MAX),
        call_deadline: deadline,
        start_deadline: deadline,
        ..Limits::default()
    }
}
