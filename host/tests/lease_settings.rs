//! When a lease is asked for and when not, and what changes of it while the program runs.

mod support;

use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use support::{PATIENCE, Place, pending, status, until};

fn parts(pods: &str, module: &str, rest: &str) -> String {
    format!(
        "{rest}sources: {{pods: {pods}, cgroups: {{kubernetes: false, when-unknown: path}}}}\n\
         modules: {{lines: {{use: json-lines, to: [out]{module}}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n"
    )
}

fn elsewhere(name: &str) -> Value {
    let mut pod = pending(name);
    pod["spec"]["nodeName"] = "n2".into();
    pod
}

fn asks_for_a_lease(api: &ApiServer) -> bool {
    api.requests().iter().any(|request| request.path.contains("/leases"))
}

#[tokio::test]
async fn one_collector_alone_asks_for_no_lease_when_it_is_told_so() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(&api.url(), &parts("{scope: cluster}", "", "lease: {enabled: false}\n"));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(elsewhere("web")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("\"web\""))).await.unwrap();
    assert!(!asks_for_a_lease(&api) && status(&program).await["lease"].is_null());
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_module_comes_to_work_for_the_cluster_and_goes_back_while_the_program_runs() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let own = "lease: {name: edge, namespace: shop}\n";
    let config = place.configure(&api.url(), &parts("{}", "", own));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("here")).unwrap();
    api.create_pod(elsewhere("there")).unwrap();
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("\"here\""))).await.unwrap();
    // Nothing works for the cluster: nobody asks, and nothing is shown.
    assert!(!asks_for_a_lease(&api) && status(&program).await["lease"].is_null());
    assert_eq!(program.metrics(&["sluicebox_lease_"]).await.unwrap(), Vec::<String>::new());
    assert!(!program.lines().iter().any(|line| line.contains("\"there\"")));

    place.reconfigure(&api.url(), &parts("{}", ", scope: cluster", own));
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.contains("\"there\""))).await.unwrap();
    let shown = status(&program).await["lease"].clone();
    assert_eq!((&shown["held"], &shown["namespace"], &shown["name"]), (&true.into(), &"shop".into(), &"edge".into()));
    let lease = api.get(Kind::Leases, "shop", "edge").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], shown["identity"]);
    assert_eq!(program.metric("sluicebox_lease_held", "").await.unwrap().to_string(), "1");

    place.reconfigure(&api.url(), &parts("{}", "", "lease: {name: edge, namespace: shop, duration: 20s}\n"));
    until(&program, "the lease is given back", async || {
        api.get(Kind::Leases, "shop", "edge").unwrap()["spec"].get("holderIdentity").is_none()
    })
    .await;
    assert_eq!(status(&program).await["configuration"]["needs-restart"], json!(["lease"]));
    assert!(status(&program).await["lease"].is_null());
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_collector_that_ends_gives_its_lease_back_when_everything_is_written() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(&api.url(), &parts("{scope: cluster}", "", ""));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    until(&program, "it holds the lease", async || program.metric("sluicebox_lease_held", "").await.unwrap() > 0.5).await;
    for number in 0..200 {
        api.create_pod(pending(&format!("p{number}"))).unwrap();
    }
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let lease = api.get(Kind::Leases, "default", "sluicebox").unwrap();
    assert_eq!((lease["spec"].get("holderIdentity"), &lease["spec"]["leaseTransitions"]), (None, &json!(0)));
    assert!(program.log().unwrap().contains("lease given back"));
}
