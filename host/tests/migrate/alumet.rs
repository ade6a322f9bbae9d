//! Alumet's plugin k8s: the lines of its CSV file and its page for Prometheus, of cgroups whose files say what a test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sluicebox_testkit::kubelet::PodSpec;
use sluicebox_testkit::servers::{Need, require};

use crate::support::clock::of_day;
use crate::support::machine::{Machine, quoted};
use crate::support::prometheus::{complaints, free_address, page};
use crate::support::{PATIENCE, until};
use crate::{printed, start};

/// What its plugin takes from a token: three parts, and no end before the year 2100.
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2lnbmVk";
const HEADING: &str =
    "metric;timestamp;value;resource_kind;resource_id;consumer_kind;consumer_id;kind;name;namespace;node;uid;__late_attributes";

/// What that program told of files as [`Machine::pod`] fills them, in its order: the name in the file, that on the page, the value.
const GAUGES: [(&str, &str, &str); 11] = [
    ("memory_usage_B", "memory_usage_alumet_bytes", "52428800"),
    ("memory_max_B", "memory_max_alumet_bytes", "134217728"),
    ("cgroup_memory_swap_current_B", "cgroup_memory_swap_current_alumet_bytes", "0"),
    // `max` in the file.
    ("cgroup_memory_swap_max_B", "cgroup_memory_swap_max_alumet_bytes", "-1"),
    ("cgroup_memory_anonymous_B", "cgroup_memory_anonymous_alumet_bytes", "31457280"),
    ("cgroup_memory_file_B", "cgroup_memory_file_alumet_bytes", "16777216"),
    ("cgroup_memory_kernel_stack_B", "cgroup_memory_kernel_stack_alumet_bytes", "65536"),
    ("cgroup_memory_pagetables_B", "cgroup_memory_pagetables_alumet_bytes", "131072"),
    ("cgroup_slab_reclaimable_B", "cgroup_slab_reclaimable_alumet_bytes", "524288"),
    ("cgroup_pswpin", "cgroup_pswpin_alumet", "3"),
    ("cgroup_pswpout", "cgroup_pswpout_alumet", "12"),
];
const DELTAS: [&str; 4] = ["cpu_time_delta_ns", "cpu_percent_%", "io_pressure_some_total_μs", "io_pressure_full_total_μs"];

/// Within this many nanoseconds of the reading before, or within fewer, totals have no increase.
const SOON: u64 = 100_000_000;

/// A line of the file.
struct Row<'a> {
    metric: &'a str,
    timestamp: &'a str,
    value: &'a str,
    kind: &'a str,
}

fn toml(api: &str, token: &Path, csv: &Path, page: &str) -> String {
    let (host, port) = page.rsplit_once(':').unwrap();
    format!(
        "[plugins.k8s]\npoll_interval = \"200ms\"\ndisable_sources = false\nk8s_node = \"n1\"\nk8s_api_url = \"{api}\"\n\
         token_retrieval.file = {}\nannotate_foreign_measurements = false\nannotate_containers = false\n\
         [plugins.csv]\noutput_path = {}\n[plugins.prometheus-exporter]\nhost = \"{host}\"\nport = {port}\n",
        quoted(token),
        quoted(csv),
    )
}

#[tokio::test]
async fn what_is_printed_for_alumet_measures_what_its_plugin_did() {
    if !require(Need::Prometheus) {
        return;
    }
    let machine = Machine::new().await;
    machine.api.accept_tokens(&[TOKEN]);
    let pod = machine.pod(1, 1);
    let cgroup = machine.kubelet.path(&pod, None);
    let (token, csv, file) =
        (machine.place.path("token"), machine.place.path("out/alumet.csv"), machine.place.path("alumet.toml"));
    let address = free_address();
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::write(&file, toml(&machine.api.url(), &token, &csv, &address)).unwrap();
    swap(&machine, &cgroup);
    machine.uses(&cgroup, 2_500_000);
    let printed = printed(&["migrate", "alumet", "--config", file.to_str().unwrap()], &[]);
    // The cgroups of the test in place of the machine's own.
    let root = format!("cgroups: {{root: {}, ", quoted(machine.kubelet.root()));
    let mut program = start(&machine.place, &printed.replace("cgroups: {", &root)).await;
    let rows_of = |metric: &str| {
        let text = std::fs::read_to_string(&csv).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(&format!("{metric};"))).count()
    };
    until(&program, "the pod is measured", async || rows_of("memory_usage_B") >= 2).await;
    machine.uses(&cgroup, 2_500_000 + 60_000);
    machine.kubelet.set(&cgroup, "io.pressure", "some total=515\nfull avg10=0.00 total=400\n").unwrap();
    let before = rows_of("cpu_time_delta_ns");
    until(&program, "what was used is measured", async || rows_of("cpu_time_delta_ns") >= before + 3 * 3).await;
    let page = page(&address).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());

    compare_file(&std::fs::read_to_string(&csv).unwrap(), &pod, &cgroup);
    compare_page(&page, &pod, &cgroup);
    let lists = machine.api.requests().into_iter().filter(|request| request.path.ends_with("/pods"));
    assert!(lists.into_iter().all(|request| request.parameter("fieldSelector").as_deref() == Some("spec.nodeName=n1")));
}

/// Pages of memory that were written out and read again, of which the other files say nothing.
fn swap(machine: &Machine, cgroup: &str) {
    let path = &machine.kubelet.files(cgroup, "memory.stat")[0];
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, format!("{text}pswpin 3\npswpout 12\n")).unwrap();
}

