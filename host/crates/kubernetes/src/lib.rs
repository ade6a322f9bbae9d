//! The way to the Kubernetes API server: where it is, who we are, how it is verified.
//!
//! It is a crate of its own because both sources and sinks need that way, and neither may name the other. `config.rs` is what the user
//! writes, `route.rs` decides from it and the environment which way is taken, `api.rs` is what is asked, `client.rs` builds the HTTP
//! client for it, `token.rs` fetches tokens. By the same way [`events`] tells the cluster what happened here, and [`lease`] chooses one of several
//! collectors. [`access`] asks what we may do.

pub mod access;
mod api;
mod client;
mod config;
pub mod events;
#[cfg(test)]
mod fuzz;
mod jwt;
pub mod lease;
mod retrieval;
mod route;
mod token;
mod trouble;

pub use api::Api;
pub use config::{Access, Config, TlsVerify, is_object_name};
pub use retrieval::{Kubectl, TokenRetrieval};
pub use trouble::{Status, Trouble, chain};
