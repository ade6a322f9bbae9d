//! A component becomes a module: checked, compiled or taken from the cache, linked, all of it once.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sluicebox_contract::Handlers;
use sluicebox_wasm_cache::{Cache, Key};
use wasmtime::component::{Component, InstancePre};

use crate::exports::Exports;
use crate::imports::{Host, linker};
use crate::load_error::{LoadError, Refusal};
use crate::text::readable;
use crate::{Description, Engine, binary, probe};

/// Components may have so many bytes unless the caller says otherwise: twice a Python one.
pub const COMPONENT_BYTES: usize = 32 << 20;

/// How a module is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// Where compiled modules are kept; without it each load compiles.
    pub cache: Option<&'a Cache>,
    /// How many bytes a component may have.
    pub component_bytes: usize,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { cache: None, component_bytes: COMPONENT_BYTES }
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
        let unreadable = |cause| refuse(name, Refusal::Unreadable { path: path.display().to_string(), cause });
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            // Opening a pipe would wait for somebody to write into it.
            return Err(unreadable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        // Never more than allowed, even when the file grows meanwhile or is none.
        let most = u64::try_from(options.component_bytes).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > options.component_bytes {
            let bytes = usize::try_from(metadata.len()).unwrap_or(usize::MAX).max(bytes.len());
            return Err(refuse(name, Refusal::TooLarge { bytes, limit: options.component_bytes }));
        }
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
        let outer =
            binary::inspect(bytes).map_err(|mistake| Refusal::NotAComponent { found: mistake.found, cure: mistake.cure })?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let component = compiled(engine, name, bytes, &digest, options.cache)?;

        let imports = probe::imports(&component);
        let exports = probe::exports(&component);
        let package_version = probe::version(&imports, &exports)?;
        probe::only_granted(&component)?;
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

fn refuse(name: &str, refusal: Refusal) -> LoadError {
    LoadError { module: name.to_owned(), refusal }
}

/// From the cache if it is there. Trouble with the cache costs time, never the module.
fn compiled(engine: &Engine, name: &str, bytes: &[u8], digest: &[u8; 32], cache: Option<&Cache>) -> Result<Component, Refusal> {
    let Some(cache) = cache else {
        return compile(engine, bytes);
    };
    let key = Key::new(digest, &engine.wasmtime);
    match cache.load(&engine.wasmtime, &key) {
        Ok(Some(component)) => return Ok(component),
        Ok(None) => {}
        Err(error) => tracing::warn!(module = name, %error, "the module is compiled again"),
    }
    let component = compile(engine, bytes)?;
    let stored = component.serialize().map_err(|error| format!("{error:#}"));
    if let Err(error) = stored.and_then(|code| cache.store(&key, &code).map_err(|error| error.to_string())) {
        tracing::warn!(module = name, %error, "the compiled module is not kept: the next start compiles it again");
    }
    Ok(component)
}

#[cfg(feature = "compiler")]
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
    Component::from_binary(&engine.wasmtime, bytes)
        .map_err(|error| Refusal::Invalid { cause: readable(&format!("{error:#}"), 500) })
}

#[cfg(not(feature = "compiler"))]
fn compile(_engine: &Engine, _bytes: &[u8]) -> Result<Component, Refusal> {
    Err(Refusal::Invalid { cause: "this build has no compiler, and the module is not in the cache".to_owned() })
}

fn hexadecimal(digest: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
