//! json-lines
