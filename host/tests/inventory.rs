//! What runs on a node, through the whole program: from processes and the API server to lines of JSON.

mod support;

use serde_json::{Value, json};
use sluicebox_testkit::api_server::{ApiServer, Kind};
use sluicebox_testkit::kubelet::PodSpec;
use sluicebox_testkit::program::Program;
use support::machine::{Line, messages};
use support::{PATIENCE, Place, until};

/// A node with an API server, and files in place of its processes.
struct Node {
    place: Place,
    api: ApiServer,
}

impl Node {
    async fn new() -> Self {
        let node = Self { place: Place::new(), api: ApiServer::start().await.unwrap() };
        let metadata = json!({"name": "n1", "labels": {"topology.kubernetes.io/zone": "a"}});
        let status =
            json!({"addresses": [{"type": "InternalIP", "address": "10.0.1.2"}], "nodeInfo": {"kernelVersion": "6.1.0"}});
        node.api.create_node(json!({"metadata": metadata, "status": status})).unwrap();
        node
    }

    fn process(&self, pid: u32, cgroup: &str) {
        let directory = self.place.path("proc").join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        std::fs::write(directory.join("stat"), format!("{pid} (a) S {}77 0\n", "0 ".repeat(18))).unwrap();
    }

    /// A pod of a `Deployment`, with a process in its container.
    fn pod(&self, number: u32, pid: u32) -> PodSpec {
        let reference = |kind: &str, owner: &Value| {
            let metadata = &owner["metadata"];
            json!([{"apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true}])
        };
        let create = |kind, name: String, owners: Value| {
            self.api.create(kind, json!({"metadata": {"name": name, "namespace": "shop", "ownerReferences": owners}})).unwrap()
        };
        let deployment = create(Kind::Deployments, format!("web-{number}"), json!([]));
        let set = create(Kind::ReplicaSets, format!("web-{number}-x"), reference("Deployment", &deployment));
        let pod = PodSpec::numbered("n1", number, 1);
        let mut object = pod.object();
        object["metadata"]["ownerReferences"] = reference("ReplicaSet", &set);
        self.process(pid, &format!("/kubepods/burstable/pod{}/{}", pod.uid, pod.containers[0].1));
        self.api.create_pod(object).unwrap();
        pod
    }

    fn configuration(&self, lanes: &[&str]) -> String {
        let lanes: String = lanes.iter().fold(String::new(), |all, name| {
            all + &format!("  {name}: {{use: json-lines, settings: {{channel: {name}}}, from: [inventory], to: [out]}}\n")
        });
        format!(
            "sources:\n  inventory:\n    period: 1s\n    host-proc: {}\n    attributes:\n      pods: {{app: /metadata/labels/app}}\n      \
             node: {{zone: /metadata/labels/topology.kubernetes.io~1zone}}\nreload: {{poll: 500ms, debounce: 50ms}}\n\
             modules:\n{lanes}sinks: {{out: {{stdout: {{format: json}}}}}}\n",
            self.place.path("proc").display()
        )
    }

    async fn run(&self, lanes: &[&str]) -> Program {
        let mut program = self.place.run(&self.place.configure(&self.api.url(), &self.configuration(lanes)));
        program.until_ready(PATIENCE).await.unwrap();
        program
    }
}

/// What was said last on a channel about something.
fn last(program: &Program, channel: &str, about: &str) -> Option<Line> {
    messages(program).filter(|line| line.channel == channel && line.about() == about).last()
}

#[tokio::test]
async fn the_node_its_pods_and_their_processes_are_told_again_and_again() {
    let node = Node::new().await;
    node.process(1, "/init.scope");
    node.pod(1, 40);
    let mut program = node.run(&["lines"]).await;
    let said = |about: &str| last(&program, "lines", about).map(|line| line.body).unwrap_or_default();
    until(&program, "the pod", async || said("pod shop/web-1")["containers"][0]["pids"] == json!([40])).await;
    let pod = said("pod shop/web-1");
    assert_eq!(pod["owners"], json!(["ReplicaSet/web-1-x", "Deployment/web-1"]));
    assert_eq!((&pod["attributes"], &pod["phase"]), (&json!({"app": "web"}), &json!("Running")));
    let told = said("node n1");
    assert_eq!((&told["kernel-version"], &told["attributes"]), (&json!("6.1.0"), &json!({"zone": "a"})));
    node.pod(2, 41);
    until(&program, "the other pod", async || said("pod shop/web-2")["containers"][0]["pids"] == json!([41])).await;
    // A process that nobody tells of is seen at the next period.
    let pod = PodSpec::numbered("n1", 2, 1);
    node.process(42, &format!("/kubepods/burstable/pod{}/{}", pod.uid, pod.containers[0].1));
    until(&program, "its new process", async || said("pod shop/web-2")["containers"][0]["pids"] == json!([41, 42])).await;
    // While the API server is away, all goes on with what is known.
    node.api.pause().await.unwrap();
    node.process(43, &format!("/kubepods/burstable/pod{}/{}", pod.uid, pod.containers[0].1));
    until(&program, "one more", async || said("pod shop/web-2")["containers"][0]["pids"] == json!([41, 42, 43])).await;
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

#[tokio::test]
async fn a_lane_that_is_added_joins_the_source_that_runs() {
    let node = Node::new().await;
    node.pod(1, 40);
    let mut program = node.run(&["one"]).await;
    node.place.reconfigure(&node.api.url(), &node.configuration(&["one", "two"]));
    until(&program, "it is told", async || last(&program, "two", "pod shop/web-1").is_some()).await;
    let rows = program.metrics(&["sluicebox_source_events_total"]).await.unwrap();
    assert!(rows.len() == 1 && rows[0].contains("source=\"inventory\"") && !rows[0].contains("lane="), "{rows:?}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

/// What a module does not take typed, it is given as the API's JSON, with the attributes of its subject beside.
#[tokio::test]
async fn services_and_nodes_are_objects_for_whoever_takes_objects() {
    let node = Node::new().await;
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.43.0.1", "ports": [{"port": 443, "protocol": "TCP"}]});
    node.api.create(Kind::Services, json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})).unwrap();
    let rest = "sources: {services: {attributes: {ip: /spec/clusterIP}}, nodes: {}}\n\
        modules: {lines: {use: json-lines, settings: {fields: full}, to: [out]}}\nsinks: {out: {stdout: {format: json}}}\n";
    let mut program = node.place.run(&node.place.configure(&node.api.url(), rest));
    program.until_ready(PATIENCE).await.unwrap();
    let find = |kind: &str| messages(&program).find(|line| line.body["kind"] == kind).map(|line| line.body);
    until(&program, "both", async || find("service").is_some() && find("node").is_some()).await;
    assert_eq!(find("service").unwrap()["object"]["spec"], spec);
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}
