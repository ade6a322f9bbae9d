//! What a module can call: `log`, and nothing else. Whether it may is judged by its names before (`grants`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::sluicebox::module::{log, types};
use crate::exports;
use crate::limits::Limiter;
use crate::log::Log;

/// What the host keeps for an instance.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) limiter: Limiter,
    log: Arc<Mutex<Log>>,
}

impl Host {
    pub(crate) fn new(limiter: Limiter, log: Arc<Mutex<Log>>) -> Self {
        Self { limiter, log }
    }

    /// The log. Nobody waits: it belongs to one shaper, which one thread has at a time, the lane's or that of a rehearsal.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl log::Host for Host {
    fn line(&mut self, level: log::Level, text: String) {
        self.log().line(level, &text);
    }
}

impl types::Host for Host {}

/// Grants what is granted.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    exports::grant_before(&mut linker)?;
    Ok(linker)
}
