//! The overlays, and what each must do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sluicebox_testkit::fluent_bit::{Filter, Settings};
use sluicebox_testkit::program::ask;
use tokio::time::timeout;

use super::container::{Container, Stage};
use super::pod::Pod;
use super::rights::{self, Right};
use super::surroundings::{POD, POD_NAMESPACE};
use crate::{command, workspace};

/// The first start compiles the modules, and a query of Prometheus has its turn every 20 s.
const PATIENCE: Duration = Duration::from_mins(3);

/// An overlay.
pub(super) struct Case {
    /// Its folder below `deploy/kustomize`.
    pub(super) overlay: &'static str,
    /// The sinks that must have written.
    pub(super) sinks: &'static [&'static str],
    /// Whether its rights are taken away in a short run too.
    pub(super) is_short: bool,
}

pub(super) const CASES: [Case; 10] = [
    Case { overlay: "base/node", sinks: &["terminal"], is_short: false },
    Case { overlay: "base/cluster", sinks: &["terminal"], is_short: false },
    Case { overlay: "overlays/galileo", sinks: &["redis"], is_short: false },
    Case { overlay: "overlays/galileo-cluster", sinks: &["redis"], is_short: true },
    Case { overlay: "overlays/fluent-bit/daemonset", sinks: &["kube-meta"], is_short: false },
    Case { overlay: "overlays/fluent-bit/sidecar", sinks: &["kube-meta"], is_short: false },
    Case { overlay: "overlays/alumet", sinks: &["scraped"], is_short: false },
    Case { overlay: "overlays/mape", sinks: &["kafka"], is_short: false },
    Case { overlay: "overlays/connections", sinks: &["maps"], is_short: true },
    Case { overlay: "overlays/everything", sinks: &["redis", "kube-meta", "scraped", "kafka", "maps"], is_short: false },
];

impl Case {
    /// Where its kustomization is.
    pub(super) fn path(&self) -> PathBuf {
        workspace::root().join("deploy/kustomize").join(self.overlay)
    }
}

/// Runs the pod until all is ready, every sink has written, and what was written has been seen on the other side.
pub(super) async fn work(stage: &Stage<'_>, case: &Case, pod: &Pod, objects: &[Value]) -> Result<()> {
    ensure!(pod.is_confined(), "the container is not confined: its root can be written, or it keeps capabilities");
    let mut heard = stage.surroundings.redis.subscribe("galileo/*").await?;
    let mut container = Container::start(stage, pod, objects).await?;
    let what = format!("{} have taken entries", case.sinks.join(", "));
    container.until(PATIENCE, &what, async |container| Ok(has_written(&container.metrics().await, case.sinks))).await?;
    container.ensure_confined(pod.user()?.0)?;
    container.ensure_permitted(&pod.arguments())?;
    if case.overlay == "overlays/everything" {
        let shown = std::fs::read_to_string(workspace::root().join("deploy/chart/sluicebox/dashboard.json"))?;
        let strangers = not_told(&shown, &container.metrics().await);
        ensure!(strangers.is_empty(), "the dashboard shows what is not told: {}", strangers.join(", "));
    }
    for sink in case.sinks {
        match *sink {
            "redis" => {
                let (channel, _) = timeout(PATIENCE, heard.next()).await.context("nothing was published")??;
                ensure!(channel == "galileo/events", "published on {channel}");
            }
            sink => {
                let what = format!("`{POD}` is seen behind `{sink}`");
                container.until(PATIENCE, &what, async |container| is_seen(stage, container, sink).await).await?;
            }
        }
    }
    let status = container.stop().await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn has_written(metrics: &str, sinks: &[&str]) -> bool {
    sinks.iter().all(|sink| {
        let row = format!("sluicebox_sink_written_total{{sink=\"{sink}\"}} ");
        metrics.lines().filter_map(|line| line.strip_prefix(&row)).any(|number| number.trim() != "0")
    })
}

/// The metrics that a dashboard shows and a page does not tell.
fn not_told<'a>(dashboard: &'a str, page: &str) -> Vec<&'a str> {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let names = dashboard.split(|letter| !is_word(letter)).filter(|word| word.starts_with("sluicebox_"));
    let names: BTreeSet<&str> = names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect();
    let told: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    names.into_iter().filter(|name| !told.contains(name)).collect()
}

