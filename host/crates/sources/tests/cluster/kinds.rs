//! The scenarios of the other kinds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Event, Notice, Service, SubjectIds};
use sluicebox_sources::kubernetes::Api;
use sluicebox_sources::{Namespaces, Nodes, Services, Wants, namespaces, nodes, services};

use super::{Cluster, JSON, Recorder, TYPED, during, unique};

pub(crate) async fn namespaces_are_told(cluster: &mut impl Cluster) {
    let before = unique("before");
    cluster.create_namespace(&before).await;
    let api = Api::connect(&cluster.config(cluster.address())).await.expect("a way to the API server");
    let meter = Arc::new(SourceMeter::default());
    let source = Namespaces::new(&namespaces::Config::default(), api, Arc::new(SubjectIds::default()), meter);
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        let after = unique("after");
        cluster.create_namespace(&after).await;
        recorder.until_line(&format!("added {after} json")).await;
        // A server's cache may be behind what it has just stored.
        let lines = recorder.lines();
        assert!(
            lines.contains(&format!("listed {before} json")) || lines.contains(&format!("added {before} json")),
            "{lines:#?}"
        );
    })
    .await;
}

pub(crate) async fn nodes_are_told_and_repeated(cluster: &mut impl Cluster) {
    let (name, other) = (unique("node"), unique("node"));
    cluster.create_node(&name).await;
    cluster.create_node(&other).await;
    let api = Api::connect(&cluster.config(cluster.address())).await.expect("a way to the API server");
    let config = nodes::Config { refresh: TimeSpan(Duration::from_secs(1)), ..nodes::Config::default() };
    let source = Nodes::new(&config, api, &name, JSON, Arc::new(SubjectIds::default()), Arc::new(SourceMeter::default()));
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_complete().await;
        let modified = format!("modified {name} json");
        recorder.until(|lines| lines.iter().filter(|line| **line == modified).count() >= 2).await;
        cluster.label_node(&name, json!({"zone": "a"})).await;
        recorder
            .until(|_| {
                recorder.objects().iter().any(|event| event.json.as_deref().is_some_and(|json| json.contains(r#""zone":"a""#)))
            })
            .await;
        assert!(!recorder.lines().iter().any(|line| line.contains(&other)));
        let subjects: std::collections::BTreeSet<_> = recorder.objects().iter().map(|event| event.subject).collect();
        assert_eq!(subjects.len(), 1);
    })
    .await;
}

pub(crate) async fn nodes_are_told_in_both_forms_with_their_attributes(cluster: &mut impl Cluster) {
    let name = unique("node");
    cluster.create_node(&name).await;
    cluster.label_node(&name, json!({"zone": "a"})).await;
    let api = Api::connect(&cluster.config(cluster.address())).await.expect("a way to the API server");
    let attributes = serde_json::from_value(json!({"zone": "/metadata/labels/zone"})).expect("attributes");
    let config = nodes::Config { refresh: TimeSpan(Duration::from_secs(1)), attributes, ..nodes::Config::default() };
    let wants = Wants { typed: true, json: true };
    let source = Nodes::new(&config, api, &name, wants, Arc::new(SubjectIds::default()), Arc::new(SourceMeter::default()));
    let recorder = Recorder::default();
    during(source, &recorder, async {
        recorder.until_line(&format!("modified {name} node")).await;
        cluster.label_node(&name, json!({"zone": "b"})).await;
        let lines = recorder.until_line(&format!("define {name} zone=b")).await;
        let (typed, objects) = (format!("modified {name} node"), format!("modified {name} json"));
        let again = lines.len();
        let lines = recorder.until(|lines| lines.len() >= again + 2 && lines[again..].contains(&objects)).await;
        assert_eq!(lines[again..again + 2], [typed, objects], "before the event");
        assert!(lines.iter().any(|line| line.starts_with(&format!("define {name} zone="))));
        assert!(lines.iter().filter(|line| line.starts_with("define")).count() <= 3, "only when they have changed: {lines:#?}");
    })
    .await;
}

pub(crate) async fn services_are_told_with_what_was_before(cluster: &mut impl Cluster) {
    let space = unique("space");
    cluster.create_namespace(&space).await;
    let web = |port: u16| json!({"ports": [{"name": "http", "port": port, "targetPort": "web"}], "selector": {"app": "web"}});
    cluster.put_service(&space, "web", web(80)).await;
    let api = Api::connect(&cluster.config(cluster.address())).await.expect("a way to the API server");
    let meter = Arc::new(SourceMeter::default());
    let source = Services::new(&services::Config::default(), api, TYPED, Arc::new(SubjectIds::default()), meter);
    let recorder = Recorder::default();
    let ours = || -> Vec<(Arc<Service>, Option<Arc<Service>>)> {
        let events = recorder.notices().into_iter().filter_map(|notice| match notice {
            Notice::Event(Event::Service(event)) => Some((event.service, event.previous)),
            _ => None,
        });
        events.filter(|(service, _)| service.namespace == space).collect()
    };
    during(source, &recorder, async {
        recorder.until(|_| ours().len() == 1).await;
        cluster.put_service(&space, "web", web(8080)).await;
        recorder.until(|_| ours().len() == 2).await;
        cluster.put_service(&space, "database", json!({"type": "ExternalName", "externalName": "db.example.test"})).await;
        recorder.until(|_| ours().len() == 3).await;
    })
    .await;
    let told = ours();
    let ports = |service: &Service| service.ports.iter().map(|port| (port.port, port.target_port.clone())).collect::<Vec<_>>();
    let target = || Some("web".to_owned());
    assert_eq!((ports(&told[0].0), told[0].1.is_none()), (vec![(80, target())], true));
    assert_eq!(ports(&told[1].0), [(8080, target())]);
    assert_eq!(told[1].1.as_ref(), Some(&told[0].0));
    let database = &told[2].0;
    assert_eq!((database.service_type.as_str(), database.external_name.as_deref()), ("ExternalName", Some("db.example.test")));
    assert_eq!((database.cluster_ips.len(), database.ports.len()), (0, 0));
}
