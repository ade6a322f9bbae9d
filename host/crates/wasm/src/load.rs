//! A component becomes a module: checked, compiled or taken from the cache, linked, all of it once.

use std::fmt::Write as _;
use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use sluicebox_contract::Handlers;
use sluicebox_wasm_cache::Cache;
use wasmtime::component::InstancePre;

use crate::exports::Exports;
use crate::imports::{Host, linker};
use crate::load_error::{LoadError, Refusal};
use crate::text::readable;
use crate::{Compiler, Description, Engine, Grants, binary, compile, judge, probe};

/// Components may have so many bytes unless the caller says otherwise: twice a Python one.
pub const COMPONENT_BYTES: usize = 32 << 20;

/// An allocation of more than 32 MiB is given back to the system as soon as it is freed. What is smaller glibc keeps, once it has seen
/// one of its size.
const GIVEN_BACK_BYTES: usize = 33 << 20;
/// Components of less are not worth it.
const SMALL_BYTES: usize = 256 << 10;

/// How a module is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Where compiled modules are kept; without it each load compiles, and the code lies in memory.
    pub cache: Option<&'a Cache>,
    /// What compiles, in a process of its own; without it this process does.
    pub compiler: Option<&'a Compiler>,
    /// How many bytes a component may have.
    pub component_bytes: usize,
    /// What the module may call.
    pub grants: Grants,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { cache: None, compiler: None, component_bytes: COMPONENT_BYTES, grants: Grants::default() }
    }
}

/// A component that was found to be a module, ready to be instantiated. A clone is the same module.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    pre: InstancePre<Host>,
    exports: Box<dyn Exports>,
    description: Description,
    version: String,
}

impl Module {
    /// Reads the file and loads it.
    pub fn load_file(engine: &Engine, name: &str, path: &Path, options: &LoadOptions<'_>) -> Result<Self, LoadError> {
        let bytes = read_component(name, path, options.component_bytes)?;
        Self::load(engine, name, &bytes, options)
    }

    /// Loads a component; `name` is what operators know it by.
    pub fn load(engine: &Engine, name: &str, bytes: &[u8], options: &LoadOptions<'_>) -> Result<Self, LoadError> {
        Self::checked(engine, name, bytes, options).map_err(|refusal| refuse(name, refusal))
    }

    /// What there is to say about it.
    pub fn describe(&self) -> &Description {
        &self.inner.description
    }

    /// The name that operators know it by.
    pub fn name(&self) -> &str {
        &self.inner.description.name
    }

    /// The version that logs and errors name.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// Which events it wants.
    pub fn handlers(&self) -> Handlers {
        self.inner.description.handlers
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn pre(&self) -> &InstancePre<Host> {
        &self.inner.pre
    }

    pub(crate) fn exports(&self) -> &dyn Exports {
        &*self.inner.exports
    }

    fn checked(engine: &Engine, name: &str, bytes: &[u8], options: &LoadOptions<'_>) -> Result<Self, Refusal> {
        if bytes.len() > options.component_bytes {
            return Err(Refusal::TooLarge { bytes: bytes.len(), limit: options.component_bytes });
        }
        let outer = form(bytes)?;
        judge(bytes, options.grants)?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let component = compile::component(engine, name, bytes, &digest, options)?;

        let imports = probe::imports(&component);
        let exports = probe::exports(&component);
        let package_version = probe::version(&imports, &exports)?;
        probe::only_granted(&component, options.grants)?;
        let linked = linker(&engine.wasmtime).and_then(|linker| linker.instantiate_pre(&component));
        let pre = linked.map_err(|cause| Refusal::NotAModule { cause: format!("it does not fit this host: {cause:#}") })?;
        let found = probe::handlers(&pre, &exports)?;
        for handler in probe::unknown(&exports) {
            tracing::warn!(module = name, %handler, "the module exports a handler that this host does not know and never calls");
        }

        let description = Description {
            name: name.to_owned(),
            author_version: outer.version.map(|version| readable(version, 40)),
            digest: hexadecimal(&digest),
            bytes: bytes.len(),
            package_version: package_version.unwrap_or_default(),
            handlers: found.handlers(),
            state: found.has_state(),
            exports,
            imports,
        };
        let version = description.version();
        Ok(Self { inner: Arc::new(Inner { engine: engine.clone(), pre, exports: found, description, version }) })
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Module").field(&self.inner.description).finish()
    }
}

/// Reads a component, once: of a regular file only, and never more bytes than allowed. `name` is for the error.
pub fn read_component(name: &str, path: &Path, most_bytes: usize) -> Result<Vec<u8>, LoadError> {
    let unreadable = |cause| refuse(name, Refusal::Unreadable { path: path.display().to_string(), cause });
    // Looked at twice: opening a device may already do something, and the file may be replaced before it is opened.
    regular(&std::fs::metadata(path).map_err(unreadable)?).map_err(unreadable)?;
    // Without this flag opening a pipe would wait for somebody to write into it.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    regular(&metadata).map_err(unreadable)?;
    let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if bytes > most_bytes {
        return Err(refuse(name, Refusal::TooLarge { bytes, limit: most_bytes }));
    }
    let mut component = Vec::new();
    // Only what is written to takes memory.
    let generous = if bytes < SMALL_BYTES { bytes } else { bytes.max(GIVEN_BACK_BYTES) };
    let reserved = component.try_reserve_exact(generous).or_else(|_| component.try_reserve_exact(bytes));
    reserved.map_err(|error| unreadable(error.into()))?;
    // The file may grow meanwhile.
    let most = u64::try_from(most_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut component).map_err(unreadable)?;
    if component.len() > most_bytes {
        return Err(refuse(name, Refusal::TooLarge { bytes: component.len(), limit: most_bytes }));
    }
    Ok(component)
}

/// Says why bytes have not the outer form of a whole component, if they have not. Nothing of what is inside is looked at.
pub fn has_form(bytes: &[u8]) -> Result<(), Refusal> {
    form(bytes).map(drop)
}

fn form(bytes: &[u8]) -> Result<binary::Component<'_>, Refusal> {
    binary::inspect(bytes).map_err(|mistake| Refusal::NotAComponent { found: mistake.found, cure: mistake.cure })
}

/// SHA-256 of a component, 64 hexadecimal digits: what [`Description::digest`] would say.
pub fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes).into())
}

fn regular(metadata: &Metadata) -> std::io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"))
}

fn refuse(name: &str, refusal: Refusal) -> LoadError {
    LoadError { module: name.to_owned(), refusal }
}

fn hexadecimal(digest: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
