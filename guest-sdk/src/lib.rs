//! What the author of a sluicebox module depends on. Read it from top to bottom: it is the tutorial, too.
//!
//! # The smallest module
//!
//! A module is a struct, a `start`, and one method for each kind of event that it wants. This one greets every pod:
//!
//! ```
//! use sluicebox_sdk::{Context, Entries, Message, Module, NoSettings, PodEvent, Pods};
//!
//! struct Hello;
//!
//! impl Module for Hello {
//!     type Settings = NoSettings;
//!     fn start(_: NoSettings, _: &Context) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Pods for Hello {
//!     fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
//!         Ok(events.iter().map(|event| Message::new(format!("hello {}", event.pod.name))).collect())
//!     }
//! }
//!
//! sluicebox_sdk::export!(Hello: pods);
//! ```
//!
//! That is `src/lib.rs`. Beside it stands `Cargo.toml`:
//!
//! ```toml
//! [package]
//! name = "hello"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! sluicebox-sdk = { path = "../sluicebox/guest-sdk" }
//! serde = { version = "1", features = ["derive"] }
//!
//! [profile.release]
//! lto = "fat"
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//!
//! [workspace]
//! ```
//!
//! and `.cargo/config.toml`, with the linker that makes a component (every Rust by rustup has it):
//!
//! ```toml
//! [target.wasm32-unknown-unknown]
//! linker = "wasm-component-ld"
//! ```
//!
//! Then
//!
//! ```text
//! rustup target add wasm32-unknown-unknown
//! cargo test
//! cargo build --release --target wasm32-unknown-unknown
//! ```
//!
//! writes a component, `target/wasm32-unknown-unknown/release/hello.wasm`, ready for the host: `modules: {greeter: {use: ./hello.wasm, to:
//! [out]}}`. In the modules of this repository the profile is called `module`.
//!
//! # Settings and state
//!
//! Settings are a type of the author's. What the operator writes under `settings` is read into it before `start`; what does not fit is
//! refused with a sentence that names the setting, the cause and the cure. `start` may refuse what fits the type but makes no sense.
//! State lives in the struct. It is lost when the host has to replace the instance (after a panic, or a call that took too
//! long), so whatever can be computed from the event alone should be: every [`PodEvent`] carries the state before.
//!
//! ```
//! use serde::Deserialize;
//! use sluicebox_sdk::{Change, Context, Document, Entries, Entry, Forget, Module, PodEvent, Pods};
//!
//! /// Keeps a list of the images of each pod, for as long as the pod is there.
//! struct Images { collection: String, written: u64 }
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
//! struct Settings { collection: String }
//!
//! impl Default for Settings {
//!     fn default() -> Self { Self { collection: "images".into() } }
//! }
//!
//! impl Module for Images {
//!     type Settings = Settings;
//!     fn start(settings: Settings, context: &Context) -> Result<Self, String> {
//!         if settings.collection.is_empty() {
//!             return Err("setting `collection`: is empty: name the hash, or leave the setting out".into());
//!         }
//!         sluicebox_sdk::log::info(format!("on node {}", context.node_name));
//!         Ok(Self { collection: settings.collection, written: 0 })
//!     }
//! }
//!
//! impl Pods for Images {
//!     fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
//!         let mut entries: Vec<Entry> = Vec::new();
//!         for event in events {
//!             if event.change == Change::Deleted {
//!                 entries.push(Forget::new(event.pod.uid).within(&self.collection).into());
//!             } else {
//!                 let images: Vec<_> = event.pod.containers.iter().map(|container| container.image.as_str()).collect();
//!                 entries.push(Document::new(event.pod.uid, images.join("\n")).within(&self.collection).into());
//!                 self.written += 1;
//!             }
//!         }
//!         Ok(entries.into())
//!     }
//! }
//!
//! sluicebox_sdk::export!(Images: pods);
//!
//! // Everything runs natively, so this is an ordinary test.
//! let context = Context { node_name: "n1".into(), ..Context::default() };
//! let mut images = Images::start(Settings::default(), &context).unwrap();
//! let event = PodEvent::added(sluicebox_sdk::Pod { uid: "u1".into(), ..Default::default() });
//! assert_eq!(images.pods(vec![event]).unwrap(), Entries::Plain(vec![Document::new("u1", "").within("images").into()]));
//! ```
//!
//! # State that survives a change of instance
//!
//! A host changes an instance on purpose, too: a new version of the module takes over, new settings do, or the instance has grown old
//! or large (three quarters of the lane's limit of memory, unless the lane says otherwise). What a module keeps in memory is lost then.
//! A module that would miss what it has in memory exports `state`: it is asked for it in the old instance, and given it in the new one,
//! which has been started and told of all subjects. This one counts, and goes on counting:
//!
//! ```
//! use sluicebox_sdk::{Context, Entries, Message, Module, NoSettings, Payload, PodEvent, Pods, State};
//!
//! struct Counter { seen: u64 }
//!
//! impl Module for Counter {
//!     type Settings = NoSettings;
//!     fn start(_: NoSettings, _: &Context) -> Result<Self, String> {
//!         Ok(Self { seen: 0 })
//!     }
//! }
//!
//! impl Pods for Counter {
//!     fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
//!         self.seen += events.len() as u64;
//!         Ok([Message::new(format!("{} so far", self.seen))].into_iter().collect())
//!     }
//! }
//!
//! impl State for Counter {
//!     const VERSION: u32 = 1;
//!
//!     fn save(&self) -> Result<Payload, String> {
//!         Ok(self.seen.to_string().into())
//!     }
//!
//!     fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
//!         let seen = match version {
//!             1 => data.as_text().and_then(|text| text.parse().ok()),
//!             _ => return Err(format!("cannot take over the count: its form {version} is not known here, only 1")),
//!         };
//!         self.seen = seen.ok_or("cannot take over the count: it is no number")?;
//!         Ok(())
//!     }
//! }
//!
//! sluicebox_sdk::export!(Counter: pods, state);
//!
//! let context = Context::default();
//! let mut old = Counter::start(NoSettings {}, &context).unwrap();
//! old.pods(vec![PodEvent::added(Default::default())]).unwrap();
//!
//! let mut new = Counter::start(NoSettings {}, &context).unwrap();
//! new.restore(Counter::VERSION, old.save().unwrap()).unwrap();
//! let entries = new.pods(vec![PodEvent::added(Default::default())]).unwrap();
//! assert_eq!(entries, Entries::Plain(vec![Message::new("2 so far").into()]));
//! assert!(new.restore(2, "2".into()).is_err());
//! ```
//!
//! State of many parts is a struct with serde's derives: `serde_json::to_string(&self.state)` in one method and
//! `serde_json::from_slice(data.as_bytes())` in the other. The text of an `Err` is what the operator reads, and the old version goes on;
//! a module that refuses to restore must not have taken over half of it. After a panic there is nothing to save: the fresh instance
//! starts without.
//!
#![doc = include_str!("tutorial/samples.md")]
#![doc = include_str!("tutorial/connections.md")]
#![doc = include_str!("tutorial/series.md")]
//!
//! # What else happens to a module
//!
//! Before a new version takes over, the host tries it out beside the old one: it is started, told all subjects, and given the last batch
//! once more. What it makes of that is thrown away, and so is the instance; what it saves is given to another instance of the same version.
//!
//! An event that has stopped a module is kept, and an operator can have it replayed: it comes alone, long after it happened, between newer
//! events, and under a new subject id where its subject is not known any more. A module that keeps the newest state of each subject
//! compares `observed_at_unix_nanos`.
//!
//! # The handlers
//!
//! | in `export!` | trait | given |
//! | --- | --- | --- |
//! | `pods` | [`Pods`] | pods with typed fields, and their state before |
//! | `services` | [`Services`] | services with typed fields, and their state before |
//! | `nodes` | [`Nodes`] | nodes, likewise |
//! | `objects` | [`Objects`] | Kubernetes objects as the API's own JSON: namespaces, and pods, services and nodes unless these are exported typed |
//! | `samples` | [`Samples`] | what pods and containers use, as numbers |
//! | `connections` | [`Connections`] | who talks to whom, as a network tracer on this node tells it |
//! | `inventory` | [`Inventories`] | what runs on this node, all at once, every ten seconds and when it changes |
//! | `series` | [`Series`] | time series, as queries to a Prometheus found them or as they were scraped |
//! | `subjects` | [`Subjects`] | what events are about, before the first event about it and again after every fresh start |
//! | `state` | [`State`] | what the instance before has saved, when it was changed on purpose |
//!
//! An `Err` from a handler refuses the whole batch. The host then hands its halves over again, and so on, and leaves out the events
//! that are refused alone (of samples, connections, inventories and series, the subjects, connections, pods and series); a module with state must not have changed it when it refuses. The text is what the operator reads, so it
//! names what was tried, the cause and the cure.
//!
//! # Where entries go
//!
//! A module does not know. It makes a [`Message`] (say this once), a [`Document`] (keep this under a name) or a [`Forget`] (keep nothing
//! under a name); the operator's configuration names the sinks. A module that makes very many messages returns them [`Packed`].
//!
//! # Telling the operator
//!
//! [`log`] writes lines. It is all that a module can ask of the host: no files, no network, no clock. A panic ends the instance; its
//! text and place reach the operator's log.
//!
//! # Tests that prove the component, too
//!
//! Files in a folder `cases/` say what goes in and what must come out. [`cases`] runs them natively, in `cargo test`; `sluicebox module test`
//! runs the same files through the engine, against the component. The author's guide, `README.md` beside this crate, has every command.

