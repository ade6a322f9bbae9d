//! Pods as the API writes them, and what becomes of them.
