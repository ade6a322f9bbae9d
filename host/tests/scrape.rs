//! Without a Prometheus and without Kubernetes: a page like cAdvisor's, through the module that else is fed by a Prometheus.

mod support;

use serde_json::Value;
use sluicebox_testkit::http::{Answer, PageServer};
use support::{PATIENCE, Place, until};

/// Of two containers of a pod and of one that is no pod's, so many seconds after the first page.
fn page(second: u32) -> Answer {
    let at = 1_700_000_000_000_u64 + u64::from(second) * 1_000;
    let cpu = |container: &str, pod: &str, seconds: u32| {
        let labels = format!("container=\"{container}\",image=\"i\",namespace=\"default\",pod=\"{pod}\"");
        format!("container_cpu_usage_seconds_total{{{labels}}} {seconds} {at}\n")
    };
    let lines = [
        "# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.\n".to_owned(),
        "# TYPE container_cpu_usage_seconds_total counter\n".to_owned(),
        cpu("app", "web", 100 + second),
        cpu("sidecar", "web", second / 2),
        cpu("", "web", 100 + second + second / 2),
        cpu("app", "", second),
        "machine_cpu_cores 4\n".to_owned(),
    ];
    Answer::Report(lines.concat().into())
}

#[tokio::test]
async fn the_same_module_works_without_a_prometheus() {
    let server = PageServer::start(page(0)).await.unwrap();
    let place = Place::new();
    let rest = format!(
        "sources:\n  scrape:\n    targets:\n      cadvisor:\n        url: http://{}/metrics/cadvisor\n        period: 200ms\n        counters: rate\n\
         \x20       metrics: {{container_cpu_usage_seconds_total: {{drop: {{container: [\"\"], pod: [\"\"]}}, sum-by: [namespace, pod]}}}}\n\
         modules:\n  publisher: {{use: mape-kafka, settings: {{container-id-label: pod}}, to: [out]}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
        server.address()
    );
    // Nobody answers there, and nobody needs to.
    let config = place.configure("http://127.0.0.1:9", &rest);
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    until(&program, "two pages were read", async || server.requests().len() >= 2).await;
    server.answer(page(10));
    program.until_lines(PATIENCE, |lines| !lines.is_empty()).await.unwrap();
    let message: Value = serde_json::from_str(&program.lines()[0]).unwrap();
    assert_eq!(message["container_id"], "web");
    assert_eq!(message["metric_type"], "container_cpu_usage_seconds_total");
    assert_eq!(message["data"][0]["value"], "1.5");
    assert_eq!(message["data"][0]["timestamp"], "2023-11-14T22:13:30.000000Z");
    // While the times of the page stand still, nothing is told.
    let seen = server.requests().len();
    until(&program, "more pages were read", async || server.requests().len() >= seen + 3).await;
    assert_eq!(program.lines().len(), 1);
    assert_eq!(program.metric("sluicebox_source_connected", "scrape").await.unwrap().to_string(), "1");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
