//! What the user writes about the source `tracer`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};

use super::document::Limits;
use super::ends::cidr;
use super::row::DirectionCodes;
use crate::scope::Scope;
use crate::watch::check_sizes;
use crate::{Attributes, Problem};

const SHORTEST_PERIOD: Duration = Duration::from_millis(100);
const LONGEST_PERIOD: Duration = Duration::from_mins(10);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// What is remembered of addresses takes memory.
const LONGEST_HISTORY: Duration = Duration::from_hours(1);
/// No path of a Unix socket is longer (`sun_path`, with the zero at its end).
const LONGEST_PATH: usize = 107;
/// Each takes about 300 bytes while a report is dealt with.
const MOST_CONNECTIONS: usize = 1_000_000;
/// However many bytes a report may have, one connection has a few hundred.
const PIECE: usize = 64 << 10;
const DEPTH: u8 = 32;

/// Which network tracer is asked, and how the ends of its connections are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// The Unix socket of a tracer that is asked at every period, by `GET` over HTTP. This or `listen`, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// The path that is asked for.
    pub path: String,
    /// What is sent as `client_id`. A tracer keeps what each client has seen, so that two collectors should not have the same. Without it,
    /// none is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// How often the tracer is asked: from 100ms to 10m. A tracer that has not answered by the next turn costs that turn.
    pub period: TimeSpan,
    /// How long an answer may take, from the connection to its last byte; of `listen`, how long a document may take from its first byte.
    /// Without it, 19 parts of 20 of the period, or of a second where that is longer: one that stalls costs one turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeSpan>,
    /// A Unix socket that tracers connect to in order to push: one JSON document after the other, each as an answer to `path` is. Up to 16
    /// may be connected; what has grown is told from one document of a connection to the next, and over connections that follow each other.
    /// What is left of such a socket is removed at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<PathBuf>,
    /// Only these users may be connected to, and may connect, as the kernel tells it of the socket. Without it, everybody that the
    /// permissions of the socket let: that of `listen` may be used by its owner and his group, but with `user-ids` by everybody, as the
    /// kernel then says who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<Vec<u32>>,
    /// What the numbers of `direction` mean.
    pub direction_codes: DirectionCodes,
    /// How many bytes a report has at most. A longer one is not used, and counted.
    pub max_report_bytes: ByteSize,
    /// How many connections of a report are told. What is beyond is counted and left out.
    pub max_connections: usize,
    /// Whether the ends are told apart by what the API server knows. `false` needs no API server: no end has a subject then.
    pub kubernetes: bool,
    /// The pods and nodes that are known: those of the whole cluster, so that both ends of a connection have a name, or those of one node,
    /// which is less for the API server to tell; then an address elsewhere is nobody's.
    pub scope: Scope,
    /// The node for `scope: node`, and the one that this process runs on. Without it, the node that sluicebox runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where the processes of the host are: `/proc`, or where that of the host is mounted in a container. To see them all, a pod needs
    /// `hostPID: true`, and for their network namespaces the right to look at all processes (root with `CAP_SYS_PTRACE`).
    pub host_proc: PathBuf,
    /// Ranges of addresses that are the cluster's, such as that of its services: an address there that nobody is known to have is never said to be
    /// outside. Those that nodes have for their pods are known.
    pub cluster_cidrs: Vec<String>,
    /// Fields that are told with pods, services and nodes as attributes of their subjects.
    pub attributes: Of,
    /// How long it is remembered who had an address, so that what is told late is told of the right pod: up to 1h.
    pub history: TimeSpan,
    /// Whether a pod is told with the workload that controls it in the end, such as the Deployment of its `ReplicaSet`.
    pub workloads: bool,
    /// How many pods, services and nodes are remembered at most, each.
    pub max_cached_objects: usize,
    /// How many bytes those of one kind take at most, roughly.
    pub max_cached_bytes: ByteSize,
    /// How many bytes a page of a list has at most. When one has more, smaller pages are asked for.
    pub max_page_bytes: ByteSize,
    /// How many bytes an event about an object has at most. A longer one is left out and counted.
    pub max_object_bytes: ByteSize,
}

