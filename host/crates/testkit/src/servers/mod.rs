//! Real servers for tests: started on loopback by the test that needs them, gone when it ends, however it ends.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, require};
//!
//! if !require(Need::Redis) {
//!     return Ok(());
//! }
//! let mut redis = RedisServer::start(RedisOptions::default()).await?;
//! redis.kill();
//! redis.restart().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Programs are taken from what `cargo xtask test` says, else from what `cargo xtask lab` left in its cache, else from the path. Where one
//! cannot be had, [`require`] says so loudly; with `CI=true` it fails the test.

mod apache_kafka;
mod etcd;
mod found;
mod https;
mod kafka;
mod kube_api_server;
mod kube_client;
mod node_exporter;
mod pods;
pub(crate) mod process;
mod prometheus;
mod redis;
mod registry;
mod resp;
mod tls;

pub use apache_kafka::ApacheKafka;
pub use found::{Need, btrfs, cache, example, kubectl, mkfs_btrfs, promtool, python, require};
pub(crate) use found::{busybox, emulator, linux, user_mode_linux};
pub use https::Unfinished;
pub use kafka::{KafkaOptions, KafkaServer, KafkaUser};
pub use kube_api_server::KubeApiServer;
pub use kube_client::KubeClient;
pub use node_exporter::NodeExporter;
pub use pods::pod;
pub use prometheus::{PrometheusOptions, PrometheusServer};
pub use redis::{RedisOptions, RedisServer, RedisUser};
pub use registry::{REGISTRY_USER, RegistryOptions, RegistryServer};
pub use resp::{Reply, Subscription};
