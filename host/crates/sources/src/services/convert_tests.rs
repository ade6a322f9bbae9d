//! Services as the API writes them, and what becomes of them.

use k8s_openapi::api::core::v1::Service as ApiService;

use super::*;

const DUAL_STACK: &str = include_str!("../../fixtures/services/dual-stack.json");
const LOAD_BALANCER: &str = include_str!("../../fixtures/services/load-balancer.json");
const HEADLESS: &str = include_str!("../../fixtures/services/headless.json");
const EXTERNAL_NAME: &str = include_str!("../../fixtures/services/external-name.json");

fn ports(service: &Service) -> Vec<String> {
    let describe = |port: &ServicePort| {
        let words = [
            port.name.clone(),
            Some(format!("{}/{}", port.port, port.protocol)),
            port.target_port.as_ref().map(|target| format!("to {target}")),
            port.node_port.map(|port| format!("on {port}")),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    service.ports.iter().map(describe).collect()
}

#[test]
fn a_service_with_two_families_of_addresses() {
    let service = service(DUAL_STACK).unwrap();
    assert_eq!((service.namespace.as_str(), service.name.as_str()), ("kube-system", "kube-dns"));
    assert_eq!(service.service_type, "ClusterIP");
    assert_eq!(service.cluster_ips, ["10.43.0.10", "fd43::a"]);
    assert_eq!(ports(&service), ["dns 53/UDP to 53", "dns-tcp 53/TCP to 53", "metrics 9153/TCP to 9153"]);
    assert_eq!(service.selector, [("k8s-app".to_owned(), "kube-dns".to_owned())]);
    assert_eq!(service.created_at.as_deref(), Some("2024-05-06T07:08:09Z"));
    assert_eq!((service.external_ips.len(), service.external_name), (0, None));
}

#[test]
fn what_balances_has_addresses_and_names_outside() {
    let service = service(LOAD_BALANCER).unwrap();
    assert_eq!(service.service_type, "LoadBalancer");
    assert_eq!(service.external_ips, ["192.0.2.80", "203.0.113.7", "lb-7.example.test", "198.51.100.9"]);
    assert_eq!(ports(&service), ["http 80/TCP to web on 31080", "443/TCP to 8443 on 31443"]);
    assert_eq!(service.annotations.len(), 1);
}

#[test]
fn a_headless_service_has_no_address() {
    let service = service(HEADLESS).unwrap();
    assert!(service.cluster_ips.is_empty());
    assert_eq!(ports(&service), ["peer 2380/TCP to peer"]);
}

#[test]
fn a_service_that_stands_for_a_name_has_nothing_else() {
    let service = service(EXTERNAL_NAME).unwrap();
    assert_eq!((service.service_type.as_str(), service.external_name.as_deref()), ("ExternalName", Some("db.example.test")));
    assert!(service.cluster_ips.is_empty() && service.ports.is_empty() && service.selector.is_empty());
}

/// What we read agrees with what the API's own types say.
#[test]
fn the_api_types_agree() {
    for json in [DUAL_STACK, LOAD_BALANCER, HEADLESS, EXTERNAL_NAME] {
        let ours = service(json).unwrap();
        let theirs: ApiService = serde_json::from_str(json).unwrap();
        let spec = theirs.spec.unwrap();
        assert_eq!(Some(&ours.uid), theirs.metadata.uid.as_ref());
        assert_eq!(ours.labels.into_iter().collect::<BTreeMap<_, _>>(), theirs.metadata.labels.unwrap_or_default());
        assert_eq!(ours.selector.into_iter().collect::<BTreeMap<_, _>>(), spec.selector.unwrap_or_default());
        assert_eq!(Some(ours.service_type), spec.type_);
        assert_eq!(ours.external_name, spec.external_name);
        let numbers = |ports: Option<Vec<k8s_openapi::api::core::v1::ServicePort>>| {
            ports.unwrap_or_default().into_iter().map(|port| (port.port, port.node_port, port.protocol)).collect::<Vec<_>>()
        };
        let port = |port: ServicePort| (i32::from(port.port), port.node_port.map(i32::from), Some(port.protocol));
        assert_eq!(ours.ports.into_iter().map(port).collect::<Vec<_>>(), numbers(spec.ports));
    }
}

#[test]
fn null_and_empty_mean_absent() {
    let json = r#"{"metadata":{"name":"s","namespace":"n","uid":"u"},"spec":{"clusterIP":"","clusterIPs":null,"externalName":"",
        "ports":[{"port":80,"nodePort":0,"name":"","targetPort":""}],"selector":null},"status":{"loadBalancer":{"ingress":null}}}"#;
    let service = service(json).unwrap();
    assert_eq!((service.cluster_ips.len(), service.external_name.as_ref()), (0, None));
    assert_eq!(ports(&service), ["80/TCP"]);
}

#[test]
fn the_least_service() {
    let least = service(r#"{"metadata":{"name":"s","uid":"u"}}"#).unwrap();
    let expected =
        Service { uid: "u".to_owned(), name: "s".to_owned(), service_type: "ClusterIP".to_owned(), ..Service::default() };
    assert_eq!(least, expected);
}

#[test]
fn what_is_no_service_says_why() {
    let error = service(r#"{"metadata":{"name":"s","uid":"u"},"spec":{"ports":[{"port":70000}]}}"#).unwrap_err();
    assert!(error.contains("70000"), "{error}");
}
