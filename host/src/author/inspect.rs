//! `sluicebox module inspect`: what a component is made of, what it asks for and what it would get, whether it is accepted or not.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use sluicebox_contract::quantity::ByteSize;
use sluicebox_wasm::{Anatomy, Asked, digest};

use super::arguments::InspectArguments;
use super::load::{self, Found};
use crate::trust::signature::{self, Place, Signature};
use crate::{config, foundry, modules, say};

/// Says what there is to say about each component, and why it is refused where it is.
pub(super) fn inspect(arguments: &InspectArguments) -> ExitCode {
    let cache = foundry::cache(None);
    let mut code = ExitCode::SUCCESS;
    for name in &arguments.modules {
        let Found { component, file, signature } = match load::component(name) {
            Ok(found) => found,
            Err(error) => {
                code = load::refused(&error);
                continue;
            }
        };
        let anatomy = Anatomy::of(&component);
        let module = load::module(name, &component, cache.as_ref());
        let mut page = match (&module, &anatomy) {
            (Ok(module), _) => modules::page(module.describe()),
            (Err(_), Ok(anatomy)) => stranger(name, &component, anatomy),
            (Err(refused), Err(_)) => {
                code = *refused;
                continue;
            }
        };
        page.push_str(&origin(file.as_deref(), signature.as_ref()));
        if let Ok(anatomy) = &anatomy {
            page.push_str(&grants(anatomy));
            page.push_str(&parts(anatomy));
        }
        match module {
            Ok(_) => page.push_str(&limits(&config::Limits::default())),
            Err(refused) => {
                page.push_str("  accepted  no: see the error\n");
                code = refused;
            }
        }
        say::line(page.trim_end());
    }
    code
}

/// The page of a component that is refused.
fn stranger(name: &str, component: &[u8], anatomy: &Anatomy) -> String {
    format!(
        "{name}\n  digest    sha256:{}\n  weighs    {} bytes\n  exports   {}\n  imports   {}\n",
        digest(component),
        component.len(),
        modules::list(&modules::sorted(&anatomy.exports)),
        modules::list(&anatomy.imports),
    )
}

/// Which file it is, and whether there is a signature.
fn origin(file: Option<&Path>, signature: Option<&Signature>) -> String {
    let file = file.map(|file| format!("  file      {}\n", file.display()));
    let signature = signature.map(|signature| format!("  signature {}\n", signed(signature)));
    file.unwrap_or_default() + &signature.unwrap_or_default()
}

/// Whether there is a signature, and who looks at whose it is.
fn signed(signature: &Signature) -> String {
    let Signature { place, found } = signature;
    match found {
        Ok(None) => format!("none: there is no {place}"),
        Ok(Some(found)) => match (signature::bytes(found), place) {
            (Err(cause), _) => format!("none: {place} is no signature: {cause}"),
            (Ok(_), Place::File(_)) => format!("{place}; `sluicebox module verify` says whether it is a key's"),
            (Ok(_), _) => format!("{place}; a collector whose configuration has `signed-by` looks whose it is"),
        },
        Err(cause) => format!("unknown: {place} cannot be read: {cause}"),
    }
}

/// What of its imports needs a grant, and whether it has it.
fn grants(anatomy: &Anatomy) -> String {
    let standing = |import: &String| match Asked::by(import) {
        Asked::Types => None,
        Asked::Call(name) => Some(format!("{import}: granted, unless `imports` of its lane leaves out `{name}`")),
        Asked::Wasi => Some(format!("{import}: cannot be granted, as no module is given WASI")),
        Asked::Unknown => Some(format!("{import}: this program has no such interface")),
        Asked::OtherVersion => Some(format!("{import}: this program does not take this version")),
        Asked::Foreign => Some(format!("{import}: cannot be granted")),
    };
    let lines: Vec<String> = anatomy.imports.iter().filter_map(standing).collect();
    format!("  grants    {}\n", if lines.is_empty() { "none is needed".to_owned() } else { modules::list(&lines) })
}

fn parts(anatomy: &Anatomy) -> String {
    let made = |field: &str| {
        let producers = anatomy.producers.iter().filter(|producer| producer.field == field);
        let names = producers.map(|producer| format!("{} {}", producer.name, producer.version).trim_end().to_owned());
        let names: Vec<String> = names.collect();
        if names.is_empty() { "it does not say".to_owned() } else { names.join(", ") }
    };
    let Anatomy { code_bytes, data_bytes, name_bytes, is_named, debug_bytes, .. } = anatomy;
    let backtraces = match (is_named, debug_bytes) {
        (false, _) => "numbers of functions: it was stripped",
        (_, 0) => "names of functions",
        _ => "names of functions; it carries debug information, too",
    };
    format!(
        "  language  {}\n  made by   {}\n  holds     {code_bytes} bytes of code, {data_bytes} of data, {name_bytes} of names, {debug_bytes} of debug \
         information\n  backtrace {backtraces}\n",
        made("language"),
        made("processed-by"),
    )
}

/// What a lane gives a module when its configuration says nothing.
fn limits(limits: &config::Limits) -> String {
    let config::Limits { memory, deadline, start_deadline, entries, output, log_lines_per_second, cpu, .. } = limits;
    let mut text = String::new();
    let ByteSize(recycled) = limits.recycle_above_memory.unwrap_or(ByteSize(memory.0 / 4 * 3));
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "  limits    unless `limits` of its lane say otherwise:\n            \
         memory {memory} (a fresh instance above {}), deadline {deadline}, start-deadline {start_deadline},\n            \
         entries {entries} and output {output} for each call, log-lines-per-second {log_lines_per_second}, cpu {cpu}\n",
        ByteSize(recycled),
    );
    text
}
