//! `sluicebox module push` to another machine: a password does not go there in clear text unless that is said, and what is in the way is told.

mod support;

use std::fs;
use std::process::Command;

use sluicebox_testkit::http::{Answer, PageServer};
use support::author::Said;
use support::{Place, binary, module};

const REGISTRY: &str = "registry.example:5000";
/// `me:s3cret`, as it stands in a request.
const SECRET: &str = "bWU6czNjcmV0";

/// Pushes through a proxy that sees what goes over the wire.
struct Wire {
    place: Place,
    proxy: PageServer,
}

impl Wire {
    async fn new() -> Self {
        let proxy = PageServer::start(Answer::Status(404, b"{}".to_vec())).await.unwrap();
        let ask =
            "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        proxy.answer(Answer::Raw(ask.as_bytes().to_vec()));
        let place = Place::new();
        fs::create_dir(place.path("docker")).unwrap();
        Self { place, proxy }
    }

    fn log_in(&self) {
        let text = serde_json::json!({"auths": {REGISTRY: {"auth": SECRET}}});
        fs::write(self.place.path("docker/config.json"), text.to_string()).unwrap();
    }

    async fn push(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(binary());
        command.args(["module", "push", module("json-lines").to_str().unwrap(), &format!("oci://{REGISTRY}/shop/lines:v1")]);
        command.args(arguments).env("DOCKER_CONFIG", self.place.path("docker")).env_remove("REGISTRY_AUTH_FILE");
        command.env("HOME", self.place.path("home")).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command.env("http_proxy", format!("http://{}", self.proxy.address())).env_remove("no_proxy").env_remove("NO_PROXY");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }

    fn has_told(&self) -> bool {
        self.proxy.requests().iter().any(|request| request.contains(SECRET))
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_is_given_up() {
    let wire = Wire::new().await;
    wire.proxy.answer(Answer::Silence);
    let said = wire.push(&["--plain-http", "--deadline", "1s"]).await;
    assert!(said.code == 1 && said.error.contains("it was not done within 1s"), "{}", said.error);
    assert!(said.error.contains("hint: is the registry up") && said.error.contains("`--deadline`"), "{}", said.error);
}

#[tokio::test]
async fn a_password_goes_to_another_machine_in_clear_text_only_when_that_is_said() {
    let wire = Wire::new().await;
    wire.log_in();
    let said = wire.push(&["--plain-http"]).await;
    assert_eq!(said.code, 2, "{}", said.error);
    assert!(said.error.contains(&format!("error: you are logged in to {REGISTRY}, and without TLS anybody")), "{}", said.error);
    assert!(said.error.contains("`--secrets-in-clear-text`"), "{}", said.error);
    assert_eq!(wire.proxy.requests(), Vec::<String>::new());
    let said = wire.push(&["--plain-http", "--secrets-in-clear-text"]).await;
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(wire.has_told(), "{:?}", wire.proxy.requests());
}

#[tokio::test]
async fn who_is_not_logged_in_has_nothing_to_hide() {
    let wire = Wire::new().await;
    let said = wire.push(&["--plain-http"]).await;
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(!wire.proxy.requests().is_empty());
    assert!(said.error.contains("hint: log in (`docker login`"), "{}", said.error);
}

#[tokio::test]
async fn a_registry_that_is_away_is_not_asked_again() {
    let wire = Wire::new().await;
    wire.proxy.answer(Answer::Status(503, b"away".to_vec()));
    let said = wire.push(&["--plain-http"]).await;
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(said.error.contains("hint: is the registry up, and can it be reached from here?"), "{}", said.error);
    assert!(!said.error.contains("asked again"), "{}", said.error);
}

#[test]
fn the_help_says_when_a_password_is_told() {
    let help = support::author::run(&["push", "--help"]).out;
    assert!(help.contains("--secrets-in-clear-text") && help.contains("a password is told to another machine"), "{help}");
}
