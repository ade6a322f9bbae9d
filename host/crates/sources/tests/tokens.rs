//! Where tokens come from: files and kubectl, rotated, refused, slow, talkative.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster::{Recorder, TYPED, during, pod};
use sluicebox_contract::SubjectIds;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_sources::kubernetes::{Api, Config, Kubectl, TokenRetrieval};
use sluicebox_sources::pods::{self, Pods};
use sluicebox_testkit::api_server::ApiServer;
use tempfile::TempDir;

struct Bench {
    server: ApiServer,
    folder: TempDir,
    meter: Arc<SourceMeter>,
    recorder: Recorder,
}

impl Bench {
    async fn new() -> Self {
        Self {
            server: ApiServer::start().await.expect("the server starts"),
            folder: tempfile::tempdir().expect("a folder"),
            meter: Arc::default(),
            recorder: Recorder::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).expect("a file");
        self.path(name)
    }

    /// A program that stands for kubectl. It notes its arguments first.
    fn kubectl(&self, script: &str) -> Kubectl {
        let calls = self.path("calls");
        let path = self.write("kubectl", &format!("#!/bin/sh\necho \"$*\" >> {}\n{script}\n", calls.display()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is executable");
        Kubectl { service_account: "reader".to_owned(), namespace: "watch".to_owned(), program: path, ..Kubectl::default() }
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    async fn source(&self, token_retrieval: TokenRetrieval) -> Pods {
        let config = Config { url: Some(self.server.url()), token_retrieval, ..Config::default() };
        let api = Api::connect(&config).await.expect("a way to the API server");
        Pods::new(&pods::Config::default(), api, "n1", TYPED, Arc::new(SubjectIds::default()), Arc::clone(&self.meter))
    }

    fn bearers(&self) -> Vec<String> {
        self.server.requests().into_iter().filter_map(|request| request.bearer).collect()
    }
}

/// A token that ends so much later.
fn jwt(name: &str, lasts: Duration) -> String {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock") + lasts;
    let claims = format!(r#"{{"sub":"{name}","exp":{}}}"#, end.as_secs());
    format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
}

/// D35: the token is sent, without the white space that files end in.
#[tokio::test]
async fn d35_a_token_from_a_file_is_sent_without_its_line_break() {
    let bench = Bench::new().await;
    bench.server.accept_tokens(&["opaque-token"]);
    let file = bench.write("token", " opaque-token\r\n");
    let source = bench.source(TokenRetrieval::File(file)).await;
    during(source, &bench.recorder, bench.recorder.until_complete()).await;
    assert_eq!(bench.meter.retries.get(), 0);
    assert_eq!(bench.bearers().first().map(String::as_str), Some("opaque-token"));
}

/// A token that is refused is read again at once, not after its time.
#[tokio::test]
async fn a_refused_token_is_read_again() {
    let bench = Bench::new().await;
    bench.server.accept_tokens(&["new"]);
    let file = bench.write("token", "old");
    let source = bench.source(TokenRetrieval::File(file)).await;
    during(source, &bench.recorder, async {
        while bench.meter.retries.get() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.write("token", "new");
        bench.recorder.until_complete().await;
    })
    .await;
}

/// A file that is not there yet, or empty, or not a token, is waited for.
#[tokio::test]
async fn a_token_file_that_comes_late_is_waited_for() {
    let bench = Bench::new().await;
    bench.server.accept_tokens(&["good"]);
    let source = bench.source(TokenRetrieval::File(bench.path("token"))).await;
    during(source, &bench.recorder, async {
        for text in [None, Some(""), Some("two words")] {
            if let Some(text) = text {
                bench.write("token", text);
            }
            let tries = bench.meter.retries.get();
            while bench.meter.retries.get() == tries {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(bench.server.requests(), [], "nothing is sent without its token");
        bench.write("token", "good");
        bench.recorder.until_complete().await;
    })
    .await;
}

/// kubectl is asked once for both list and watch, with account and namespace.
#[tokio::test]
async fn d44_kubectl_is_asked_for_a_token() {
    let bench = Bench::new().await;
    let token = jwt("one", Duration::from_hours(1));
    bench.server.accept_tokens(&[&token]);
    let source = bench.source(TokenRetrieval::Kubectl(bench.kubectl(&format!("echo {token}")))).await;
    during(source, &bench.recorder, async {
        bench.recorder.until_complete().await;
        bench.server.create_pod(pod("s", "a", "n1")).expect("it is created");
        bench.recorder.until_line("added a Pending").await;
    })
    .await;
    assert_eq!(bench.calls(), ["create token reader --namespace watch"]);
}

/// A token of kubectl's is renewed before it ends.
#[tokio::test]
async fn a_token_of_kubectl_is_renewed_before_it_ends() {
    let bench = Bench::new().await;
    let (first, second) = (jwt("one", Duration::from_secs(2)), jwt("two", Duration::from_hours(1)));
    bench.server.accept_tokens(&[&first, &second]);
    let script = format!("if [ $(wc -l < {0}) = 1 ]; then echo {first}; else echo {second}; fi", bench.path("calls").display());
    let source = bench.source(TokenRetrieval::Kubectl(bench.kubectl(&script))).await;
    during(source, &bench.recorder, async {
        bench.recorder.until_complete().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        bench.server.break_watches();
        bench.server.create_pod(pod("s", "a", "n1")).expect("it is created");
        bench.recorder.until_line("added a Pending").await;
    })
    .await;
    assert_eq!(bench.bearers().last(), Some(&second));
    assert_eq!(bench.meter.retries.get(), 0, "no request was refused");
}

/// A token of kubectl's that the API refuses is asked for anew.
#[tokio::test]
async fn a_token_of_kubectl_that_is_refused_is_asked_for_anew() {
    let bench = Bench::new().await;
    let (first, second) = (jwt("one", Duration::from_hours(1)), jwt("two", Duration::from_hours(1)));
    bench.server.accept_tokens(&[&second]);
    let script = format!("if [ $(wc -l < {0}) = 1 ]; then echo {first}; else echo {second}; fi", bench.path("calls").display());
    let source = bench.source(TokenRetrieval::Kubectl(bench.kubectl(&script))).await;
    during(source, &bench.recorder, bench.recorder.until_complete()).await;
    assert_eq!((bench.calls().len(), bench.meter.retries.get()), (2, 1));
}

/// What kubectl can do wrong is said, and waited out.
#[tokio::test]
async fn what_kubectl_does_wrong_is_said() {
    for (script, words) in [
        ("echo e30.e30", "the token has 2 parts, a JSON web token has 3"),
        (
            "echo 'error: serviceaccounts \"reader\" not found' >&2; exit 1",
            "exit status: 1: error: serviceaccounts \"reader\" not found",
        ),
        ("sleep 60", "it did not end within 300ms"),
        ("head -c 200000 /dev/zero", "it is longer than 65536 bytes"),
        ("yes", "it is longer than 65536 bytes"),
    ] {
        let bench = Bench::new().await;
        let kubectl = Kubectl { timeout: TimeSpan(Duration::from_millis(300)), ..bench.kubectl(script) };
        let log = cluster::log::Log;
        let source = bench.source(TokenRetrieval::Kubectl(kubectl)).await;
        log.catch();
        during(source, &bench.recorder, log.until(words)).await;
        assert_eq!(bench.server.requests(), [], "{script}");
    }
}

/// A kubectl that is not there is said, too.
#[tokio::test]
async fn a_kubectl_that_is_not_there_is_said() {
    let bench = Bench::new().await;
    let kubectl = Kubectl { program: PathBuf::from("/nowhere/kubectl"), ..Kubectl::default() };
    let log = cluster::log::Log;
    let source = bench.source(TokenRetrieval::Kubectl(kubectl)).await;
    log.catch();
    during(
        source,
        &bench.recorder,
        log.until("cannot get a token by `/nowhere/kubectl create token sluicebox --namespace sluicebox`"),
    )
    .await;
}

/// A kubectl that is given up does not live on.
#[tokio::test]
async fn a_kubectl_that_is_given_up_ends() {
    let bench = Bench::new().await;
    let mark = bench.path("pid");
    let kubectl = bench.kubectl(&format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60", mark.display()));
    let source = bench.source(TokenRetrieval::Kubectl(kubectl)).await;
    during(source, &bench.recorder, async {
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let pid = std::fs::read_to_string(&mark).expect("a process id");
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    for _ in 0..500 {
        if std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        } else {
            return;
        }
    }
    panic!("it lives");
}
