//! A collector that tells a Redis of pods, goes and comes back, and whoever listens there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sluicebox_contract::{Announced, Announcement, ObjectKind, Pod};
use sluicebox_store::Announcements;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{RedisOptions, RedisServer, Subscription};

use super::{PATIENCE, Place, pending};

/// What is told of each pod, in order.
pub type News = BTreeMap<String, Vec<String>>;

pub struct Town {
    pub place: Place,
    pub api: ApiServer,
    pub redis: RedisServer,
    /// Settings of the sink, each with a comma before it.
    pub sink: &'static str,
    markers: usize,
}

/// News of pods, by name.
pub fn news(told: &[(&str, &[&str])]) -> News {
    told.iter().map(|(pod, events)| ((*pod).to_owned(), events.iter().map(ToString::to_string).collect())).collect()
}

impl Town {
    pub async fn new() -> Self {
        let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
        Self { place: Place::new(), api: ApiServer::start().await.unwrap(), redis, sink: "", markers: 0 }
    }

    /// Pods with these settings of the source; `modules` besides the one that tells of pods.
    pub fn configure(&self, pods: &str, modules: &str) -> PathBuf {
        self.configure_at(&self.api.url(), pods, modules)
    }

    pub fn configure_at(&self, api: &str, pods: &str, modules: &str) -> PathBuf {
        let (redis, sink) = (self.redis.url(), self.sink);
        self.place.configure(
            api,
            &format!(
                "sources: {{pods: {{{pods}}}}}\n\
                 modules:\n\
                 \x20 news: {{use: galileo-events, settings: {{schema: pod, channel: news}}, to: [redis]}}\n{modules}\
                 sinks: {{redis: {{redis: {{url: \"{redis}\"}}{sink}}}}}\nshutdown-grace: 2s\n"
            ),
        )
    }

    pub async fn run(&self, config: &std::path::Path) -> Program {
        let mut program = self.place.run(config);
        program.until_ready(PATIENCE).await.unwrap();
        program
    }

    /// Listens on a channel.
    pub async fn listen(&self, channel: &str) -> Subscription {
        self.redis.subscribe(channel).await.unwrap()
    }

    /// What is told up to an event of this name.
    pub async fn told_so_far(&self, heard: &mut Subscription, event: &str) {
        while heard.next().await.unwrap().1.split(' ').nth(1) != Some(event) {}
    }

    /// What was told up to now: up to a pod that is made now.
    pub async fn told(&mut self, heard: &mut Subscription) -> News {
        self.markers += 1;
        let marker = format!("marker-{}", self.markers);
        self.api.create_pod(pending(&marker)).unwrap();
        let told = until_told(heard, &marker).await;
        self.api.delete_pod("shop", &marker).unwrap();
        until_gone(heard, &marker).await;
        told
    }
}

/// What is told until it is told that this pod is there.
pub async fn until_told(heard: &mut Subscription, marker: &str) -> News {
    until_event(heard, marker, "create").await
}

/// What is told until it is told that this pod has gone.
pub async fn until_gone(heard: &mut Subscription, marker: &str) -> News {
    until_event(heard, marker, "delete").await
}

async fn until_event(heard: &mut Subscription, marker: &str, last: &str) -> News {
    let mut told = News::new();
    loop {
        let (_, message) = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap_or_else(|_| panic!("{told:?}")).unwrap();
        let mut parts = message.splitn(3, ' ');
        let (event, json) = (parts.nth(1).unwrap(), parts.next().unwrap());
        let pod: serde_json::Value = serde_json::from_str(json).unwrap();
        let name = pod["name"].as_str().unwrap();
        let event = event.trim_start_matches("pod/");
        if name == marker && event == last {
            return told;
        }
        if name != marker {
            told.entry(name.to_owned()).or_default().push(event.to_owned());
        }
    }
}

/// Waits until so many objects are written down as announced.
pub async fn until_written(program: &Program, objects: f64) {
    let begin = std::time::Instant::now();
    loop {
        let written = program.metric("sluicebox_source_announced_objects", "source=\"pods\"").await.unwrap();
        if (written - objects).abs() < 0.1 {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{written} objects are written down, not {objects}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// CRC-32 (IEEE 802.3), bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

/// A pod of another cluster, or of this one before it was restored: its version lies in a future that may never come.
pub fn remember_a_pod_of_the_future(town: &Town) {
    let (mut book, _) = Announcements::open(&town.place.path("state")).unwrap().book("pods", "node n1", 1 << 20).unwrap();
    let pod = Pod { uid: "u".to_owned(), namespace: "shop".to_owned(), name: "elsewhere".to_owned(), ..Pod::default() };
    let announcement = Announcement {
        kind: ObjectKind::Pod,
        uid: "u".into(),
        namespace: "shop".into(),
        name: "elsewhere".into(),
        version: "999999999999".into(),
        attributes: Vec::new(),
        typed: Some(pod.into()),
        json: None,
    };
    book.write(&[Announced::There(Box::new(announcement))], 0).unwrap();
}