/// Fields of pods, services and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "TracerAttributes")]
pub struct Of {
    /// Of each pod: a name of one's own, and where the field stands in the API's JSON, as a JSON Pointer, such as `app:
    /// /metadata/labels/app`. At most 32; a value of more than 4 KiB is left out and counted.
    pub pods: Attributes,
    /// Of each service, likewise.
    pub services: Attributes,
    /// Of each node, likewise, such as `zone: /metadata/labels/topology.kubernetes.io~1zone`, where `~1` is a slash.
    pub nodes: Attributes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: None,
            path: "/connections".to_owned(),
            client_id: None,
            period: TimeSpan(Duration::from_secs(5)),
            timeout: None,
            listen: None,
            user_ids: None,
            direction_codes: DirectionCodes::default(),
            max_report_bytes: ByteSize(64 << 20),
            max_connections: 100_000,
            kubernetes: true,
            scope: Scope::Cluster,
            node: None,
            host_proc: PathBuf::from("/proc"),
            cluster_cidrs: Vec::new(),
            attributes: Of::default(),
            history: TimeSpan(Duration::from_mins(5)),
            workloads: true,
            max_cached_objects: 20_000,
            max_cached_bytes: ByteSize(64 << 20),
            max_page_bytes: ByteSize(32 << 20),
            max_object_bytes: ByteSize(4 << 20),
        }
    }
}

/// How many objects a page of a list holds at most.
pub(super) const PAGE_SIZE: u32 = 250;

impl Config {
    /// What a document may be at most.
    pub(super) fn limits(&self) -> Limits {
        Limits { document: crate::watch::length(self.max_report_bytes), depth: DEPTH, piece: PIECE }
    }

