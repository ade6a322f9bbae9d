//! A registry that lies, never ends, is slow or breaks off: each pull ends with its reason, within its limits.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicebox_contract::quantity::{ByteSize, TimeSpan};
use sluicebox_registry::layout::{CONFIG, LAYER, MANIFEST, digest};
use sluicebox_registry::{Config, Kind, PullConfig, PullError, Pulled, Puller, Reference, Wish};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::http::{Answer, PageServer};
use support::{PATIENCE, Place, binary, status_of, until};

const COMPONENT: &[u8] = b"a component";
const MOST: usize = 1 << 20;

/// A registry that is played.
struct Registry(PageServer);

impl Registry {
    /// With a module of this manifest and this layer.
    async fn with(manifest: Answer, layer: Answer) -> Self {
        let server = PageServer::start(Answer::Status(404, b"{}".to_vec())).await.unwrap();
        server.answer_to("/v2/ ", Answer::Report(b"{}".to_vec()));
        server.answer_to("/manifests/", manifest);
        server.answer_to("/blobs/", layer);
        Self(server)
    }

    async fn pull(&self, deadline: Duration) -> Result<Pulled, PullError> {
        self.pull_named(":v1", deadline).await
    }

    async fn pull_named(&self, rest: &str, deadline: Duration) -> Result<Pulled, PullError> {
        self.pull_as(rest, deadline, Config::default()).await
    }

    async fn pull_as(&self, rest: &str, deadline: Duration, config: Config) -> Result<Pulled, PullError> {
        let reference = Reference::find(&format!("oci://{}/shop/lines{rest}", self.0.address())).unwrap().unwrap();
        let settings = PullConfig { deadline: TimeSpan(deadline), memory: ByteSize(64 << 20), ..PullConfig::default() };
        let registries = BTreeMap::from([(self.0.address().clone(), config)]);
        let puller = Puller::by(binary().to_owned(), registries, settings);
        tokio::task::spawn_blocking(move || {
            puller.pull(Wish { reference: &reference, known: None, most_bytes: MOST, patience: Duration::MAX })
        })
        .await
        .unwrap()
    }

    async fn refuses(&self, kind: Kind, words: &str) {
        let error = self.pull(Duration::from_secs(20)).await.unwrap_err();
        assert!(error.kind == kind && error.reason.contains(words), "{error:?} and not {kind:?}: {words}");
        assert!(error.reason.len() < 2000, "{error}");
    }
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": LAYER, "digest": digest(COMPONENT), "size": COMPONENT.len()}],
    })
}

fn told(value: &Value) -> Answer {
    Answer::Typed(MANIFEST, value.to_string().into_bytes())
}

fn component() -> Answer {
    Answer::Typed("application/octet-stream", COMPONENT.to_vec())
}

/// An answer with a head of its own.
fn raw(status: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Answer::Raw(bytes)
}

/// A manifest with a change.
async fn changed(change: impl FnOnce(&mut Value)) -> Registry {
    let mut value = manifest();
    change(&mut value);
    Registry::with(told(&value), component()).await
}

#[tokio::test]
async fn an_honest_one_gives_the_component() {
    let registry = Registry::with(told(&manifest()), component()).await;
    let Pulled::Taken { manifest: taken, component } = registry.pull(Duration::from_secs(20)).await.unwrap() else {
        panic!("nothing was pulled")
    };
    assert_eq!((component.as_slice(), taken), (COMPONENT, manifest().to_string().into_bytes()));
    let rest = format!("@{}", digest(manifest().to_string().as_bytes()));
    assert!(registry.pull_named(&rest, Duration::from_secs(20)).await.is_ok());
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    Registry::with(told(&manifest()), Answer::Report(b"b component".to_vec())).await.refuses(Kind::Mismatch, "digest").await;
    let lying = raw("200 OK", &[&format!("Docker-Content-Digest: {}", digest(b"other"))], manifest().to_string().as_bytes());
    Registry::with(lying, component()).await.refuses(Kind::Mismatch, "digest").await;
    let registry = Registry::with(told(&manifest()), component()).await;
    let error = registry.pull_named(&format!("@{}", digest(b"other")), Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Mismatch, "{error}");
}

