//! testkit
pub mod api_server;
pub mod cases;
pub mod components;
pub mod kubelet;
pub mod machine;
pub mod program;
pub mod servers;
