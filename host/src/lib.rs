//! The program `sluicebox`, as a library so that its tests and the developers' commands can use its parts.
//!
//! Start-up is a straight line: [`cli`] (what was typed), [`config`] (what the user wrote), [`plan`] (checked), [`wire`] (the parts put
//! together), and the pipeline runs until it is told to stop.

pub mod admin;
pub mod announced;
pub mod author;
pub mod check;
pub mod cli;
pub mod compile;
pub mod config;
pub mod dead_letters;
pub mod directories;
pub mod folder;
pub mod foundry;
pub mod harmless;
pub mod live;
pub mod log;
pub mod metrics;
pub mod migrate;
pub mod modules;
pub mod permissions;
pub mod place;
pub mod plan;
pub mod presets;
pub mod pull;
pub mod registries;
pub mod run;
pub mod say;
pub mod schema;
pub mod signals;
pub mod stores;
pub mod trust;
pub mod wire;