/// Whether the pod stands where the sink writes, or its connection does.
async fn is_seen(stage: &Stage<'_>, container: &Container, sink: &str) -> Result<bool> {
    Ok(match sink {
        "terminal" => container.output()?.contains(POD),
        "kube-meta" => {
            let folder = container.mounted("/var/kube_meta").context("no folder for the files is mounted")?;
            let record = Filter::new(folder, Settings::default()).record(&log_file())?;
            record.is_some_and(|record| {
                ["pod_id", "host", "pod_ip", "container_hash", "container_image"].iter().all(|key| record.get(key).is_some())
            })
        }
        "scraped" => ask("127.0.0.1:9091", "/metrics").await.is_ok_and(|(_, page)| page.contains(&format!("name=\"{POD}\""))),
        "maps" => {
            let data =
                |name: &str| stage.cluster.ask(&["get", "configmap", name, "--namespace", "default", "-o", "jsonpath={.data}"]);
            data("transactions")?.contains("monotonic_sent_bytes") && data("metadata")?.contains(POD)
        }
        // The broker has acknowledged it.
        "kafka" => true,
        other => bail!("it is not known where `{other}` writes to"),
    })
}

/// As the kubelet names the log of the pod's container, and as Fluent Bit comes to know of it.
fn log_file() -> String {
    format!("{POD}_{POD_NAMESPACE}_main-0-{}.log", "a".repeat(64))
}

/// Takes one right after the other away: each is named, and nothing ends for it.
pub(super) async fn without_each_right(stage: &Stage<'_>, case: &Case, pod: &Pod, objects: &[Value]) -> Result<()> {
    for right in rights::all(objects) {
        for role in rights::without(objects, &right) {
            stage.cluster.replace(&role)?;
        }
        // It is created, and held, by whoever comes first.
        stage.cluster.ask(&["delete", "lease", "sluicebox", "--namespace", super::cluster::NAMESPACE, "--ignore-not-found"])?;
        without(stage, pod, objects, &right)
            .await
            .with_context(|| format!("without the right to {} {}", right.verb, right.resource))?;
        command::say(format!(
            "overlay {}: without the right to {} {} it names it and goes on",
            case.overlay, right.verb, right.resource
        ));
    }
    Ok(())
}

async fn without(stage: &Stage<'_>, pod: &Pod, objects: &[Value], right: &Right) -> Result<()> {
    let mut container = Container::start(stage, pod, objects).await?;
    let words = format!("cannot {} resource \"{}\"", right.verb, right.resource);
    container.until(PATIENCE, &words, async |container| Ok(container.log()?.contains(&words))).await?;
    let status = container.stop().await?;
    // 1 says that something accepted was not written, as it cannot be here.
    ensure!(matches!(status.code(), Some(0 | 1)), "it ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dashboard_shows_must_be_told() {
        let page = "# TYPE sluicebox_a_total counter\n# TYPE sluicebox_b_seconds histogram\n";
        let dashboard = "rate(sluicebox_a_total{job=~\"x\"}) sluicebox_b_seconds_bucket sluicebox_c";
        assert_eq!(not_told(dashboard, page), ["sluicebox_c"]);
    }

    #[test]
    fn a_sink_has_written_when_it_counts_something() {
        let metrics = "sluicebox_sink_written_total{sink=\"a\"} 0\nsluicebox_sink_written_total{sink=\"b\"} 3\n";
        assert!(has_written(metrics, &["b"]));
        assert!(!has_written(metrics, &["a", "b"]));
        assert!(!has_written("", &["b"]));
    }
}
