//! What servers are shown and how they are verified: files with passwords, tokens and certificates, and TLS made of them.
//!
//! It is a crate of its own because both sources and sinks meet such servers, and neither may name the other.

pub mod file;
pub mod tls;

pub use tls::TlsFiles;
