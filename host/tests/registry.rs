//! Modules of a real registry: by tag and by digest, with the registry away at the start and later, and with what is not what it is called.

mod support;

use std::fs;
use std::time::Duration;

use sluicebox::trust::keys::PrivateKey;
use sluicebox_registry::Config;
use sluicebox_testkit::servers::{Need, REGISTRY_USER, RegistryOptions, require};
use sluicebox_wasm::digest;
use support::pulls::{Bench, logged, signed, trusting, until_refused, until_runs, versions};
use support::{PATIENCE, digest_in, module, sluicebox, status_of, until, version_of};

#[tokio::test]
async fn a_module_is_pulled_by_its_tag_and_what_the_tag_comes_to_mean_takes_its_place() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let mut program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    bench.sees(&program, "pod-before").await;
    bench.push(":v1", &two).await;
    until_runs(&program, &two).await;
    bench.sees(&program, "pod-after").await;
    let module = format!("module=\"{}\"", bench.named(":v1"));
    let taken = format!("{module},result=\"taken\"");
    assert_eq!(program.metric("sluicebox_pulls_total", &taken).await.unwrap().to_string(), "2");
    assert_eq!(program.metric("sluicebox_pull_connected", &module).await.unwrap().to_string(), "1");
    assert_eq!(status_of(&program, "lines").await["swapped"], 1);
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let told = program.lines().iter().filter(|line| line.contains("pod-before")).count();
    assert_eq!(told, 1, "nothing is lost or told twice by the swap");
}

#[tokio::test]
async fn a_module_that_is_named_by_its_digest_stays_whatever_becomes_of_the_tag() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let bench = Bench::new(RegistryOptions::default()).await;
    let digest = bench.push(":v1", &one).await;
    let named = bench.named(&format!("@{digest}"));
    let program = bench.run(&named).await;
    until_runs(&program, &one).await;
    bench.push(":v1", &two).await;
    bench.sees(&program, "pod-0").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(digest_in(&program, "lines").await, sluicebox_wasm::digest(&one));
    let pulls = program.metrics(&["sluicebox_pulls_total"]).await.unwrap();
    assert!(pulls.iter().any(|line| line.contains("taken") && line.ends_with(" 1")), "{pulls:?}");
}

#[tokio::test]
async fn a_start_goes_on_with_the_copy_while_the_registry_is_away() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let mut program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    bench.registry.kill();
    let program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    assert!(logged(&program, &["the copy on the disk serves", "pulled_ago"]), "{}", program.log().unwrap());
    bench.sees(&program, "pod-0").await;
    // What the tag has come to mean meanwhile is taken when the registry is back.
    bench.registry.restart().await.unwrap();
    bench.push(":v1", &two).await;
    until_runs(&program, &two).await;
}

#[tokio::test]
async fn without_a_copy_a_lane_waits_for_the_registry_and_says_so() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    bench.registry.kill();
    let program = bench.run(&bench.named(":v1")).await;
    until(&program, "the lane does not run", async || {
        let status = status_of(&program, "lines").await;
        status["state"] == "not-running" && status["failure"].to_string().contains("it cannot be pulled")
    })
    .await;
    let (ready, said) = program.get("/readyz").await.unwrap();
    assert!(!ready && said.contains("cannot be pulled"), "{said}");
    assert!(logged(&program, &["a registry does not answer: there is no copy, and what needs it waits"]));
    assert!(!logged(&program, &["what runs goes on"]), "{}", program.log().unwrap());
    bench.registry.restart().await.unwrap();
    until_runs(&program, &one).await;
    bench.sees(&program, "pod-0").await;
}

#[tokio::test]
async fn what_runs_goes_on_while_the_registry_is_away_or_answers_nobody() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    bench.registry.kill();
    until(&program, "it is noticed", async || logged(&program, &["a registry does not answer: what runs goes on"])).await;
    bench.sees(&program, "pod-0").await;
    assert_eq!(status_of(&program, "lines").await["refused"], serde_json::Value::Null);
    assert_eq!(program.metric("sluicebox_pull_connected", "").await.unwrap().to_string(), "0");
    bench.registry.restart().await.unwrap();
    until(&program, "it answers again", async || logged(&program, &["the registry answers again"])).await;
    bench.push(":v1", &two).await;
    until_runs(&program, &two).await;
}

