//! What a lane holds: a module, its settings, its limits, and at most one instance of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bumpalo::Bump;
use sluicebox_contract::{Class, Entry, Event, Fault, Handlers, Metric, Saved, Shaper, Subject, SubjectId};
use wasmtime::Store;

use crate::bindings::sluicebox::module::types::Entries;
use crate::convert;
use crate::exports::Guest;
use crate::fault::Call;
use crate::imports::Host;
use crate::instance::{Instance, instantiate, limited, store};
use crate::log::Log;
use crate::{Limits, Module};

/// How much of the arena is kept between two calls.
const ARENA_BYTES: usize = 1 << 20;

/// What a module is told about its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The name of the lane.
    pub lane: String,
    /// The node on which the host runs; empty where it has none.
    pub node_name: String,
    /// The sources that the lane is fed from.
    pub sources: Vec<String>,
}

/// A module behind its limits. Has no instance until [`Shaper::renew`] is called, and none after a fault of class `Replace`.
pub struct WasmShaper {
    module: Module,
    settings: String,
    context: Context,
    limits: Limits,
    log: Arc<Mutex<Log>>,
    instance: Option<Instance>,
    /// The lists that the border wants; emptied after each call.
    arena: Bump,
}

impl WasmShaper {
    /// A shaper without an instance. `settings` is a JSON object as text. Runs nothing of the module.
    pub fn new(module: Module, settings: String, context: Context, limits: Limits) -> Self {
        let log = Arc::new(Mutex::new(Log::new(&context.lane, module.name(), module.version(), &limits)));
        Self { module, settings, context, limits, log, instance: None, arena: Bump::new() }
    }

    /// Calls a function of the guest, if there is an instance. One that does not survive is dropped at once, and its memory with it.
    fn call<R>(
        &mut self,
        export: &'static str,
        items: Option<usize>,
        deadline: Duration,
        function: impl FnOnce(&mut Store<Host>, &dyn Guest, &Bump) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let call = Call { module: self.module.name(), version: self.module.version(), export, items };
        let Some(Instance { mut store, guest }) = self.instance.take() else {
            return Err(call.no_instance());
        };
        let arena = &self.arena;
        let returned = limited(&self.module, &mut store, deadline, |store| function(store, &*guest, arena));
        self.empty_arena();
        match returned {
            Ok(returned) => {
                self.instance = Some(Instance { store, guest });
                Ok(returned)
            }
            Err(error) => Err(self.naming(export, items).died(&error, store.data(), &self.limits, deadline)),
        }
    }

    fn empty_arena(&mut self) {
        // A batch of unusual size must not be paid for ever after.
        if self.arena.allocated_bytes() > ARENA_BYTES {
            self.arena = Bump::new();
        } else {
            self.arena.reset();
        }
    }

    fn naming(&self, export: &'static str, items: Option<usize>) -> Call<'_> {
        Call { module: self.module.name(), version: self.module.version(), export, items }
    }

    /// Judges what a handler returned.
    fn judge(&mut self, export: &'static str, items: usize, returned: Result<Entries, String>) -> Result<Vec<Entry>, Fault> {
        let call = self.naming(export, Some(items));
        let judged = match returned {
            Err(text) => Err(call.refused(&text, &self.limits)),
            Ok(entries) => convert::entries(entries, &self.limits).map_err(|bad| call.misbehaved(&bad)),
        };
        if judged.as_ref().is_err_and(|fault| fault.class == Class::Replace) {
            self.instance = None;
        }
        judged
    }

    /// Calls a handler with these many items and judges what it returned.
    fn handle(
        &mut self,
        export: &'static str,
        items: usize,
        function: impl FnOnce(&mut Store<Host>, &dyn Guest, &Bump) -> wasmtime::Result<Option<Result<Entries, String>>>,
    ) -> Result<Vec<Entry>, Fault> {
        match self.call(export, Some(items), self.limits.call_deadline, function)? {
            Some(returned) => self.judge(export, items, returned),
            None => Err(self.naming(export, Some(items)).not_taken("the module does not export this handler")),
        }
    }

    /// A batch of events that are about one subject each, all of one kind.
    fn shape_each(&mut self, first: &Event, batch: &[Event]) -> Result<Vec<Entry>, Fault> {
        let items = batch.len();
        match first {
            Event::Pod(_) => {
                self.handle("pod-handler.handle", items, |store, guest, arena| guest.pods(store, &convert::pods(arena, batch)))
            }
            Event::Service(_) => self.handle("service-handler.handle", items, |store, guest, arena| {
                guest.services(store, &convert::services(arena, batch))
            }),
            Event::Node(_) => {
                self.handle("node-handler.handle", items, |store, guest, arena| guest.nodes(store, &convert::nodes(arena, batch)))
            }
            Event::Object(_) => {
                self.handle("object-handler.handle", items, |store, guest, _| guest.objects(store, &convert::objects(batch)))
            }
            Event::Tick(_) | Event::Connections(_) | Event::Inventory(_) | Event::Series(_) => self.shape_many(first),
        }
    }

    /// One event that is about many subjects.
    fn shape_many(&mut self, event: &Event) -> Result<Vec<Entry>, Fault> {
        let items = event.items();
        match event {
            Event::Tick(tick) => self
                .handle("sample-handler.handle", items, |store, guest, arena| guest.samples(store, convert::tick(arena, tick))),
            Event::Connections(report) => self.handle("connection-handler.handle", items, |store, guest, arena| {
                guest.connections(store, convert::report(arena, report))
            }),
            Event::Inventory(inventory) => self.handle("inventory-handler.handle", items, |store, guest, arena| {
                guest.inventory(store, convert::inventory(arena, inventory))
            }),
            Event::Series(report) => self.handle("series-handler.handle", items, |store, guest, arena| {
                guest.series(store, convert::series(arena, report))
            }),
            Event::Pod(_) | Event::Service(_) | Event::Node(_) | Event::Object(_) => {
                Err(self.naming("handle", Some(items)).not_taken("the event is about one subject"))
            }
        }
    }

    /// Starts the fresh instance.
    fn start(&mut self) -> Result<(), Fault> {
        const EXPORT: &str = "lifecycle.start";
        let deadline = self.limits.start_deadline;
        let (settings, context) = (self.settings.clone(), self.context.clone());
        let started = self.call(EXPORT, None, deadline, |store, guest, _| guest.start(store, &settings, &context))?;
        started.map_err(|text| {
            self.instance = None;
            self.naming(EXPORT, None).refused_to_start(&text, &self.limits)
        })
    }

    /// Tells it what can be measured, where it wants to know.
    fn tell_metrics(&mut self) -> Result<(), Fault> {
        if !self.handlers().samples {
            return Ok(());
        }
        self.call("sample-handler.metrics", Some(Metric::COUNT), self.limits.start_deadline, |store, guest, _| {
            guest.metrics(store, &convert::metrics())
        })
    }
}

impl Shaper for WasmShaper {
    fn handlers(&self) -> Handlers {
        self.module.handlers()
    }

