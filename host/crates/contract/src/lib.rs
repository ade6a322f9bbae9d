//! The words that every part of sluicebox shares. No IO, no executor, no client library.
//!
//! Read in this order: [`subject`] (what an event is about), [`event`] (what was observed), [`entry`] (what goes out),
//! [`fault`] (what can go wrong and who reacts), then the three traits [`Source`], [`Shaper`] and [`Sink`].

pub mod announced;
pub mod backlog;
pub mod backoff;
pub mod connection;
pub mod cpu_share;
pub mod dead_letter;
pub mod entry;
pub mod event;
pub mod fault;
pub mod inventory;
pub mod meter;
pub mod metric;
pub mod node;
pub mod pod;
pub mod problem;
pub mod quantity;
pub mod receipt;
pub mod series;
pub mod service;
pub mod shaper;
pub mod sink;
pub mod source;
pub mod subject;
pub mod text;
pub mod tick;
pub mod time;
pub mod typed;

pub use announced::{Announced, Announcement, Known, Ledger, Remembered};
pub use backlog::{Appended, Backlog, Record, Waiting};
pub use backoff::Backoff;
pub use connection::{Connection, ConnectionReport, Direction, End, Protocol, Traffic};
pub use cpu_share::CpuShare;
pub use dead_letter::{DeadLetter, DeadLetters, Held, ModuleIdentity};
pub use entry::{Document, Entry, Forget, Message};
pub use event::{Change, Event, Notice, ObjectEvent, ObjectKind, PodEvent};
pub use fault::{Class, Fault};
pub use inventory::{Inventory, InventoryContainer, InventoryNode, InventoryPod, Workload};
pub use metric::{Metric, MetricKind, MetricUnit};
pub use node::{Node, NodeEvent};
pub use pod::Pod;
pub use problem::Problem;
pub use quantity::{ByteSize, TimeSpan};
pub use receipt::Receipt;
pub use series::{Bounds, NativeBucket, NativeHistogram, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample};
pub use service::{Service, ServiceEvent, ServicePort};
pub use shaper::{Handlers, Saved, Shaper};
pub use sink::{Outcome, Refusal, Sink};
pub use source::{Closed, Feed, Source};
pub use subject::{Subject, SubjectId, SubjectIds, SubjectKind};
pub use tick::{Increase, Reading, Sample, Tick};
pub use time::UnixNanos;
pub use typed::Typed;