#[tokio::test]
async fn a_component_that_is_not_what_its_digest_says_is_refused_while_the_old_one_goes_on() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    // Somebody has changed the second version where it lies.
    bench.push(":next", &two).await;
    bench.registry.falsify(&digest(&two), &version_of(&one, "bad")).unwrap();
    bench.registry.restart().await.unwrap();
    retag(&bench, &two).await;
    until_refused(&program, &["pulling the component", "digest"]).await;
    bench.sees(&program, "pod-0").await;
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
    assert!(logged(&program, &["new version refused", "\"old_goes_on\":true"]), "{}", program.log().unwrap());
    assert!(program.metric("sluicebox_pulls_total", "refused").await.unwrap() >= 1.0);
    // It is put right.
    bench.registry.falsify(&digest(&two), &two).unwrap();
    bench.registry.restart().await.unwrap();
    until_runs(&program, &two).await;
    assert_eq!(status_of(&program, "lines").await["refused"], serde_json::Value::Null);
}

/// Pushes the manifest of a component whose layer is there already.
async fn retag(bench: &Bench, component: &[u8]) {
    bench.push(":v1", component).await;
}

#[tokio::test]
async fn what_is_no_module_is_refused_while_the_old_one_goes_on() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let bench = Bench::new(RegistryOptions::default()).await;
    bench.push(":v1", &one).await;
    let program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    bench.push(":v1", b"no component").await;
    until_refused(&program, &["loading the component"]).await;
    bench.sees(&program, "pod-0").await;
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
    bench.push(":v1", &one).await;
    until(&program, "it is wanted again", async || status_of(&program, "lines").await["refused"].is_null()).await;
}

#[tokio::test]
async fn a_registry_with_tls_and_a_password_lets_in_whom_it_knows() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let bench = Bench::new(RegistryOptions { tls: true, password: true }).await;
    bench.push(":v1", &one).await;
    let nobody = Config { username: None, password_file: None, ..bench.said.clone() };
    let registries = serde_json::json!({ bench.registry.host(): nobody }).to_string();
    let mut program = bench.run_with(&bench.named(":v1"), &registries).await;
    until(&program, "nobody is let in", async || status_of(&program, "lines").await["failure"].to_string().contains("401")).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    let stranger = Config { ca_file: None, ..bench.said.clone() };
    let registries = serde_json::json!({ bench.registry.host(): stranger }).to_string();
    let mut program = bench.run_with(&bench.named(":v1"), &registries).await;
    until(&program, "a stranger is not believed", async || {
        status_of(&program, "lines").await["failure"].to_string().contains("certificate")
    })
    .await;
    assert!(program.stop(PATIENCE).await.unwrap().success());

    let program = bench.run(&bench.named(":v1")).await;
    until_runs(&program, &one).await;
    bench.sees(&program, "pod-0").await;
    // A wrong password is told, and what runs goes on.
    fs::write(bench.place.path("password"), "wrong").unwrap();
    until_refused(&program, &["pulling the component", "401"]).await;
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
    fs::write(bench.place.path("password"), REGISTRY_USER.1).unwrap();
    until(&program, "it is let in again", async || status_of(&program, "lines").await["refused"].is_null()).await;
}

#[tokio::test]
async fn a_module_of_a_registry_must_be_signed_and_pinned_as_any_other() {
    if !require(Need::Registry) {
        return;
    }
    let [one, two] = versions();
    let key = PrivateKey::generate().unwrap();
    let bench = Bench::new(RegistryOptions::default()).await;
    bench.push_with(":v1", &one, signed(&key, &one)).await;
    let lane = format!("use: \"{}\", to: [out]", bench.named(":v1"));
    let rest = Bench::rest(&bench.named(":v1"), "{}") + &trusting(&key);
    let config = bench.place.configure(&bench.api.url(), &rest);
    let mut program = bench.place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    until_runs(&program, &one).await;
    bench.push(":v1", &two).await;
    let words = ["verifying the component", "there is no annotation `sluicebox.signature`", "`sluicebox module push FILE` takes"];
    until_refused(&program, &words).await;
    bench.push_with(":v1", &two, signed(&PrivateKey::generate().unwrap(), &two)).await;
    until_refused(&program, &["verifying the component", "does not fit it"]).await;
    bench.sees(&program, "pod-0").await;
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
    bench.push_with(":v1", &two, signed(&key, &two)).await;
    until_runs(&program, &two).await;
    until(&program, "nothing is refused any more", async || status_of(&program, "lines").await["refused"].is_null()).await;
    // Pinned to what is not there, the next one is refused.
    bench.place.reconfigure(&bench.api.url(), &rest.replace(&lane, &format!("{lane}, sha256: {}", digest(&two))));
    until(&program, "the configuration is read", async || logged(&program, &["configuration read again"])).await;
    bench.push_with(":v1", &one, signed(&key, &one)).await;
    until_refused(&program, &["verifying the component", "the configuration pins"]).await;
    assert_eq!(digest_in(&program, "lines").await, digest(&two));
}