    /// How long an answer may take.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.map_or(self.period.0.max(DEFAULT_TIMEOUT) * 19 / 20, |timeout| timeout.0)
    }

    /// What is asked for, with the name of the client.
    pub(super) fn target(&self) -> String {
        match &self.client_id {
            None => self.path.clone(),
            Some(client) => {
                let sign = if self.path.contains('?') { '&' } else { '?' };
                format!("{}{sign}client_id={client}", self.path)
            }
        }
    }

    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.sockets();
        problems.extend(self.times());
        problems.extend(self.counts());
        problems.extend(self.request());
        if let Some(node) = &self.node
            && !crate::kubernetes::is_object_name(node)
        {
            problems.push(Problem::new(
                "node",
                format!("`{node}` is no name of a node"),
                "write the name as `kubectl get nodes` shows it",
            ));
        }
        for (index, range) in self.cluster_cidrs.iter().enumerate() {
            if cidr(range).is_none() {
                let text = format!("`{range}` is no range of addresses");
                problems.push(Problem::new(
                    format!("cluster-cidrs.{index}"),
                    text,
                    "write an address and a number of bits, such as `10.96.0.0/12`",
                ));
            }
        }
        for (of, attributes) in
            [("pods", &self.attributes.pods), ("services", &self.attributes.services), ("nodes", &self.attributes.nodes)]
        {
            problems.extend(attributes.problems(&format!("attributes.{of}")));
        }
        if !self.host_proc.is_absolute() {
            let text = format!("`{}` is not absolute", self.host_proc.display());
            problems.push(Problem::new("host-proc", text, "write `/proc`, or where the host's is mounted, such as `/host/proc`"));
        }
        problems
    }

    fn sockets(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.socket.is_none() && self.listen.is_none() {
            problems.push(Problem::new(
                "socket",
                "is missing: nothing says where the tracer is",
                "write the path of its Unix socket, such as `/var/run/network-tracer.sock`, or `listen` for one that pushes",
            ));
        }
        for (field, path) in [("socket", &self.socket), ("listen", &self.listen)] {
            let Some(path) = path else { continue };
            if !path.is_absolute() {
                let text = format!("`{}` is not absolute", path.display());
                problems.push(Problem::new(field, text, "write the whole path, such as `/var/run/network-tracer.sock`"));
            } else if path.as_os_str().len() > LONGEST_PATH {
                let text = format!("has {} bytes, and no Unix socket may have more than {LONGEST_PATH}", path.as_os_str().len());
                problems.push(Problem::new(field, text, "put the socket into a directory with a shorter name"));
            }
        }
        if self.socket.is_some() && self.socket == self.listen {
            problems.push(Problem::new(
                "listen",
                "is the socket that is asked, too",
                "give each its own path, or leave one of them out",
            ));
        }
        if self.user_ids.as_ref().is_some_and(Vec::is_empty) {
            problems.push(Problem::new(
                "user-ids",
                "is empty: nobody could be connected to",
                "name a user id, such as 0, or leave it out",
            ));
        }
        problems
    }

    fn times(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |field: &str, span: TimeSpan, least: Duration, most: Duration| {
            if span.0 < least || span.0 > most {
                let cure = format!("write {} to {}", TimeSpan(least), TimeSpan(most));
                problems.push(Problem::new(field, format!("{span} is too short or too long"), cure));
            }
        };
        check("period", self.period, SHORTEST_PERIOD, LONGEST_PERIOD);
        if let Some(timeout) = self.timeout {
            check("timeout", timeout, SHORTEST_TIMEOUT, LONGEST_PERIOD);
        }
        check("history", self.history, Duration::ZERO, LONGEST_HISTORY);
        problems
    }

    fn counts(&self) -> Vec<Problem> {
        let mut problems = check_sizes(PAGE_SIZE, self.max_page_bytes, self.max_object_bytes, self.max_cached_bytes);
        if !(1..=MOST_CONNECTIONS).contains(&self.max_connections) {
            let text = format!("{} is not between 1 and {MOST_CONNECTIONS}", self.max_connections);
            problems.push(Problem::new("max-connections", text, "leave it out for 100000"));
        }
        if self.max_report_bytes.0 < 1024 || self.max_report_bytes.0 > 1 << 30 {
            let text = format!("{} is not between 1KiB and 1GiB", self.max_report_bytes);
            problems.push(Problem::new("max-report-bytes", text, "leave it out for 64MiB"));
        }
        problems
    }

    fn request(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !self.path.starts_with('/') || !is_plain(&self.path) {
            let text = format!("`{}` is no path of a request", self.path.escape_debug());
            problems.push(Problem::new(
                "path",
                text,
                "write it from its `/` on, such as `/connections`, with special characters as `%xx`",
            ));
        }
        if let Some(client) = &self.client_id
            && (client.is_empty() || !client.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)))
        {
            let text = format!("`{}` is no client id", client.escape_debug());
            problems.push(Problem::new("client-id", text, "use letters, digits, `-`, `_`, `.` and `~`"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { socket: Some("/run/tracer.sock".into()), ..Config::default() }
    }

    #[track_caller]
    fn check(config: &Config, field: &str) {
        let problems = config.problems();
        assert_eq!(problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(), [field], "{problems:?}");
    }

    #[test]
    fn a_socket_is_enough() {
        assert_eq!(config().problems(), []);
        assert_eq!(Config { socket: None, listen: Some("/run/push.sock".into()), ..Config::default() }.problems(), []);
    }

    #[test]
    fn mistakes_are_named() {
        check(&Config::default(), "socket");
        check(&Config { socket: Some("tracer.sock".into()), ..config() }, "socket");
        check(&Config { socket: Some(format!("/{}", "x".repeat(107)).into()), ..config() }, "socket");
        check(&Config { listen: Some("/run/tracer.sock".into()), ..config() }, "listen");
        check(&Config { user_ids: Some(vec![]), ..config() }, "user-ids");
        check(&Config { period: TimeSpan(Duration::from_millis(1)), ..config() }, "period");
        check(&Config { timeout: Some(TimeSpan(Duration::ZERO)), ..config() }, "timeout");
        check(&Config { history: TimeSpan(Duration::from_hours(2)), ..config() }, "history");
        check(&Config { max_connections: 0, ..config() }, "max-connections");
        check(&Config { max_report_bytes: ByteSize(5), ..config() }, "max-report-bytes");
        check(&Config { path: "connections".to_owned(), ..config() }, "path");
        check(&Config { path: "/a b\r\nHost: x".to_owned(), ..config() }, "path");
        check(&Config { client_id: Some("a&b".to_owned()), ..config() }, "client-id");
        check(&Config { node: Some("no/name".to_owned()), ..config() }, "node");
        check(&Config { host_proc: "proc".into(), ..config() }, "host-proc");
        check(&Config { cluster_cidrs: vec!["10.96.0.0".to_owned()], ..config() }, "cluster-cidrs.0");
    }

    #[test]
    fn the_client_is_named_where_one_is_set() {
        assert_eq!(config().target(), "/connections");
        let client_id = Some("node-1".to_owned());
        assert_eq!(Config { client_id: client_id.clone(), ..config() }.target(), "/connections?client_id=node-1");
        assert_eq!(Config { client_id, path: "/c?x=1".to_owned(), ..config() }.target(), "/c?x=1&client_id=node-1");
    }
}
