//! A collector whose sink has a store, and `sluicebox store`.

use std::path::{Path, PathBuf};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;

use super::{PATIENCE, Place, pending, sluicebox, until};

/// One sink that writes each pod's events to Redis, with this store.
pub fn rest(redis: &str, store: &str) -> String {
    format!(
        "sources: {{pods: {{}}}}\nmodules: {{lines: {{use: json-lines, settings: {{channel: c}}, to: [out]}}}}\n\
         sinks: {{out: {{redis: {{url: \"{redis}\"}}, {store}}}}}\nshutdown-grace: 4s\n"
    )
}

pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

pub fn store(state: &Path, arguments: &[&str]) -> Said {
    let mut all = vec!["store", "--state-directory", state.to_str().unwrap()];
    all.extend(arguments);
    let output = sluicebox(&all);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

pub async fn metric(program: &Program, name: &str) -> f64 {
    program.metric(name, "sink=\"out\"").await.unwrap()
}

/// What went in is written, refused, dropped or held, by the program's own numbers.
pub async fn balances(program: &Program) {
    let lines = program.metrics(&["sluicebox_sink_"]).await.unwrap();
    let sum = |name: &str| -> f64 {
        let of = |line: &&String| line.starts_with(name) && !line[name.len()..].starts_with('_');
        lines.iter().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let gone_in = sum("sluicebox_sink_entries_total") + sum("sluicebox_sink_store_recovered_entries_total");
    let out = sum("sluicebox_sink_written_total") + sum("sluicebox_sink_refused_total");
    let rest = sum("sluicebox_sink_dropped_entries_total") + sum("sluicebox_sink_held_entries");
    assert!((gone_in - out - rest).abs() < 0.5, "{lines:#?}");
}

/// A collector whose sink is away: so many pods have come, and it has been stopped.
pub async fn left_behind(place: &Place, pods: usize, store: &str) -> (ApiServer, PathBuf) {
    let api = ApiServer::start().await.unwrap();
    let config = place.configure(&api.url(), &rest("redis://127.0.0.1:1", store));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..pods {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
        if number == 0 {
            // A record of its own.
            until(&program, "the first is held", async || metric(&program, "sluicebox_sink_held_entries").await >= 1.0).await;
        }
    }
    let wanted = u32::try_from(pods).map(f64::from).unwrap();
    until(&program, "all is held", async || metric(&program, "sluicebox_sink_held_entries").await >= wanted).await;
    balances(&program).await;
    let status = program.stop(PATIENCE).await.unwrap();
    let log = program.log().unwrap();
    assert!(status.success(), "nothing is lost:\n{log}");
    assert!(log.contains("entries stay in the store") && log.contains(&format!("\"entries\":{pods}")), "{log}");
    (api, config)
}