#[tokio::test]
async fn a_damaged_copy_is_pulled_again() {
    if !require(Need::Registry) {
        return;
    }
    let [one, _] = versions();
    let bench = Bench::new(RegistryOptions::default()).await;
    let named = bench.named(&format!("@{}", bench.push(":v1", &one).await));
    let mut program = bench.run(&named).await;
    until_runs(&program, &one).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let copy = bench.place.path("state/pulled").join(format!("{}.wasm", digest(&one)));
    let mut bytes = fs::read(&copy).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&copy, bytes).unwrap();
    let program = bench.run(&named).await;
    until_runs(&program, &one).await;
    assert!(logged(&program, &["the copy is of no use: it is pulled again"]), "{}", program.log().unwrap());
    assert_eq!(fs::read(&copy).unwrap(), one);
}

#[tokio::test]
async fn an_author_pushes_a_module_and_whoever_is_given_its_name_looks_at_it() {
    if !require(Need::Registry) {
        return;
    }
    let bench = Bench::new(RegistryOptions::default()).await;
    let file = module("json-lines");
    let pushed = sluicebox(&["module", "push", file.to_str().unwrap(), &bench.named(":v1")]);
    let (name, said) = (text(&pushed.stdout), text(&pushed.stderr));
    assert!(pushed.status.success() && name.starts_with(&bench.named("@sha256:")), "{name}{said}");
    for name in [name.trim(), &bench.named(":v1")] {
        let shown = sluicebox(&["module", "inspect", name]);
        let page = text(&shown.stdout);
        assert!(shown.status.success() && page.contains(&digest(&fs::read(&file).unwrap())), "{page}{}", text(&shown.stderr));
        assert!(page.contains("  signature none: there is no annotation `sluicebox.signature` of its manifest\n"), "{page}");
    }
    let signed = bench.place.path("signed.wasm");
    fs::copy(&file, &signed).unwrap();
    fs::write(bench.place.path("signed.wasm.sig"), [7; 64]).unwrap();
    let pushed = sluicebox(&["module", "push", signed.to_str().unwrap(), &bench.named(":signed")]);
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    let page = text(&sluicebox(&["module", "inspect", &bench.named(":signed")]).stdout);
    assert!(page.contains("  signature annotation `sluicebox.signature` of its manifest; a collector whose"), "{page}");
    // The same component is the same module, whoever pushes it.
    let again = sluicebox(&["module", "push", file.to_str().unwrap(), &bench.named(":v2")]);
    assert_eq!(text(&again.stdout), name);
    let absent = sluicebox(&["module", "inspect", &bench.named(":v3")]);
    let said = text(&absent.stderr);
    assert!(absent.status.code() == Some(2) && said.contains("it cannot be pulled: the registry has no such module"), "{said}");
    let none = bench.place.path("none.wasm");
    fs::write(&none, "no component").unwrap();
    let refused = sluicebox(&["module", "push", none.to_str().unwrap(), &bench.named(":v4")]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn whoever_looks_at_a_module_while_its_registry_is_away_is_told_so() {
    if !require(Need::Registry) {
        return;
    }
    let mut bench = Bench::new(RegistryOptions::default()).await;
    bench.registry.kill();
    for command in
        [vec!["inspect", &bench.named(":v1")], vec!["push", module("json-lines").to_str().unwrap(), &bench.named(":v1")]]
    {
        let output = sluicebox(&[vec!["module"], command].concat());
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains("hint: is the registry up, and can it be reached from here?"),
            "{said}"
        );
        assert!(!said.contains("asked again"), "{said}");
    }
}

#[tokio::test]
async fn a_configuration_is_checked_without_asking_a_registry() {
    if !require(Need::Registry) {
        return;
    }
    let bench = Bench::new(RegistryOptions::default()).await;
    let config = bench.place.configure("http://127.0.0.1:1", &Bench::rest(&bench.named(":v1"), "{}"));
    let checked = sluicebox(&["check", config.to_str().unwrap()]);
    let said = text(&checked.stdout);
    assert!(checked.status.success() && said.contains("the module of `lines` was not tried"), "{said}{}", text(&checked.stderr));
    assert!(!bench.place.path("state").exists(), "nothing is written");
    let config = bench.place.configure("http://127.0.0.1:1", &Bench::rest("oci://lines:v1", "{}"));
    let checked = sluicebox(&["check", config.to_str().unwrap()]);
    let said = text(&checked.stderr);
    assert!(checked.status.code() == Some(2) && said.contains("`modules.lines.use`: `oci://lines:v1` names no module"), "{said}");
    let registries = r#"{"ghcr.io": {"plain-http": true, "username": "me", "password-file": "/p"}}"#;
    let config = bench.place.configure("http://127.0.0.1:1", &Bench::rest(&bench.named(":v1"), registries));
    let checked = sluicebox(&["check", config.to_str().unwrap()]);
    let said = text(&checked.stderr);
    assert!(checked.status.code() == Some(2) && said.contains("the password could be read on its way"), "{said}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
