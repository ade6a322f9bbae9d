//! Case files: what goes into a module and what must come out, as data that needs no Rust to write.
//!
//! ```no_run
//! # use sluicebox_sdk::{Context, Entries, Module, NoSettings, PodEvent, Pods};
//! # struct Hello;
//! # impl Module for Hello {
//! #     type Settings = NoSettings;
//! #     fn start(_: NoSettings, _: &Context) -> Result<Self, String> { Ok(Self) }
//! # }
//! # impl Pods for Hello {
//! #     fn pods(&mut self, _: Vec<PodEvent>) -> Result<Entries, String> { Ok(Vec::new().into()) }
//! # }
//! # sluicebox_sdk::export!(Hello: pods);
//! sluicebox_sdk::cases::check::<Hello>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
//! ```
//!
//! A case is a JSON file, named after what it proves:
//!
#![doc = concat!("```json\n", include_str!("cases/example.json"), "```")]
//!
//! Only `about` is needed; `settings` are `{}`, the sources `["pods"]`, and no steps prove that the module starts.
//! `"start-error": "part of the text"` in place of steps proves that it does not.
//!
//! **Steps** are taken in order by one instance:
//!
//! | step | what happens |
//! | --- | --- |
//! | `events`, `expect` | the events are handed over in one batch, and exactly these entries come, in this order (left out: none) |
//! | `events`, `expect-error` | the batch is refused, and the text contains this |
//! | `tick`, `expect` | a tick is handed over, which is a batch of its own; `expect-error` as above |
//! | `report`, `expect` | a report of connections is handed over, likewise |
//! | `inventory`, `expect` | an inventory is handed over, likewise |
//! | `series`, `expect` | what a query found is handed over, likewise |
//! | `restart: true` | a fresh instance takes over, as after a panic; all subjects are defined again |
//! | `swap: true` | a fresh instance takes over on purpose; all subjects are defined again, and it is given what the old one saves |
//! | `define`, `forget` | subjects are defined (`id`, `kind`, `uid`, `namespace`, `name`, `attributes` as an object) or forgotten (ids) by hand |
//!
//! **Events** are `{"pod": {...}}`, `{"service": {...}}`, `{"node": {...}}` and `{"object": {...}}` with the fields of the WIT. What may be left out: `subject` (one is given to
//! each uid and defined before its first event), `observed-at-unix-nanos` (one second after the event before), `previous` (the object as
//! the case had it last; `null` says that there was none), and for objects `kind`, `uid`, `namespace` and `name` (they stand in `json`).
//! `json` is the object itself, or a string where white space or the form of numbers matters.
//!
//! **A tick** is `{"observed-at-unix-nanos": ..., "online-cpus": 4, "samples": [...]}`; left out, the time is as above, and one processor is
//! online. Its samples are one object for each subject, with the names of metrics as they stand in the WIT:
//!
//! ```json
//! {
//!   "subject": 1,
//!   "cpu-usage": {"total": 5000000, "increase": {"amount": 2000000, "over-nanoseconds": 1000000000}},
//!   "io-reads": 12,
//!   "memory-usage": 7340032,
//!   "memory-limit": "unlimited"
//! }
//! ```
//!
//! A counter with a number in place of the object has no increase; `over-nanoseconds` left out is one second. The rate is
//! worked out, and samples are put into the order of the metrics. Subjects are defined before, by a step.
//!
//! **A report** is `{"observed-at-unix-nanos": ..., "over-nanoseconds": ..., "connections": [...], "more": false}`; left out, the time is as
//! above, and the others are zero and false. Of its connections only the ends are needed:
//!
//! ```json
//! {
//!   "source": {"subject": 1, "address": "10.42.0.7", "port": 40112},
//!   "destination": {"address": "10.96.0.1", "port": 443},
//!   "protocol": "tcp", "direction": "outgoing", "pid": 14931, "network-namespace": 4026532528,
//!   "sent": {"total": 3079, "increase": 79}, "received": 5849
//! }
//! ```
//!
//! An end without `subject` is nobody's, a number in place of a total with its increase has not grown. **An inventory** is
//! `{"node": {...}, "pods": [...]}` with the fields of the WIT; lists may be left out, and subjects and time as above.
//!
//! **Series** are `{"query": "up", "result": [...]}`, where `result` is that of an answer of Prometheus (`metric`, `value` or `values`, `histogram` or
//! `histograms`), and `query` the name or an object with `name`, `metric`, `metric-type`, `unit`, `origin` (else `range-query`) and `cycle`. The other fields of
//! the WIT may be left out; a subject is given to each set of labels and defined before. The time of the cycle is that of the
//! series before it, as long as that says `more`.
//!
//! **Entries** are `{"message": {...}}`, `{"document": {...}}` and `{"forget": {...}}` with the fields of the WIT. A `body` is a string,
//! or a list of parts: strings, `{"compact": ...}` for JSON without white space, and `{"line": ...}` for the same with a newline behind.
//! Packed messages are compared one by one.
//!
//! **`{"$like": "name", ...}`** stands for what is `given` under that name, with the other fields put over it: objects are merged,
//! `null` takes a field away, everything else replaces.

mod difference;
mod file;
mod metrics;
mod native;
mod reader;
mod report;
mod series;
mod short;

pub use difference::difference;
pub use file::{Case, Event, Expect, Step, load, read};
pub use metrics::metrics;
pub use native::run;

use crate::Exported;

/// Runs every case of a folder natively.
///
/// # Panics
///
/// When a case does not hold, with what was expected and what came: this is for tests.
#[allow(clippy::panic, reason = "how a test fails")]
#[track_caller]
pub fn check<M: Exported>(folder: impl AsRef<std::path::Path>) {
    let cases = load(folder.as_ref()).unwrap_or_else(|error| panic!("{error}"));
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| run::<M>(case).err().map(|error| format!("case `{}`\n{}: {error}", case.name, case.about)))
        .collect();
    assert!(failures.is_empty(), "{} of {} cases do not hold\n\n{}\n", failures.len(), cases.len(), failures.join("\n\n"));
}
