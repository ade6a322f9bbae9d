//! fluent-bit-meta
