//! Pods as the API writes them, and what becomes of them.

use k8s_openapi::api::core::v1::Pod as ApiPod;

use super::*;

const NGINX: &str = include_str!("../../fixtures/pods/nginx.json");
const EVERYTHING: &str = include_str!("../../fixtures/pods/everything.json");

#[test]
fn an_ordinary_pod() {
    let pod = pod(NGINX).expect("a pod");
    assert_eq!(pod.uid, "12b379f7-ef99-46e5-8125-0129a27bd799");
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("default", "nginx-deployment-66b6c48dd5-vd2jt"));
    assert_eq!(pod.labels, [("a".to_owned(), "<x&y>".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!((pod.owners[0].api_version.as_str(), pod.owners[0].kind.as_str()), ("apps/v1", "ReplicaSet"));
    assert!(pod.owners[0].controller);
    assert_eq!(pod.start_time.as_deref(), Some("2021-08-17T18:29:58Z"));
    assert_eq!((pod.qos_class, pod.phase), (Some(QosClass::Burstable), Some(Phase::Running)));
    assert_eq!(pod.pod_ips, ["10.42.1.95"]);
    let container = &pod.containers[0];
    assert_eq!(container.requests, [("cpu".to_owned(), "100m".to_owned())]);
    assert_eq!((container.ports[0].port, container.ports[0].protocol.as_str()), (80, "TCP"));
    let status = container.status.as_ref().expect("a status");
    assert_eq!(
        status.container_id.as_deref(),
        Some("containerd://11e9220bd2b450ed40132bcd5cdc3c115b93c69d02c37d844fec7574026edff3")
    );
    assert_eq!(status.state, ContainerState::Running(Some("2021-08-17T18:30:01Z".to_owned())));
}

#[test]
fn a_pod_with_everything() {
    let pod = pod(EVERYTHING).expect("a pod");
    let names: Vec<_> = pod.containers.iter().map(|container| (container.name.as_str(), container.kind)).collect();
    assert_eq!(
        names,
        [
            ("init", ContainerKind::Init),
            ("web", ContainerKind::App),
            ("agent", ContainerKind::App),
            ("late", ContainerKind::App),
            ("debug", ContainerKind::Ephemeral),
        ]
    );
    let state = |place: usize| pod.containers[place].status.as_ref().map(|status| status.state.clone());
    let ended =
        Terminated { exit_code: 137, reason: Some("OOMKilled".to_owned()), finished_at: Some("2024-02-03T04:05:07Z".to_owned()) };
    assert_eq!(
        state(0),
        Some(ContainerState::Terminated(Terminated { exit_code: 0, reason: Some("Completed".to_owned()), finished_at: None }))
    );
    assert_eq!(state(1), Some(ContainerState::Terminated(ended)));
    assert_eq!(state(2), Some(ContainerState::Waiting(Some("CrashLoopBackOff".to_owned()))));
    assert_eq!(state(3), None);
    assert_eq!(state(4), Some(ContainerState::Waiting(None)));
    assert_eq!(pod.pod_ips, ["10.0.0.9", "fd00::9"]);
    assert!(pod.host_network);
    assert_eq!(pod.deletion_at.as_deref(), Some("2024-02-03T04:05:36Z"));
    assert_eq!(pod.service_account.as_deref(), Some("builder"));
    let ports: Vec<_> = pod.containers[1]
        .ports
        .iter()
        .map(|port| (port.name.as_deref(), port.port, port.host_port, port.protocol.as_str()))
        .collect();
    assert_eq!(ports, [(Some("dns"), 53, Some(5353), "UDP"), (None, 8080, None, "TCP")]);
    let limits: Vec<_> = pod.containers[1].limits.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect();
    assert_eq!(limits, ["cpu=2", "memory=64Mi"]);
}

/// What we read agrees with what the API's own types say.
#[test]
fn the_api_types_agree() {
    for json in [NGINX, EVERYTHING] {
        let ours = pod(json).expect("a pod");
        let theirs: ApiPod = serde_json::from_str(json).expect("a pod");
        let (spec, status) = (theirs.spec.expect("a spec"), theirs.status.expect("a status"));
        assert_eq!(Some(&ours.uid), theirs.metadata.uid.as_ref());
        assert_eq!(ours.labels.into_iter().collect::<BTreeMap<_, _>>(), theirs.metadata.labels.unwrap_or_default());
        assert_eq!(ours.annotations.into_iter().collect::<BTreeMap<_, _>>(), theirs.metadata.annotations.unwrap_or_default());
        assert_eq!(ours.node_name, spec.node_name);
        assert_eq!(ours.host_ip, status.host_ip);
        assert_eq!(ours.host_network, spec.host_network.unwrap_or_default());
        let statuses = status.container_statuses.unwrap_or_default();
        for theirs in &spec.containers {
            let ours = ours.containers.iter().find(|ours| ours.name == theirs.name).expect("the container");
            assert_eq!(Some(&ours.image), theirs.image.as_ref());
            let status = statuses.iter().find(|status| status.name == theirs.name);
            assert_eq!(ours.status.as_ref().map(|status| &status.image_id), status.map(|status| &status.image_id));
            assert_eq!(
                ours.status.as_ref().and_then(|status| status.container_id.as_ref()),
                status.and_then(|status| status.container_id.as_ref())
            );
        }
    }
}

/// D36: a pod that is not scheduled is a pod.
#[test]
fn d36_the_least_pod() {
    let least = pod(r#"{"metadata":{"name":"p","uid":"u","namespace":"n"}}"#).expect("a pod");
    let expected = Pod { uid: "u".to_owned(), namespace: "n".to_owned(), name: "p".to_owned(), ..Pod::default() };
    assert_eq!(least, expected);
}

#[test]
fn null_and_empty_mean_absent() {
    let json = r#"{"metadata":{"name":"p","uid":"u","labels":null,"annotations":null,"ownerReferences":null},
        "spec":{"nodeName":"","containers":[{"name":"c","image":null,"ports":null,"resources":{"requests":null}}],"initContainers":null},
        "status":{"phase":"","podIP":"","podIPs":null,"containerStatuses":[{"name":"c","containerID":"","state":null,"restartCount":null}]}}"#;
    let pod = pod(json).expect("a pod");
    assert_eq!((pod.node_name, pod.phase, pod.pod_ips.len()), (None, None, 0));
    let status = pod.containers[0].status.clone().expect("a status");
    assert_eq!((status.container_id, status.state, status.restart_count), (None, ContainerState::Waiting(None), 0));
}

#[test]
fn words_that_nobody_knows_are_bearable() {
    let pod = pod(r#"{"metadata":{"name":"p","uid":"u"},"status":{"phase":"Resting","qosClass":"Splendid"},"extra":[1]}"#)
        .expect("a pod");
    assert_eq!((pod.phase, pod.qos_class), (Some(Phase::Unknown), None));
}

#[test]
fn what_is_no_pod_says_why() {
    let error = pod(r#"{"metadata":{"name":"p","uid":"u"},"spec":{"containers":[{"image":"x"}]}}"#).expect_err("no name");
    assert!(error.contains("missing field `name`"), "{error}");
}
