//! The running program with a lane whose module comes from a real registry.

use std::collections::BTreeMap;
use std::fs;

use sluicebox::trust::keys::PrivateKey;
use sluicebox::trust::signature::text;
use sluicebox_registry::layout::SIGNATURE;
use sluicebox_registry::{Config, Reference, push};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_testkit::servers::{REGISTRY_USER, RegistryOptions, RegistryServer};
use sluicebox_wasm::digest;

use super::{PATIENCE, Place, SLOW, digest_in, module, pending, status_of, until, until_within, version_of};

/// A registry, a place for the program, and what it watches.
pub struct Bench {
    pub place: Place,
    pub api: ApiServer,
    pub registry: RegistryServer,
    /// What the configuration says of the registry.
    pub said: Config,
}

impl Bench {
    pub async fn new(options: RegistryOptions) -> Self {
        let registry = RegistryServer::start(options).await.unwrap();
        let place = Place::new();
        let mut said = Config::default();
        if options.password {
            fs::write(place.path("password"), REGISTRY_USER.1).unwrap();
            said.username = Some(REGISTRY_USER.0.to_owned());
            said.password_file = Some(place.path("password"));
        }
        if let Some(authority) = registry.certificate_authority() {
            said.ca_file = Some(authority.to_owned());
            said.plain_http = Some(false);
        }
        Self { place, api: ApiServer::start().await.unwrap(), registry, said }
    }

    pub fn named(&self, rest: &str) -> String {
        format!("oci://{}/shop/lines{rest}", self.registry.host())
    }

    /// Pushes a component; gives the digest of its manifest.
    pub async fn push(&self, tag: &str, component: &[u8]) -> String {
        self.push_with(tag, component, BTreeMap::new()).await
    }

    pub async fn push_with(&self, tag: &str, component: &[u8], annotations: BTreeMap<String, String>) -> String {
        let reference = Reference::find(&self.named(tag)).unwrap().unwrap();
        push(&reference, component.to_vec(), &[], &[], annotations, &self.said).await.unwrap().digest
    }

    pub fn rest(module: &str, registries: &str) -> String {
        format!(
            "sources: {{pods: {{}}}}\nreload: {{poll: 200ms, debounce: 50ms, kubernetes-events: true}}\npull: {{every: 1s, deadline: 20s}}\n\
             registries: {registries}\nmodules: {{lines: {{use: \"{module}\", to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n"
        )
    }

    pub async fn run(&self, module: &str) -> Program {
        let registries = serde_json::json!({ self.registry.host(): self.said });
        self.run_with(module, &registries.to_string()).await
    }

    pub async fn run_with(&self, module: &str, registries: &str) -> Program {
        let config = self.place.configure(&self.api.url(), &Self::rest(module, registries));
        let mut program = self.place.run(&config);
        program.until_alive(PATIENCE).await.unwrap();
        program
    }

    /// A pod comes, and the module makes a line of it.
    pub async fn sees(&self, program: &Program, name: &str) {
        self.api.create_pod(pending(name)).unwrap();
        program.until_lines(SLOW, |lines| lines.iter().any(|line| line.contains(name))).await.unwrap();
    }
}

/// Two versions of the same module.
pub fn versions() -> [Vec<u8>; 2] {
    let component = fs::read(module("hostile")).unwrap();
    [version_of(&component, "one"), version_of(&component, "two")]
}

pub async fn until_runs(program: &Program, component: &[u8]) {
    let wanted = digest(component);
    until_within(program, SLOW, "the lane runs it", async || {
        status_of(program, "lines").await["state"] == "at-work" && digest_in(program, "lines").await == wanted
    })
    .await;
}

pub async fn until_refused(program: &Program, words: &[&str]) {
    until(program, &format!("it is refused: {words:?}"), async || {
        let refused = status_of(program, "lines").await["refused"].to_string();
        words.iter().all(|word| refused.contains(word))
    })
    .await;
}

pub fn logged(program: &Program, words: &[&str]) -> bool {
    program.log().unwrap().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// What goes along with a component that this key has signed.
pub fn signed(by: &PrivateKey, component: &[u8]) -> BTreeMap<String, String> {
    BTreeMap::from([(SIGNATURE.to_owned(), text(&by.sign(component)))])
}

/// The section of a configuration that wants modules signed by this key.
pub fn trusting(key: &PrivateKey) -> String {
    let pem = key.public().pem().replace('\n', "\n      ");
    format!("trust:\n  signed-by: [ops]\n  keys:\n    ops: |\n      {pem}\n")
}