fn compare_file(text: &str, pod: &PodSpec, cgroup: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADING));
    let mut ticks: BTreeMap<u64, Vec<Row<'_>>> = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split(';').collect();
        let [metric, timestamp, value, resource, resource_id, consumer, id, kind, name, namespace, node, uid, late] = *fields
        else {
            panic!("{line}")
        };
        let whose = [resource, resource_id, consumer, id.trim_start_matches('/'), name, namespace, node, uid, late];
        assert_eq!(whose, ["local_machine", "", "cgroup", cgroup, &pod.name, &pod.namespace, "n1", &pod.uid, ""], "{line}");
        assert!(id.starts_with('/'), "{line}");
        ticks.entry(of_day(timestamp)).or_default().push(Row { metric, timestamp, value, kind });
    }
    assert!(ticks.len() >= 4, "{} ticks", ticks.len());
    let mut used: BTreeMap<&str, f64> = BTreeMap::new();
    let mut counted = None;
    for (number, (at, tick)) in ticks.iter().enumerate() {
        // A pod is read when it is found, too: what follows at once says nothing of what was used, and the next one says it of both.
        let is_soon = counted.is_some_and(|before| at - before < SOON) && !has_deltas(tick);
        if !is_soon {
            counted = Some(*at);
        }
        let kinds: Vec<(&str, &str)> = tick.iter().map(|row| (row.metric, row.kind)).collect();
        assert_eq!(kinds, order(number == 0 || is_soon), "tick {number} at {}\n{text}", tick[0].timestamp);
        for row in tick {
            if let Some((_, _, value)) = GAUGES.iter().find(|(metric, ..)| *metric == row.metric) {
                assert_eq!(row.value, *value, "{}", row.metric);
            }
            *used.entry(if row.kind.is_empty() { row.metric } else { row.kind }).or_default() +=
                if row.metric.starts_with("cpu_percent") { 0.0 } else { row.value.parse::<f64>().unwrap() };
        }
    }
    // In nanoseconds, as it says; that program wrote microseconds under this unit.
    let sums = [("total", 60e6), ("system", 6e6), ("user", 54e6), (DELTAS[2], 15.0), (DELTAS[3], 0.0)];
    for (what, wanted) in sums {
        assert!((used[what] - wanted).abs() < 0.5, "{what}: {}", used[what]);
    }
    percentages(&ticks);
}

fn has_deltas(tick: &[Row<'_>]) -> bool {
    tick.iter().any(|row| row.metric == DELTAS[0])
}

/// What comes at a tick: with the first reading there are no deltas.
fn order(has_none_before: bool) -> Vec<(&'static str, &'static str)> {
    let kinds = ["total", "system", "user"].into_iter().flat_map(|kind| [(DELTAS[0], kind), (DELTAS[1], kind)]);
    let gauges = GAUGES.iter().map(|(metric, ..)| (*metric, ""));
    if has_none_before {
        return gauges.collect();
    }
    kinds.chain(gauges).chain([(DELTAS[2], ""), (DELTAS[3], "")]).collect()
}

/// A core that was used all the time is 100, as its README says.
fn percentages(ticks: &BTreeMap<u64, Vec<Row<'_>>>) {
    let mut compared = 0;
    let first = ticks.keys().next().into_iter();
    let later = ticks.iter().filter(|(_, tick)| has_deltas(tick)).map(|(at, _)| at);
    let times: Vec<u64> = first.chain(later).copied().collect();
    for two in times.windows(2) {
        let value = |metric: &str| {
            let row = ticks[&two[1]].iter().find(|row| row.metric == metric && row.kind == "total");
            row.map(|row| row.value.parse::<f64>().unwrap())
        };
        let (delta, percent) = (value(DELTAS[0]).unwrap(), value(DELTAS[1]).unwrap());
        #[allow(clippy::cast_precision_loss, reason = "a fraction of a second in nanoseconds")]
        let elapsed = (two[1] - two[0]) as f64;
        assert!((percent - delta / elapsed * 100.0).abs() < 0.5, "{percent} of {delta} in {elapsed}");
        compared += usize::from(percent > 0.0);
    }
    assert!(compared > 0, "nothing was used");
}

fn compare_page(page: &str, pod: &PodSpec, cgroup: &str) {
    assert!(!complaints(page).contains("error while"), "{}\n{page}", complaints(page));
    // Without `resource_id=""`: to Prometheus a label without a value is none.
    let labels = format!(
        "name=\"{}\",namespace=\"{}\",node=\"n1\",resource_consumer_id=\"/{cgroup}\",resource_consumer_kind=\"cgroup\",\
         resource_kind=\"local_machine\",uid=\"{}\"",
        pod.name, pod.namespace, pod.uid
    );
    for (_, metric, value) in GAUGES {
        let line = format!("{metric}{{{labels}}} {value}");
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let names: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    for metric in [
        "cpu_time_delta_alumet_nanoseconds gauge",
        "cpu_percent_alumet_ratio gauge",
        "io_pressure_some_total_alumet_microseconds gauge",
        "io_pressure_full_total_alumet_microseconds gauge",
    ] {
        assert!(names.contains(metric), "{metric}\n{page}");
    }
    assert_eq!(names.len(), GAUGES.len() + 4, "nothing else is there: {names:?}");
    let total = format!("cpu_time_delta_alumet_nanoseconds{{kind=\"total\",{labels}}} ");
    assert!(page.lines().any(|line| line.starts_with(&total)), "{total}\n{page}");
}