    fn define(&mut self, subjects: &[Arc<Subject>]) -> Result<(), Fault> {
        if subjects.is_empty() || !self.handlers().subjects {
            return Ok(());
        }
        self.call("subjects.define", Some(subjects.len()), self.limits.call_deadline, |store, guest, arena| {
            guest.define(store, &convert::subjects(arena, subjects))
        })
    }

    fn forget(&mut self, subjects: &[SubjectId]) -> Result<(), Fault> {
        if subjects.is_empty() || !self.handlers().subjects {
            return Ok(());
        }
        let ids: Vec<u32> = subjects.iter().map(|subject| subject.0).collect();
        self.call("subjects.forget", Some(ids.len()), self.limits.call_deadline, |store, guest, _| guest.forget(store, &ids))
    }

    fn shape(&mut self, batch: &[Event]) -> Result<Vec<Entry>, Fault> {
        let not_taken = |cause| Err(self.naming("handle", Some(batch.len())).not_taken(cause));
        match batch {
            [] => Ok(Vec::new()),
            [first, others @ ..] if others.iter().any(|other| other.kind() != first.kind()) => {
                not_taken("the batch has events of more than one kind")
            }
            [event] if event.is_about_many() => self.shape_many(event),
            [first, ..] if first.is_about_many() => not_taken("the batch has more than one event that is about many subjects"),
            [first, ..] => self.shape_each(first, batch),
        }
    }

    fn renew(&mut self) -> Result<(), Fault> {
        // The old memory goes before the new one comes: a lane never holds two.
        self.instance = None;
        let deadline = self.limits.start_deadline;
        let mut store = store(&self.module, &self.limits, &self.log);
        let guest = match instantiate(&self.module, &mut store, deadline) {
            Ok(guest) => guest,
            Err(error) => {
                return Err(self.naming("instantiate", None).died(&error, store.data(), &self.limits, deadline));
            }
        };
        self.instance = Some(Instance { store, guest });
        self.start()?;
        self.tell_metrics()
    }

    fn save(&mut self) -> Result<Option<Saved>, Fault> {
        const EXPORT: &str = "state.save";
        if !self.takes_state() {
            return Ok(None);
        }
        match self.call(EXPORT, None, self.limits.call_deadline, |store, guest, _| guest.save(store))? {
            Some(Ok(saved)) => Ok(Some(convert::saved(saved))),
            Some(Err(text)) => Err(self.naming(EXPORT, None).refused(&text, &self.limits)),
            None => Ok(None),
        }
    }

    fn takes_state(&self) -> bool {
        self.module.describe().state
    }

    fn restore(&mut self, saved: &Saved) -> Result<(), Fault> {
        const EXPORT: &str = "state.restore";
        if !self.takes_state() {
            return Ok(());
        }
        let saved = convert::restored(saved).map_err(|bad| self.naming(EXPORT, None).not_taken(&bad.to_string()))?;
        match self.call(EXPORT, None, self.limits.call_deadline, |store, guest, _| guest.restore(store, &saved))? {
            Some(Err(text)) => Err(self.naming(EXPORT, None).refused(&text, &self.limits)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, |instance| instance.store.data().limiter.memory_bytes())
    }
}

impl std::fmt::Debug for WasmShaper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WasmShaper").field("module", &self.module).field("context", &self.context).finish_non_exhaustive()
    }
}
