//! Pods are told again and again, in the forms that are wanted.

use serde_json::json;
use sluicebox_contract::{Change, Closed, Event, Notice};
use sluicebox_testkit::api_server::ApiServer;
use tokio::sync::mpsc;

use super::*;

const BOTH: Wants = Wants { typed: true, json: true };

struct Told(mpsc::Sender<Notice>);

impl Feed for Told {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.0.send(notice).await.map_err(|_| Closed)
    }
}

async fn source(server: &ApiServer, config: &Config, wants: Wants) -> Pods {
    let kubernetes = crate::kubernetes::Config { url: Some(server.url()), ..crate::kubernetes::Config::default() };
    let api = Api::connect(&kubernetes).await.expect("a way to the API server");
    Pods::new(config, api, "n1", wants, Arc::new(SubjectIds::default()), Arc::default())
}

/// Of each event about the pod its change and its form, until so many have come.
async fn told(source: Pods, count: usize) -> Vec<(Change, &'static str)> {
    let (to, mut notices) = mpsc::channel(8);
    let told = async {
        let mut told = Vec::new();
        while told.len() < count {
            match notices.recv().await.expect("it goes on") {
                Notice::Event(Event::Pod(event)) => {
                    assert!(event.change != Change::Modified || event.previous.as_ref() == Some(&event.pod));
                    told.push((event.change, "typed"));
                }
                Notice::Event(Event::Object(event)) => {
                    assert!(event.json.is_some_and(|json| json.contains("web")));
                    told.push((event.change, "json"));
                }
                _ => {}
            }
        }
        told
    };
    tokio::select! {
        ended = source.run(Told(to), std::future::pending()) => panic!("it has ended: {ended:?}"),
        told = told => told,
    }
}

#[tokio::test]
async fn every_pod_is_told_again_in_the_forms_that_are_wanted() {
    let server = ApiServer::start().await.expect("the server starts");
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "nginx:1.29"}]},
    });
    server.create_pod(pod).expect("it is created");
    let config = Config { refresh: TimeSpan(Duration::from_secs(1)), ..Config::default() };
    for (wants, forms) in
        [(Wants { json: false, ..BOTH }, &["typed"][..]), (Wants { typed: false, ..BOTH }, &["json"]), (BOTH, &["typed", "json"])]
    {
        let expected: Vec<_> = [Change::Listed, Change::Modified, Change::Modified]
            .into_iter()
            .flat_map(|change| forms.iter().map(move |form| (change, *form)))
            .collect();
        assert_eq!(told(source(&server, &config, wants).await, expected.len()).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_told_again_and_no_json_is_kept_unless_that_is_wished() {
    let server = ApiServer::start().await.expect("the server starts");
    let often = Config { refresh: TimeSpan(Duration::from_secs(1)), ..Config::default() };
    for (config, wants, refresh, keep_json) in [
        (&Config::default(), BOTH, None, false),
        (&often, Wants { json: false, ..BOTH }, Some(Duration::from_secs(1)), false),
        (&often, BOTH, Some(Duration::from_secs(1)), true),
    ] {
        let follow = source(&server, config, wants).await.follow;
        assert_eq!((follow.refresh, follow.forms.keep_json), (refresh, keep_json));
    }
}

#[test]
fn what_would_be_too_often_is_refused() {
    for (refresh, expected) in [("0s", None), ("1s", None), ("1h", None), ("999ms", Some("999ms is too often"))] {
        let config: Config = serde_json::from_value(json!({"refresh": refresh})).expect("it parses");
        let causes: Vec<_> = config.problems().into_iter().map(|problem| (problem.field, problem.cause)).collect();
        let expected: Vec<_> = expected.into_iter().map(|cause| ("refresh".to_owned(), cause.to_owned())).collect();
        assert_eq!(causes, expected);
    }
}
