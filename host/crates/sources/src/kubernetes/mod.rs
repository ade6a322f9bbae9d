//! How the API server is reached: where it is, who we are, how it is verified.
//!
//! `config.rs` is what the user writes, `route.rs` decides from it and the environment which way is taken, `api.rs` is what the
//! sources ask, `client.rs` builds the HTTP client for it, `token.rs` fetches tokens. By the same way [`events`] tells the cluster what
//! happened here.

mod api;
mod client;
mod config;
pub mod events;
mod jwt;
mod retrieval;
mod route;
mod token;
mod trouble;

pub use api::Api;
pub(crate) use config::is_object_name;
pub use config::{Access, Config, TlsVerify};
pub use retrieval::{Kubectl, TokenRetrieval};
pub(crate) use trouble::{Status, Trouble, chain};
