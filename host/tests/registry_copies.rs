//! Of what a registry had, the version that was accepted stays on the disk, whatever comes after it and is refused.

mod support;

use std::collections::BTreeMap;
use std::fs;

use sluicebox::trust::keys::PrivateKey;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{Need, RegistryOptions, require};
use sluicebox_wasm::digest;
use support::pulls::{Bench, logged, signed, trusting, until_refused, until_runs, versions};
use support::{PATIENCE, digest_in, until};

/// The program with what is demanded of its module.
async fn run(bench: &Bench, demands: &str) -> Program {
    let config = bench.place.configure(&bench.api.url(), &(Bench::rest(&bench.named(":v1"), "{}") + demands));
    let mut program = bench.place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    program
}

/// A collector that demands signatures by this key.
struct Begun {
    bench: Bench,
    key: PrivateKey,
    demands: String,
    program: Program,
}

/// Runs this version, which is signed.
async fn begin(one: &[u8]) -> Begun {
    let key = PrivateKey::generate().unwrap();
    let demands = trusting(&key);
    let bench = Bench::new(RegistryOptions::default()).await;
    bench.push_with(":v1", one, signed(&key, one)).await;
    let program = run(&bench, &demands).await;
    until_runs(&program, one).await;
    Begun { bench, key, demands, program }
}

/// Kills the registry and the program at once, and starts the program again.
async fn again_without_registry(bench: &mut Bench, program: Program, demands: &str) -> Program {
    bench.registry.kill();
    drop(program);
    run(bench, demands).await
}

const BEFORE: &str = "what the registry has is bad: the version before takes its place";

#[tokio::test]
async fn a_version_that_is_refused_does_not_take_the_place_of_the_copy_that_runs() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let Begun { mut bench, key, demands, program } = begin(&one).await;
    bench.push(":v1", &two).await;
    until_refused(&program, &["verifying the component", "there is no annotation"]).await;
    let program = again_without_registry(&mut bench, program, &demands).await;
    until_runs(&program, &one).await;
    assert!(logged(&program, &[BEFORE, "there is no annotation"]), "{}", program.log().unwrap());
    bench.sees(&program, "pod-0").await;
    until_refused(&program, &["verifying the component"]).await;
    // Once more, with the registry and the bad version in it.
    drop(program);
    bench.registry.restart().await.unwrap();
    let program = run(&bench, &demands).await;
    until_runs(&program, &one).await;
    until_refused(&program, &["verifying the component"]).await;
    bench.push_with(":v1", &two, signed(&key, &two)).await;
    until_runs(&program, &two).await;
    bench.sees(&program, "pod-1").await;
    // From now on that is what serves.
    let program = again_without_registry(&mut bench, program, &demands).await;
    until_runs(&program, &two).await;
    assert!(!logged(&program, &[BEFORE]), "{}", program.log().unwrap());
}

#[tokio::test]
async fn what_does_not_load_or_start_leaves_the_copy_as_well() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let asking = wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.0" (instance (export "get" (func)))))"#).unwrap();
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let mut program = run(&bench, "").await;
    for (bad, words) in [(asking.as_slice(), "it imports wasi:sockets"), (&one[..one.len() / 2], "loading the component")] {
        until_runs(&program, &one).await;
        bench.push(":v1", bad).await;
        until_refused(&program, &[words]).await;
        program = again_without_registry(&mut bench, program, "").await;
        until_runs(&program, &one).await;
        until_refused(&program, &[words]).await;
        bench.registry.restart().await.unwrap();
    }
}

#[tokio::test]
async fn a_version_that_is_pushed_again_without_its_signature_leaves_the_copy_with_it() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let Begun { mut bench, demands, mut program, .. } = begin(&one).await;
    bench.push_with(":v1", &one, BTreeMap::from([("say".to_owned(), "no signature".to_owned())])).await;
    until_refused(&program, &["there is no annotation"]).await;
    for _ in 0..2 {
        program = again_without_registry(&mut bench, program, &demands).await;
        until_runs(&program, &one).await;
        until(&program, "the reason is told", async || logged(&program, &[BEFORE])).await;
    }
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
}

#[tokio::test]
async fn a_damaged_copy_of_a_new_version_is_not_in_the_way_of_the_one_before() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let Begun { mut bench, demands, program, .. } = begin(&one).await;
    bench.push(":v1", &two).await;
    until_refused(&program, &["there is no annotation"]).await;
    fs::write(bench.place.path("state/pulled").join(format!("{}.wasm", digest(&two))), "damaged").unwrap();
    let program = again_without_registry(&mut bench, program, &demands).await;
    until_runs(&program, &one).await;
    bench.sees(&program, "pod-0").await;
}
