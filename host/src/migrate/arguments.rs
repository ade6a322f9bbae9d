//! What can be typed after `sluicebox migrate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Whose settings, and where they are.
#[derive(Args, Debug)]
pub struct MigrateArguments {
    /// Whose settings.
    #[command(subcommand)]
    pub system: SystemArguments,
    /// For the manifests in `deploy/`: in place of the `sluicebox.yaml` of an overlay
    ///
    /// Adds what those count on: probes that are reached from outside, the directories that they mount, a log in JSON. The node is what they
    /// say (`NODE_NAME`), and of several programs for the cluster the one works that holds the lease.
    #[arg(long, global = true)]
    pub in_pod: bool,
}

/// The programs whose settings are read.
#[derive(Debug, Subcommand)]
pub enum SystemArguments {
    /// telemd-kubernetes-adapter: pod events for galileo in Redis
    ///
    /// Reads `telemd_kubernetes_adapter_redis_host`, `…_redis_port`, `…_location` and `KUBECONFIG`.
    Galileo(EnvironmentArguments),
    /// pod-meta-exporter: `.meta` files for Fluent Bit
    ///
    /// Reads `EXPORTER_NODE_NAME`, `EXPORTER_DESTINATION_DIR`, `EXPORTER_RETENTION_PERIOD`, and the flags `--node-name`,
    /// `--destination-dir`, `--retention-period`: of the container in a manifest, or behind `--`. Flags come before the environment.
    FluentBit(FlagArguments),
    /// kubernetes-prometheus-publisher: what Prometheus knows of containers, for MAPE in Kafka
    ///
    /// Reads `DEBUG`, `KAFKA_IP`, `KAFKA_PORT`, `KAFKA_KUBERNETES_TOPIC`, `PROMETHEUS_HOST`, `PROMETHEUS_PORT`,
    /// `PROMETHEUS_POLLING_STEP` and `SCHEDULER_SECONDS`.
    Mape(EnvironmentArguments),
    /// Cluster Monitoring (`meta`): connections and what stands behind their addresses, in `ConfigMap`s
    ///
    /// Reads `SOCKET_PATH`, `HOSTNAME`, `remote_collector` and `KUBECONFIG`.
    Connections(EnvironmentArguments),
    /// Alumet: what pods use, by its plugin k8s
    ///
    /// Reads the table `[plugins.k8s]`, and for what is written to, `[plugins.csv]` and `[plugins.prometheus-exporter]`.
    Alumet(AlumetArguments),
}

/// Where environment variables are. Without any of these, in the environment of this process.
#[derive(Args, Debug, Default)]
pub struct EnvironmentArguments {
    /// A file with a line `KEY=VALUE` for each variable, as docker and systemd read it; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "manifest")]
    pub env_file: Option<PathBuf>,
    /// A Kubernetes manifest in YAML, with the `env` and `args` of the old program's container; `-` for standard input
    ///
    /// May be given several times, and be a directory of such files: what `envFrom` names is looked for in all of them.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub manifest: Vec<PathBuf>,
    /// With `--manifest`: the container, where it is not plain which one is meant; of several of one name `OBJECT/NAME`, `KIND/OBJECT/NAME`
    /// or `NAMESPACE/KIND/OBJECT/NAME`
    #[arg(long, value_name = "NAME", requires = "manifest")]
    pub container: Option<String>,
}

/// Where variables are, and flags.
#[derive(Args, Debug)]
pub struct FlagArguments {
    /// Where variables are.
    #[command(flatten)]
    pub environment: EnvironmentArguments,
    /// The old program's flags, behind `--`
    #[arg(last = true, value_name = "FLAG")]
    pub flags: Vec<String>,
}

/// Where Alumet's configuration is.
#[derive(Args, Debug)]
pub struct AlumetArguments {
    /// Alumet's configuration; `-` for standard input
    #[arg(long, value_name = "FILE", default_value = "alumet-config.toml")]
    pub config: PathBuf,
}
