//! What wasmtime generates from `wit/`. Its types stay in this crate.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../../wit",
    world: "module",
    ownership: Borrowing { duplicate_if_necessary: false },
});
