//! The running program with a lane whose module can be made bad in every way, and another lane beside it.

use std::path::PathBuf;

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_wasm::digest;

use super::{
    PATIENCE, Place, SLOW, digest_in, log_lines, log_since, module, pending, replace, status_of, until, until_within, version_of,
};

/// Lane `shop` runs `hostile.wasm` out of a file and writes the name of each pod; lane `other` writes JSON lines.
pub struct Shop {
    pub place: Place,
    pub api: ApiServer,
    pub program: Program,
    /// What the configuration says besides.
    pub terms: Terms,
    pods: usize,
    versions: usize,
}

/// What a test may have otherwise.
#[derive(Clone)]
pub struct Terms {
    /// Of the module in lane `shop`.
    pub settings: String,
    /// Of lane `shop`, as a YAML flow.
    pub limits: String,
    /// Of lane `other`.
    pub other: String,
    /// More of the section `reload`, beginning with a comma.
    pub reload: String,
    /// More of lane `shop`, ending with a comma.
    pub lane: String,
    /// More of the configuration, whole lines.
    pub more: String,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            settings: "{}".to_owned(),
            // A deadline that a busy machine keeps.
            limits: "{deadline: 2s, start-deadline: 2s, memory: 64MiB, entries: 1000, component: 2MiB}".to_owned(),
            other: "{fields: compact}".to_owned(),
            reload: String::new(),
            lane: String::new(),
            more: String::new(),
        }
    }
}

/// How a version is refused.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    pub step: &'a str,
    /// Words of the reason.
    pub reason: &'a str,
}

impl Shop {
    pub async fn open(terms: Terms) -> Self {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        replace(&place.path("module.wasm"), &std::fs::read(module("hostile")).unwrap());
        let config = place.configure(&api.url(), &rest(&place, &terms));
        let mut program = place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        Self { place, api, program, terms, pods: 0, versions: 0 }
    }

    pub fn component(&self) -> PathBuf {
        self.place.path("module.wasm")
    }

    /// Has the module of lane `shop` run with other settings.
    pub fn set(&mut self, settings: &str) {
        settings.clone_into(&mut self.terms.settings);
        self.reconfigure();
    }

    /// Writes the configuration as the terms are.
    pub fn reconfigure(&self) {
        self.place.reconfigure(&self.api.url(), &rest(&self.place, &self.terms));
    }

    /// Another good version of the component.
    pub fn next_version(&mut self) -> Vec<u8> {
        self.versions += 1;
        version_of(&std::fs::read(module("hostile")).unwrap(), &format!("version {}", self.versions))
    }

    /// A pod comes.
    pub fn pod(&mut self) {
        self.api.create_pod(pending(&format!("pod-{}", self.pods))).unwrap();
        self.pods += 1;
    }

    /// Every pod is told by both lanes, once, in order.
    pub async fn told(&self) {
        let names: Vec<String> = (0..self.pods).map(|number| format!("pod-{number}")).collect();
        self.program.until_lines(PATIENCE, |lines| lines.len() >= 2 * self.pods).await.unwrap();
        let lines = self.program.lines().clone();
        let (other, shop): (Vec<String>, Vec<String>) = lines.into_iter().partition(|line| line.starts_with('{'));
        assert_eq!(shop, names);
        let other: Vec<String> = other
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(other, names);
    }

    /// A pod comes and is told.
    pub async fn flows(&mut self) {
        self.pod();
        self.told().await;
    }

    /// Brings a bad version into lane `shop`; the one before shapes what comes before, meanwhile and after it was refused.
    pub async fn refuses(&mut self, bad: impl FnOnce(&mut Self), refusal: Refusal<'_>) {
        self.flows().await;
        let (before, reloads, line) =
            (digest_in(&self.program, "shop").await, self.refused_so_far().await, log_lines(&self.program));
        bad(self);
        self.pod();
        self.is_refused("shop", refusal).await;
        let status = status_of(&self.program, "shop").await;
        let expected = std::fs::metadata(self.component()).ok().filter(std::fs::Metadata::is_file);
        let expected = expected.map(|_| digest(&std::fs::read(self.component()).unwrap()));
        if refusal.step == "reading the component" {
            assert!(status["refused"]["digest"].is_null(), "{status:#}");
        } else {
            assert_eq!(status["refused"]["digest"].as_str(), expected.as_deref(), "{status:#}");
        }
        assert_eq!((status["state"].as_str(), status["from"].as_str()), (Some("at-work"), Some("configuration")), "{status:#}");
        assert_eq!(digest_in(&self.program, "shop").await, before);
        assert!(self.refused_so_far().await > reloads);
        until(&self.program, "the log tells of it", async || self.is_logged("shop", refusal, line)).await;
        let (ready, text) = self.program.get("/readyz").await.unwrap();
        let remark = format!("[+] module shop: at work; a newer version was refused in {}: ", refusal.step);
        assert!(ready && text.contains(&remark), "{text}");
        self.flows().await;
    }