/// The README's example is tested as well.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod connections;
mod entries;
mod events;
mod export;
mod fast;
mod module;
mod samples;
mod series;
mod settings;
mod span;
mod subjects;
mod time;

#[doc(hidden)]
pub mod bindings;
#[cfg(not(target_family = "wasm"))]
pub mod cases;
pub mod json;
pub mod log;

/// The version of the WIT package `sluicebox:module` that modules made with this SDK are for. Which ones a program takes it says when it
/// refuses one, and `sluicebox modules FILE` what a component is made for.
pub const INTERFACE: &str = "0.2.0";

pub use bindings::connections::exports::sluicebox::module::connection_handler::{
    Address, Connection, ConnectionReport, Direction, End, Protocol, Traffic,
};
pub use bindings::inventory::exports::sluicebox::module::inventory_handler::{
    Inventory, InventoryContainer, InventoryNode, InventoryPod, InventoryPort, Workload,
};
pub use bindings::nodes::exports::sluicebox::module::node_handler::{Node, NodeEvent};
pub use bindings::objects::exports::sluicebox::module::object_handler::{ObjectEvent, ObjectKind};
pub use bindings::pods::exports::sluicebox::module::pod_handler::{
    Container, ContainerKind, ContainerPort, ContainerState, ContainerStatus, Owner, Phase, Pod, PodEvent, QosClass, Terminated,
};
pub use bindings::samples::exports::sluicebox::module::sample_handler::{
    Counter, Increase, Metric, MetricId, MetricKind, Reading, Sample, Tick,
};
pub use bindings::series::exports::sluicebox::module::series_handler::{
    Bounds, Bucket, Histogram, Origin as SeriesOrigin, Query as SeriesQuery, Sample as SeriesSample, SeriesReport,
};
pub use bindings::services::exports::sluicebox::module::service_handler::{Service, ServiceEvent, ServicePort};
pub use bindings::started::exports::sluicebox::module::lifecycle::Context;
pub use bindings::started::sluicebox::module::types::{
    Change, Document, Entries, Entry, Forget, Message, PackedEnd, PackedMessages, Pair, Payload, SubjectId,
};
pub use bindings::subjects::exports::sluicebox::module::subjects::{Subject, SubjectKind};
pub use entries::Packed;
#[doc(hidden)]
pub use export::Exported;
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub use export::instance;
pub use fast::{FastHasher, FastMap};
pub use module::{Connections, Inventories, Module, Nodes, Objects, Pods, Samples, Series, Services, State, Subjects};
pub use samples::ByMetric;
pub use series::PrometheusValue;
pub use settings::{NoSettings, settings};
pub use span::Span;
pub use time::{Rfc3339, date};
