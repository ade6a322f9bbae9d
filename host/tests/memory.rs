//! A flood of more than ten times what the sinks take: all queues together hold no more than `memory.queues` says, and the program no more than
//! that and a constant.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use sluicebox_testkit::api_server::{ApiServer, Kind};
use sluicebox_testkit::http::{Answer, PageServer};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, require};
use support::{PATIENCE, Place, SLOW, pending, replace, until};

const MIB: u64 = 1 << 20;
/// What the program takes at most beside its queues and the memory of its modules: a page with the series of it, what four lanes hand over and
/// are handed, the buffers of four connections, and what lies between the pieces.
const BESIDE: u64 = 32 * MIB;
const LANES: usize = 4;
const FLOOD: Duration = Duration::from_secs(20);

/// So many series for each of 20 metrics.
fn page(series: usize) -> Answer {
    let mut text = String::new();
    for metric in 0..20 {
        for number in 0..series {
            writeln!(text, "flood_{metric}{{namespace=\"default\",pod=\"web-{number}\",container=\"app\"}} {number}").unwrap();
        }
    }
    Answer::Report(text.into_bytes())
}

/// The most that the program has held, and what it holds.
fn resident(program: &Program) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    (kilobytes("VmHWM:"), kilobytes("VmRSS:"))
}

