//! One running instance of a module, and the only way to call it: with a deadline, and with a fault for every way to fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::Store;

use crate::Module;
use crate::exports::Guest;
use crate::imports::Host;
use crate::limits::{Limiter, Limits};
use crate::log::Log;
use crate::ticker::Ticker;

/// Handles of a component's own resources; none crosses the border.
const HANDLES: usize = 10_000;

/// An instance and its memory. Dead after the first error of wasmtime.
pub(crate) struct Instance {
    pub(crate) store: Store<Host>,
    pub(crate) guest: Box<dyn Guest>,
}

/// An empty store behind its limits.
pub(crate) fn store(module: &Module, limits: &Limits, log: &Arc<Mutex<Log>>) -> Store<Host> {
    let host = Host::new(Limiter::new(limits.memory_bytes), Arc::clone(log));
    let mut store = Store::new(&module.engine().wasmtime, host);
    store.limiter(|host| &mut host.limiter);
    store.set_hostcall_fuel(limits.output_bytes_per_call);
    store.set_max_component_handles(HANDLES);
    store
}

/// Makes the instance; what a component runs while it is made counts as a call.
pub(crate) fn instantiate(module: &Module, store: &mut Store<Host>, deadline: Duration) -> wasmtime::Result<Box<dyn Guest>> {
    limited(module, store, deadline, |store| {
        let instance = module.pre().instantiate(&mut *store)?;
        module.exports().load(store, &instance)
    })
}

/// Runs the guest until it returns or the deadline strikes.
pub(crate) fn limited<R>(
    module: &Module,
    store: &mut Store<Host>,
    deadline: Duration,
    call: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    store.set_epoch_deadline(Ticker::ticks(deadline));
    store.data_mut().limiter.forgive();
    store.data().log().forgive();
    let running = module.engine().ticker.running();
    let returned = call(store);
    drop(running);
    store.data().log().report();
    returned
}