    /// Lane `lane` has refused a version so.
    pub async fn is_refused(&self, lane: &str, refusal: Refusal<'_>) {
        let Refusal { step, reason } = refusal;
        until(&self.program, &format!("{lane}: refused in {step}: {reason}"), async || {
            let refused = &status_of(&self.program, lane).await["refused"];
            refused["step"] == step && refused["reason"].as_str().is_some_and(|text| text.contains(reason))
        })
        .await;
    }

    fn is_logged(&self, lane: &str, refusal: Refusal<'_>, since: usize) -> bool {
        log_since(&self.program, since).iter().any(|line| {
            line["level"] == "ERROR"
                && line["message"] == "new version refused"
                && line["lane"] == lane
                && line["step"] == refusal.step
                && line["reason"].as_str().is_some_and(|text| text.contains(refusal.reason))
                && line["old_goes_on"] == true
        })
    }

    async fn refused_so_far(&self) -> f64 {
        let rows = self.program.metrics(&["sluicebox_lane_reloads_total"]).await.unwrap();
        let row = rows.iter().find(|row| row.contains("lane=\"shop\"") && row.contains("result=\"refused\"")).unwrap();
        row.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// A good version of the component takes over, and what was refused is forgotten.
    pub async fn takes_component(&mut self) {
        let good = self.next_version();
        replace(&self.component(), &good);
        self.pod();
        let wanted = digest(&good);
        until_within(&self.program, SLOW, "the good version takes over", async || {
            digest_in(&self.program, "shop").await == wanted
        })
        .await;
        self.is_content().await;
    }

    /// Settings that the module likes take over, and what was refused is forgotten.
    pub async fn takes(&mut self, settings: &str) {
        let before = status_of(&self.program, "shop").await["swapped"].as_u64().unwrap();
        self.set(settings);
        self.pod();
        until(&self.program, &format!("{settings} take over"), async || {
            status_of(&self.program, "shop").await["swapped"].as_u64().unwrap() > before
        })
        .await;
        self.is_content().await;
    }

    /// As [`Shop::takes`], with settings that nobody has had before.
    pub async fn takes_settings(&mut self) {
        self.versions += 1;
        let settings = format!("{{size: {}}}", self.versions);
        self.takes(&settings).await;
    }

    async fn is_content(&mut self) {
        let status = status_of(&self.program, "shop").await;
        assert!(status["refused"].is_null(), "{status:#}");
        let (ready, text) = self.program.get("/readyz").await.unwrap();
        assert!(ready && text.contains("[+] module shop: at work\n"), "{text}");
        self.flows().await;
    }

    /// Stops the program, which has lost nothing.
    pub async fn close(mut self) {
        self.told().await;
        let status = self.program.stop(PATIENCE).await.unwrap();
        assert!(status.success(), "{status}\n{}", self.program.log().unwrap());
        self.told().await;
    }
}

fn rest(place: &Place, terms: &Terms) -> String {
    let Terms { settings, limits, other, reload, lane, more } = terms;
    format!(
        "sources: {{pods: {{}}}}\n\
         reload: {{poll: 500ms, debounce: 50ms{reload}}}\n\
         compiler: {{deadline: 10m}}\n\
         modules:\n\
         \x20 shop: {{use: \"{}\", {lane} settings: {settings}, limits: {limits}, to: [out]}}\n\
         \x20 other: {{use: json-lines, settings: {other}, to: [out]}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n\
         {more}",
        place.path("module.wasm").display(),
    )
}
