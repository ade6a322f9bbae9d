//! Modules from OCI registries: `oci://registry:5000/name:tag`, or by digest, in the layout `application/wasm`.
//!
//! What a registry sends is not trusted. The client library works in a process of its own ([`Puller`], [`PullTask`]) with limits of memory and
//! time, because it reads manifests, tokens and errors of any length; what that process hands over is held against its digests here
//! ([`layout`]).

pub mod config;
pub mod layout;
mod pull;
mod push;
mod reference;
mod secret;

pub use config::{Config, PullConfig};
pub use pull::{COMMAND, Kind, PullError, PullTask, Pulled, Puller, Wish};
pub use push::{Pushed, push};
pub use reference::{NoReference, Reference, SCHEME};
