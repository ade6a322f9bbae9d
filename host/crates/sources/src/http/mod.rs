//! Servers that are asked over HTTP: how they are reached, who we are to them, and answers that are bounded in bytes.
//!
//! `config.rs` is what the user writes, `client.rs` asks, `trouble.rs` is what can go wrong and what may cure it.

mod client;
mod config;
mod trouble;

pub(crate) use client::{Client, Ready, body, excerpt, failed, send};
pub(crate) use config::check_url;
pub use config::{BasicAuth, Config, TlsVerify};
pub(crate) use trouble::Trouble;
