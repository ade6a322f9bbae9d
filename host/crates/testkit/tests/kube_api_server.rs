//! The test kit's kube-apiserver is a real one: pods, rights, tokens and expired versions as in a cluster.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sluicebox_testkit::servers::{KubeApiServer, Need, pod, require};

/// One server for all, since it takes seconds to start.
#[tokio::test]
async fn a_real_api_server_does_what_tests_need() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let mut server = KubeApiServer::start().await.unwrap();
    pods_come_and_go(&server).await;
    tokens_have_rights(&server).await;
    old_versions_expire(&mut server).await;
}

async fn pods_come_and_go(server: &KubeApiServer) {
    server.create_namespace("shop").await.unwrap();
    let pods: Vec<Value> = (0..500).map(|number| pod("shop", &format!("web-{number}"), "node-1")).collect();
    server.create_pods(&pods).await.unwrap();
    server.patch_status("shop", "web-7", &json!({ "phase": "Running", "podIP": "10.1.2.3" })).await.unwrap();
    server.patch_pod("shop", "web-7", &json!({ "metadata": { "labels": { "a": "b" } } })).await.unwrap();
    let seen = server.get_pod("shop", "web-7").await.unwrap();
    assert_eq!(seen.pointer("/status/podIP").unwrap(), "10.1.2.3");
    assert_eq!(seen.pointer("/metadata/labels/a").unwrap(), "b");

    server.delete_pod("shop", "web-7").await.unwrap();
    let gone = server.get_pod("shop", "web-7").await.unwrap_err();
    assert!(format!("{gone:#}").contains("404"), "{gone:#}");

    server.begin_deletion("shop", "web-8", 300).await.unwrap();
    let dying = server.get_pod("shop", "web-8").await.unwrap();
    assert!(dying.pointer("/metadata/deletionTimestamp").is_some());
}

async fn tokens_have_rights(server: &KubeApiServer) {
    let path = "/api/v1/pods?limit=1";
    let status = async |token: &str| server.status_for(token, path).await.unwrap();
    assert_eq!(status(server.admin_token()).await, StatusCode::OK);
    assert_eq!(status(server.unprivileged_token()).await, StatusCode::FORBIDDEN);
    assert_eq!(status("unheard-of").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("").await, StatusCode::UNAUTHORIZED);

    server.create_service_account("shop", "edge").await.unwrap();
    let token = server.mint_token("shop", "edge").await.unwrap();
    assert_eq!(status(&token).await, StatusCode::FORBIDDEN);
    server.let_service_account_watch("shop", "edge", &["pods"]).await.unwrap();
    for _ in 0..100 {
        // The server looks at new rights when it has heard of them.
        if status(&token).await == StatusCode::OK {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the token still has no rights");
}

async fn old_versions_expire(server: &mut KubeApiServer) {
    let list = server.request(Method::GET, "/api/v1/pods?limit=1", None).await.unwrap();
    let version = list.pointer("/metadata/resourceVersion").unwrap().as_str().unwrap().to_owned();
    server.create_pod(&pod("shop", "late", "node-1")).await.unwrap();
    server.delete_pod("shop", "late").await.unwrap();
    server.compact().await.unwrap();
    server.restart().await.unwrap();
    let path = format!("/api/v1/pods?watch=true&timeoutSeconds=5&resourceVersion={version}");
    let event = server.request(Method::GET, &path, None).await.unwrap();
    assert_eq!(event.pointer("/type").unwrap(), "ERROR");
    assert_eq!(event.pointer("/object/code").unwrap(), 410);
    assert_eq!(event.pointer("/object/reason").unwrap(), "Expired");
}
