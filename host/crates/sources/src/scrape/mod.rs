//! Pages of metrics, read where they are served: what a Prometheus would scrape, without one.
//!
//! `text/` reads a page as it comes, `filter.rs` says what of it is wanted, `rows.rs` holds that, and `growth.rs` knows what has grown
//! since the page before.

mod filter;
mod growth;
mod rows;
mod text;
