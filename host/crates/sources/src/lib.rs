//! What sluicebox watches: the only crate that reads the outside.
//!
//! [`kubernetes`] says how the API server is reached; [`pods`], [`services`], [`namespaces`] and [`nodes`] are the sources that list and
//! watch through it. They share one way of following a kind of object (`watch`) and differ in what they ask for and what they keep.
//! [`cgroups`] measures what pods and containers use, and follows the pods of its node only to know what they are called; [`inventory`]
//! tells what runs on a node, with its processes (`processes`) and those who control its pods (`owners`).
//! [`scrape`] reads pages of metrics where they are served, [`prometheus`] asks a Prometheus for series; both share `http` and `series`.
//! [`Elected`] has any of them work on one collector of several only.

mod at_start;
mod attributes;
pub mod cgroups;
mod elected;
mod end;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod inventory;
pub mod namespaces;
pub mod node_name;
pub mod nodes;
mod owners;
pub mod pods;
mod processes;
pub mod prometheus;
mod raw;
mod scope;
pub mod scrape;
mod series;
pub mod services;
pub mod tracer;
mod turns;
mod wants;
mod watch;

pub use at_start::AtStart;
pub use attributes::Attributes;
pub use cgroups::Cgroups;
pub use elected::Elected;
pub use inventory::Inventory;
pub use namespaces::Namespaces;
pub use node_name::resolve_node;
pub use nodes::Nodes;
pub use pods::Pods;
pub use prometheus::Prometheus;
pub use scope::Scope;
pub use scrape::Scrape;
pub use services::Services;
pub use sluicebox_contract::Problem;
pub use sluicebox_kubernetes as kubernetes;
pub use tracer::Tracer;
pub use wants::Wants;
