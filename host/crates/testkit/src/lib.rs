//! What tests, the demo and the measurements stand on: fakes that behave and misbehave, real servers, wires to them that can be cut, small
//! machines, cgroups as a kubelet makes them, the program as a process; and damaged bytes for whatever reads the outside.

pub mod api_server;
pub mod components;
pub mod fluent_bit;
pub mod fuzz;
pub mod http;
pub mod kubelet;
pub mod machine;
pub mod program;
pub mod servers;
pub mod tracer;
pub mod wire;