#[tokio::test]
async fn a_length_that_is_none_is_refused() {
    changed(|manifest| manifest["layers"][0]["size"] = json!(5)).await.refuses(Kind::Mismatch, "its manifest says 5").await;
    changed(|manifest| manifest["layers"][0]["size"] = json!(MOST + 1)).await.refuses(Kind::TooMuch, "are allowed").await;
    changed(|manifest| manifest["layers"][0]["size"] = json!(u64::MAX)).await.refuses(Kind::TooMuch, "are allowed").await;
}

#[tokio::test]
async fn what_is_no_module_is_refused_with_what_it_is() {
    changed(|manifest| manifest["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]))
        .await
        .refuses(Kind::Layout, "2 layers")
        .await;
    changed(|manifest| manifest["layers"] = json!([])).await.refuses(Kind::Layout, "0 layers").await;
    changed(|manifest| manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip"))
        .await
        .refuses(Kind::Layout, "tar+gzip")
        .await;
    changed(|manifest| *manifest = json!({"schemaVersion": 2, "manifests": []})).await.refuses(Kind::Layout, "a list").await;
    changed(|manifest| *manifest = json!("no manifest")).await.refuses(Kind::Layout, "no manifest").await;
    changed(|manifest| manifest["more"] = json!("a".repeat(300_000))).await.refuses(Kind::Layout, "more than").await;
}

#[tokio::test]
async fn what_never_ends_is_left() {
    let endless = Answer::Endless(vec![b' '; 1 << 16]);
    Registry::with(endless.clone(), component()).await.refuses(Kind::TooMuch, "does it ever end").await;
    Registry::with(told(&manifest()), endless.clone()).await.refuses(Kind::TooMuch, "are allowed").await;
    let registry = Registry::with(raw("401 Unauthorized", &[], b""), component()).await;
    registry.0.clear_rules();
    registry.0.answer(endless);
    registry.refuses(Kind::TooMuch, "does it ever end").await;
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_large_one_is_left() {
    let packed = Command::new("sh").args(["-c", "head -c 400000000 /dev/zero | gzip -1"]).output().unwrap().stdout;
    assert!(packed.len() < 4 << 20 && !packed.is_empty());
    let bomb = raw("200 OK", &["Content-Encoding: gzip"], &packed);
    Registry::with(bomb.clone(), component()).await.refuses(Kind::TooMuch, "does it ever end").await;
    Registry::with(told(&manifest()), bomb).await.refuses(Kind::TooMuch, "are allowed").await;
}

#[tokio::test]
async fn one_that_is_slow_or_silent_is_left_at_the_deadline() {
    let slow = Answer::Drip(Duration::from_millis(300), manifest().to_string().into_bytes());
    for answer in [slow, Answer::Silence] {
        for registry in
            [Registry::with(answer.clone(), component()).await, Registry::with(told(&manifest()), answer.clone()).await]
        {
            let begun = Instant::now();
            let error = registry.pull(Duration::from_secs(3)).await.unwrap_err();
            assert!(error.kind == Kind::Away && error.reason.contains("within 3s"), "{error:?}");
            assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn one_that_breaks_off_is_away() {
    for answer in [
        Answer::Reset(manifest().to_string().into_bytes()),
        Answer::TooShort(100, manifest().to_string().into_bytes()),
        Answer::Raw(b"what\r\n\r\n".to_vec()),
        Answer::Status(500, b"out of order".to_vec()),
        Answer::Status(503, Vec::new()),
        Answer::Status(429, br#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "slower"}]}"#.to_vec()),
    ] {
        let error = Registry::with(answer.clone(), component()).await.pull(Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Away, "{answer:?}: {error}");
    }
    let cut = Answer::TooShort(100, COMPONENT.to_vec());
    let error = Registry::with(told(&manifest()), cut).await.pull(Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Away, "{error}");
}

#[tokio::test]
async fn what_is_not_there_or_not_for_us_is_told() {
    let unknown = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#.to_vec();
    Registry::with(Answer::Status(404, unknown), component()).await.refuses(Kind::Absent, "manifest unknown").await;
    let denied = br#"{"errors": [{"code": "DENIED", "message": "not for you"}]}"#.to_vec();
    Registry::with(Answer::Status(403, denied), component()).await.refuses(Kind::Denied, "not for you").await;
    Registry::with(Answer::Status(401, Vec::new()), component()).await.refuses(Kind::Denied, "401").await;
    let harmful = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "\u001b[2J\nnew line"}]}"#.to_vec();
    let error = Registry::with(Answer::Status(404, harmful), component()).await.pull(Duration::from_secs(20)).await.unwrap_err();
    assert!(!error.reason.contains('\u{1b}') && !error.reason.contains('\n'), "{error:?}");
}

#[tokio::test]
async fn who_is_sent_elsewhere_takes_only_what_was_asked_for() {
    let elsewhere = PageServer::start(Answer::Report(b"b component".to_vec())).await.unwrap();
    let there = raw("307 Temporary Redirect", &[&format!("Location: http://{}/x", elsewhere.address())], b"");
    Registry::with(told(&manifest()), there.clone()).await.refuses(Kind::Mismatch, "digest").await;
    elsewhere.answer(component());
    assert!(Registry::with(told(&manifest()), there).await.pull(Duration::from_secs(20)).await.is_ok());
    let around = Registry::with(told(&manifest()), component()).await;
    around.0.clear_rules();
    around.0.answer_to("/v2/ ", Answer::Report(b"{}".to_vec()));
    around.0.answer(raw("302 Found", &[&format!("Location: http://{}/again", around.0.address())], b""));
    around.refuses(Kind::Away, "redirect").await;
}

#[tokio::test]
async fn a_password_goes_to_no_other_machine_in_clear_text_whomever_the_registry_names() {
    let place = tempfile::tempdir().unwrap();
    let password = place.path().join("password");
    std::fs::write(&password, "s3cret").unwrap();
    let config = Config { username: Some("me".to_owned()), password_file: Some(password), ..Config::default() };
    let registry = Registry::with(told(&manifest()), component()).await;
    let asks = |realm: &str| {
        registry.0.clear_rules();
        let ask = format!("Www-Authenticate: Bearer realm=\"{realm}\",service=\"s\"");
        registry.0.answer_to("/v2/ ", raw("401 Unauthorized", &[&ask], b""));
        registry.0.answer_to("/token", Answer::Report(br#"{"token": "t"}"#.to_vec()));
        registry.0.answer_to("/manifests/", told(&manifest()));
        registry.0.answer_to("/blobs/", component());
    };
    for realm in ["http://192.0.2.1/token", "http://registry.example/token", "http://[2001:db8::1]/token"] {
        asks(realm);
        let error = registry.pull_as(":v1", Duration::from_secs(20), config.clone()).await.unwrap_err();
        assert!(
            error.kind == Kind::Denied
                && error.reason.contains("is sent to no other machine in clear text")
                && error.hint().contains("`secrets-in-clear-text: true`"),
            "{realm}: {error:?}"
        );
    }
    // Nobody reads along on the way to this machine.
    asks(&format!("http://{}/token", registry.0.address()));
    assert!(registry.pull_as(":v1", Duration::from_secs(20), config).await.is_ok());
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_ends_the_pull_and_nothing_else() {
    let registry = Registry::with(told(&manifest()), component()).await;
    registry.0.clear_rules();
    let ask = format!("Www-Authenticate: Bearer realm=\"http://{}/token\",service=\"s\"", registry.0.address());
    registry.0.answer_to("/v2/ ", raw("401 Unauthorized", &[&ask], b""));
    registry.0.answer_to("/token", Answer::Report(br#"{"token": "a\nb"}"#.to_vec()));
    registry.0.answer_to("/manifests/", told(&manifest()));
    registry.refuses(Kind::Away, "has ended with").await;
    let _before = registry.0.requests();
    registry.0.clear_rules();
    registry.0.answer_to("/v2/ ", raw("401 Unauthorized", &[&ask], b""));
    registry.0.answer_to("/token", Answer::Status(403, b"go away".to_vec()));
    registry.refuses(Kind::Denied, "go away").await;
}

#[tokio::test]
async fn one_that_has_refused_and_goes_away_then_is_told_each_time() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let registry = Registry::with(told(&json!({})), component()).await;
    let rest = format!(
        "sources: {{pods: {{}}}}\npull: {{every: 1s}}\nmodules: {{lines: {{use: \"oci://{}/shop/lines:v1\", to: [out]}}}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n",
        registry.0.address()
    );
    let mut program = place.run(&place.configure(&api.url(), &rest));
    program.until_alive(PATIENCE).await.unwrap();
    let warnings = || program.log().unwrap().matches("a registry does not answer: there is no copy").count();
    until(&program, "it is refused", async || status_of(&program, "lines").await["failure"].is_string()).await;
    for time in 1..=2 {
        assert_eq!(warnings(), time - 1, "{}", program.log().unwrap());
        registry.0.clear_rules();
        registry.0.answer(Answer::Status(500, b"{}".to_vec()));
        until(&program, "it is away", async || warnings() == time).await;
        let refused = program.metric("sluicebox_pulls_total", "result=\"refused\"").await.unwrap();
        registry.0.answer_to("/v2/ ", Answer::Report(b"{}".to_vec()));
        registry.0.answer_to("/manifests/", told(&json!({})));
        until(&program, "it refuses again", async || {
            program.metric("sluicebox_pulls_total", "result=\"refused\"").await.unwrap() > refused
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_told_of_a_push_is_the_digest_of_what_was_sent_or_nothing() {
    let registry = Registry::with(told(&manifest()), component()).await;
    let reference = Reference::find(&format!("oci://{}/shop/lines:v1", registry.0.address())).unwrap().unwrap();
    let accepts = || {
        registry.0.clear_rules();
        registry.0.answer_to("/v2/ ", Answer::Report(b"{}".to_vec()));
        let location = "Location: /v2/shop/lines/blobs/uploads/1";
        registry.0.answer_to("POST ", raw("202 Accepted", &[location, "Connection: close"], b""));
        registry.0.answer_to("PATCH ", raw("202 Accepted", &[location, "Range: 0-10", "Connection: close"], b""));
        registry.0.answer_to("PUT ", raw("201 Created", &[location, "Connection: close"], b""));
    };
    let config = Config::default();
    // It shows another module under the tag, nothing at all, or says that it has none.
    let another = told(&manifest());
    for shown in [another, Answer::Report(Vec::new()), Answer::Status(404, b"{}".to_vec())] {
        accepts();
        registry.0.answer_to("/manifests/", shown);
        let pushed = sluicebox_registry::push(&reference, COMPONENT.to_vec(), &[], &[], BTreeMap::new(), &config);
        let error = pushed.await.unwrap_err();
        assert!(matches!(error.kind, Kind::Mismatch | Kind::Absent), "{error:?}");
        assert!(error.reason.starts_with("it was sent, but is not there as sha256:"), "{error}");
    }
}

#[tokio::test]
async fn who_has_a_password_pushes_to_no_other_machine_in_clear_text() {
    let place = tempfile::tempdir().unwrap();
    let password = place.path().join("password");
    std::fs::write(&password, "s3cret").unwrap();
    let config = Config { username: Some("me".to_owned()), password_file: Some(password), ..Config::default() };
    let registry = Registry::with(told(&manifest()), component()).await;
    let reference = Reference::find(&format!("oci://{}/shop/lines:v1", registry.0.address())).unwrap().unwrap();
    registry.0.clear_rules();
    registry.0.answer_to("/v2/ ", Answer::Report(b"{}".to_vec()));
    registry.0.answer_to("POST ", raw("202 Accepted", &["Location: http://192.0.2.2:5000/u", "Connection: close"], b""));
    let pushed = sluicebox_registry::push(&reference, COMPONENT.to_vec(), &[], &[], BTreeMap::new(), &config);
    let error = pushed.await.unwrap_err();
    assert!(error.keeps_secret() && error.reason.contains("the registry names another one"), "{error:?}");
}
