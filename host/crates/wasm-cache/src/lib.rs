//! wasm-cache