/// The sum of the rows of a metric whose labels hold this.
async fn sum(program: &Program, name: &str, label: &str) -> u64 {
    let rows = program.metrics(&[name]).await.unwrap();
    let values = rows.iter().filter(|row| row.contains(label)).filter_map(|row| row.rsplit(' ').next()?.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes and events")]
    let values = values.map(|value| value as u64);
    values.sum()
}

/// What was seen of a flood.
#[derive(Debug)]
struct Seen {
    /// The most bytes that the queues held together.
    held: u64,
    /// By how many bytes the program grew at most.
    grown: u64,
    /// Of these, by how many its modules did.
    modules: u64,
    /// Events that came, and those of which the sinks took the entries or their queues had room for them.
    events: (u64, u64),
}

async fn flood(queues: u64) -> Seen {
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let server = PageServer::start(page(5)).await.unwrap();
    let place = Place::new();
    let lane = |lane: usize| format!("  m{lane}: {{use: json-lines, to: [s{lane}], limits: {{cpu: 2}}}}\n");
    let sink = |lane: usize| format!("  s{lane}: {{redis: {{url: \"{}\", channel: flood}}}}\n", redis.url());
    let rest = format!(
        "memory: {{queues: {queues}MiB}}\nsources: {{scrape: {{targets: {{flood: {{url: \"http://{}/\", period: 100ms}}}}}}}}\n\
         modules:\n{}sinks:\n{}",
        server.address(),
        (0..LANES).map(lane).collect::<Vec<_>>().concat(),
        (0..LANES).map(sink).collect::<Vec<_>>().concat(),
    );
    let mut program = place.run(&place.configure("http://127.0.0.1:9", &rest));
    program.until_ready(SLOW).await.unwrap();
    let metric = async |name: &str, label: &str| sum(&program, name, label).await;
    until(&program, "the lanes have worked", async || metric("sluicebox_sink_written_total", "").await > 1000).await;
    let (_, idle) = resident(&program);
    let modules = metric("sluicebox_lane_memory_bytes", "").await;
    let events = async || {
        (metric("sluicebox_lane_offered_events_total", "").await, metric("sluicebox_lane_fates_total", "fate=\"shaped\"").await)
    };
    let before = events().await;
    redis.pause();
    server.answer(page(500));
    let (begin, mut held) = (Instant::now(), 0);
    for round in 1.. {
        held = held.max(metric("sluicebox_queue_held_bytes", "").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        // A little goes on.
        if round % 50 == 0 {
            redis.resume();
            tokio::time::sleep(Duration::from_millis(20)).await;
            redis.pause();
        }
        // On a busy machine it takes longer until the first entries, which fill the queues, are few among all.
        let (came, shaped) = events().await;
        if begin.elapsed() > FLOOD && came - before.0 >= 11 * (shaped - before.1) || begin.elapsed() > 6 * FLOOD {
            break;
        }
    }
    let after = events().await;
    let (peak, _) = resident(&program);
    let modules = metric("sluicebox_lane_memory_bytes", "").await.saturating_sub(modules);
    redis.resume();
    server.answer(Answer::Silence);
    let nothing_is_held =
        async || metric("sluicebox_lane_held_events", "").await == 0 && metric("sluicebox_queue_held_bytes", "").await == 0;
    until(&program, "nothing is held", nothing_is_held).await;
    // What comes between two looks at a page is seen by the second alone; in the end nothing more comes.
    for lane in 0..LANES {
        let lane = format!("lane=\"m{lane}\"");
        until(&program, &format!("what was offered has its fate: {lane}"), async || {
            let came = metric("sluicebox_lane_offered_events_total", &lane).await;
            let divided = metric("sluicebox_lane_divided_events_total", &lane).await;
            came + divided == metric("sluicebox_lane_fates_total", &lane).await
        })
        .await;
    }
    until(&program, "entries made, and written, refused or wanted by nobody", async || {
        let (entries, unwanted) =
            (metric("sluicebox_lane_entries_total", "").await, metric("sluicebox_lane_unwanted_entries_total", "").await);
        let written = metric("sluicebox_sink_written_total", "").await + metric("sluicebox_sink_refused_total", "").await;
        entries == written + unwanted
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
    Seen { held, grown: peak.saturating_sub(idle), modules, events: (after.0 - before.0, after.1 - before.1) }
}

#[tokio::test]
async fn under_a_flood_the_program_takes_what_its_queues_may_hold_and_no_more_than_a_constant_besides() {
    if !require(Need::Redis) {
        return;
    }
    let (few, many) = (8 * MIB, 48 * MIB);
    let (small, large) = (flood(few / MIB).await, flood(many / MIB).await);
    println!("{few} bytes: {small:?}\n{many} bytes: {large:?}");
    for (queues, seen) in [(few, &small), (many, &large)] {
        assert!(seen.held <= queues, "{queues} bytes: {seen:?}");
        assert!(seen.grown <= queues + seen.modules + BESIDE, "{queues} bytes: {seen:?}");
        assert!(seen.events.0 >= 10 * seen.events.1, "no flood: {seen:?}");
    }
    // What may be held is held, and is what the program grows by.
    assert!(small.held >= few * 3 / 4 && large.held >= many * 3 / 4, "{small:?} {large:?}");
    let more = (large.grown - large.modules).saturating_sub(small.grown - small.modules);
    assert!(more >= (large.held - small.held) / 2, "{small:?} {large:?}");
}

#[tokio::test]
async fn what_is_too_large_for_a_store_does_not_stay_in_memory_while_a_write_hangs() {
    if !require(Need::Redis) {
        return;
    }
    let (redis, api) = (RedisServer::start(RedisOptions::default()).await.unwrap(), ApiServer::start().await.unwrap());
    let place = Place::new();
    let queues = 8 * MIB;
    let rest = format!(
        "memory: {{queues: 8MiB}}\nsources: {{pods: {{}}}}\nmodules: {{lines: {{use: json-lines, to: [out]}}}}\n\
         sinks: {{out: {{redis: {{url: \"{}\", channel: c}}, write-deadline: 5m, store: {{bytes: 1MiB}}}}}}\nshutdown-grace: 2s\n",
        redis.url()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_ready(SLOW).await.unwrap();
    let metric = async |name: &str, label: &str| sum(&program, name, label).await;
    api.create_pod(pending("web")).unwrap();
    until(&program, "the lane has worked", async || metric("sluicebox_sink_written_total", "").await >= 1).await;
    let (_, idle) = resident(&program);
    redis.pause();
    // Larger than a quarter of the store, and many times what may be held.
    let changes = 220;
    let filler = "x".repeat(300 << 10);
    for number in 0..changes {
        let patch = json!({"metadata": {"annotations": {"filler": format!("{number} {filler}")}}});
        api.patch(Kind::Pods, "shop", "web", &patch).unwrap();
        let handed = async || metric("sluicebox_sink_entries_total", "").await + 4 > number;
        until(&program, "the change is handed on", handed).await;
    }
    let too_large = async || metric("sluicebox_sink_dropped_entries_total", "reason=\"store-too-large\"").await;
    until(&program, "what is too large is dealt with", async || too_large().await > changes / 2).await;
    let (peak, _) = resident(&program);
    let modules = metric("sluicebox_lane_memory_bytes", "").await;
    println!("{changes} changes of 300 KiB: grown by {}, of which modules hold {modules}", peak.saturating_sub(idle));
    assert!(peak.saturating_sub(idle) <= queues + modules + BESIDE, "{peak} bytes, {idle} idle, modules {modules}");
    redis.resume();
    let _late = program.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_the_queues_may_hold_together_stays_the_same_while_lanes_come_and_go() {
    let server = PageServer::start(page(5)).await.unwrap();
    let place = Place::new();
    let queues = 4 * MIB;
    let with = |lanes: &[&str]| {
        let lanes = lanes.iter().map(|lane| format!("  {lane}: {{use: json-lines, to: [out]}}\n")).collect::<Vec<_>>().concat();
        let url = server.address();
        format!(
            "memory: {{queues: 4MiB}}\nsources: {{scrape: {{targets: {{page: {{url: \"http://{url}/\", period: 100ms}}}}}}}}\n\
             modules:\n{lanes}sinks: {{out: {{stdout: {{}}}}}}\n"
        )
    };
    let change = |lanes: &[&str]| {
        let text = place.configuration("http://127.0.0.1:9", &with(lanes));
        replace(&place.path("sluicebox.yaml"), text.as_bytes());
    };
    let mut program = place.run(&place.configure("http://127.0.0.1:9", &with(&["a"])));
    program.until_ready(SLOW).await.unwrap();
    let most = async |label: &str| sum(&program, "sluicebox_queue_most_bytes", label).await;
    let has_shares = async |lanes: u64| {
        let all = most("").await;
        assert!(all <= queues, "{all} bytes may be held");
        let (found, one) = (most("lane=").await, most("lane=\"a\"").await);
        all + 64 > queues && found.abs_diff(lanes * one) < 64
    };
    until(&program, "the lane has what the sink leaves it", async || has_shares(1).await).await;
    let alone = most("lane=\"a\"").await;
    change(&["a", "b", "c"]);
    until(&program, "three lanes share it", async || has_shares(3).await).await;
    let together = most("lane=\"a\"").await;
    assert!(together < alone && together >= 256 << 10, "{alone} bytes alone, {together} together");
    change(&["a"]);
    until(&program, "the lane has its own again", async || has_shares(1).await && most("lane=\"a\"").await == alone).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
