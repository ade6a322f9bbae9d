//! What sluicebox watches: the only crate that reads the outside.
//!
//! [`kubernetes`] says how the API server is reached; [`pods`], [`namespaces`] and [`nodes`] are the sources that list and watch
//! through it. They share one way of following a kind of object (`watch`) and differ in what they ask for and what they keep.

pub mod kubernetes;
pub mod namespaces;
pub mod node_name;
pub mod nodes;
pub mod pods;
mod scope;
mod watch;

pub use namespaces::Namespaces;
pub use node_name::resolve_node;
pub use nodes::Nodes;
pub use pods::{Pods, Wants};
pub use scope::Scope;
pub use sluicebox_contract::Problem;
