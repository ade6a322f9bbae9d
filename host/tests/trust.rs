//! Modules that must be whom they are thought to be: pinned, signed, and granted what they import. Whatever is refused, the old one goes on.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sluicebox::trust::keys::PrivateKey;
use sluicebox::trust::signature::{path, text};
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_wasm::digest;
use support::shop::{Refusal, Shop, Terms};
use support::small::small;
use support::{PATIENCE, Place, SLOW, digest_in, log_lines, log_since, module, replace, status_of, until, until_within};

const VERIFY: &str = "verifying the component";
const LOAD: &str = "loading the component";

fn hostile() -> Vec<u8> {
    fs::read(module("hostile")).unwrap()
}

fn pinned(digests: &[&str]) -> String {
    format!("sha256: [{}],", digests.join(", "))
}

async fn takes_over(shop: &mut Shop, component: &[u8]) {
    let wanted = digest(component);
    until_within(&shop.program, SLOW, "it takes over", async || {
        let status = status_of(&shop.program, "shop").await;
        status["module"]["digest"] == wanted.as_str() && status["refused"].is_null()
    })
    .await;
    shop.flows().await;
}

#[tokio::test]
async fn a_new_file_is_refused_until_the_configuration_pins_it() {
    let first = digest(&hostile());
    let mut shop = Shop::open(Terms { lane: pinned(&[&first]), ..Terms::default() }).await;
    let next = shop.next_version();
    let reason = format!(
        "its sha256 is {}, but the configuration pins {first} (hint: if this is the version that you want, pin it: `sha256: ",
        digest(&next)
    );
    shop.refuses(|shop| replace(&shop.component(), &next), Refusal { step: VERIFY, reason: &reason }).await;
    shop.terms.lane = format!("sha256: {},", digest(&next));
    shop.reconfigure();
    takes_over(&mut shop, &next).await;
    shop.close().await;
}

#[tokio::test]
async fn a_pin_that_comes_before_its_file_waits_for_it() {
    let mut shop = Shop::open(Terms { lane: pinned(&[&digest(&hostile())]), ..Terms::default() }).await;
    let next = shop.next_version();
    let pin = |shop: &mut Shop| {
        shop.terms.lane = pinned(&[&digest(&next)]);
        shop.reconfigure();
    };
    let reason = format!("but the configuration pins {}", digest(&next));
    shop.refuses(pin, Refusal { step: VERIFY, reason: &reason }).await;
    replace(&shop.component(), &next);
    takes_over(&mut shop, &next).await;
    shop.close().await;
}

#[tokio::test]
async fn with_both_digests_pinned_nothing_is_refused_on_the_way() {
    let mut shop = Shop::open(Terms::default()).await;
    let next = shop.next_version();
    let line = log_lines(&shop.program);
    shop.terms.lane = pinned(&[&digest(&hostile()), &digest(&next)]);
    shop.reconfigure();
    replace(&shop.component(), &next);
    takes_over(&mut shop, &next).await;
    shop.terms.lane = pinned(&[&digest(&next)]);
    shop.reconfigure();
    until(&shop.program, "the configuration is read twice", async || {
        log_since(&shop.program, line).iter().filter(|line| line["message"] == "configuration read again").count() == 2
    })
    .await;
    shop.flows().await;
    assert!(!log_since(&shop.program, line).iter().any(|line| line["message"] == "new version refused"));
    // What is demanded of a module that runs is no reason to change it.
    assert_eq!(status_of(&shop.program, "shop").await["swapped"], 1);
    shop.close().await;
}

/// Keys `ops` and `ci`, of which `ops` must sign.
struct Keys {
    ops: PrivateKey,
    ci: PrivateKey,
}

impl Keys {
    fn new() -> Self {
        Self { ops: PrivateKey::generate().unwrap(), ci: PrivateKey::generate().unwrap() }
    }

    fn section(&self, signed_by: &str) -> String {
        let key = |key: &PrivateKey| format!("      {}\n", key.public().pem().trim_end().replace('\n', "\n      "));
        format!("trust:\n  signed-by: {signed_by}\n  keys:\n    ops: |\n{}    ci: |\n{}", key(&self.ops), key(&self.ci))
    }
}

fn sign(key: &PrivateKey, component: &[u8]) -> Vec<u8> {
    text(&key.sign(component)).into_bytes()
}

fn beside(shop: &Shop) -> PathBuf {
    path(&shop.component())
}

/// The collector runs a signed module, and has demanded that since it runs.
async fn signed(keys: &Keys) -> Shop {
    let mut shop = Shop::open(Terms::default()).await;
    let line = log_lines(&shop.program);
    replace(&beside(&shop), &sign(&keys.ops, &hostile()));
    shop.terms.more = keys.section("ops");
    shop.reconfigure();
    until(&shop.program, "keys are known", async || {
        log_since(&shop.program, line).iter().any(|line| line["message"] == "configuration read again")
    })
    .await;
    shop.flows().await;
    assert!(status_of(&shop.program, "shop").await["refused"].is_null());
    shop
}

/// What stands beside a component, and what is said of it.
type Case<'a> = (&'a dyn Fn(&[u8]) -> Option<Vec<u8>>, &'a str);

#[tokio::test]
async fn what_is_not_signed_as_it_must_be_is_refused_until_it_is() {
    let keys = Keys::new();
    let mut shop = signed(&keys).await;
    let cases: [Case<'_>; 4] = [
        (&|_| None, "it must be signed by `ops`, but there is no "),
        (&|bytes| Some(sign(&keys.ci, bytes)), "module.wasm.sig is a signature by `ci` (hint: have it signed by `ops`"),
        (&|_| Some(sign(&keys.ops, b"another")), "module.wasm.sig does not fit it: it was changed after it was signed"),
        (&|_| Some(b"hello".to_vec()), "module.wasm.sig is no signature: "),
    ];
    for (signature, reason) in cases {
        let next = shop.next_version();
        let put = |shop: &mut Shop| {
            match signature(&next) {
                Some(signature) => replace(&beside(shop), &signature),
                None => fs::remove_file(beside(shop)).unwrap(),
            }
            replace(&shop.component(), &next);
        };
        shop.refuses(put, Refusal { step: VERIFY, reason }).await;
        // The signature alone changes.
        replace(&beside(&shop), &sign(&keys.ops, &next));
        takes_over(&mut shop, &next).await;
    }
    shop.close().await;
}

#[tokio::test]
async fn two_files_that_come_one_after_the_other_are_taken_without_noise() {
    let keys = Keys::new();
    let mut shop = signed(&keys).await;
    let line = log_lines(&shop.program);
    for is_first in [true, false] {
        let next = shop.next_version();
        let (component, signature) = (shop.component(), beside(&shop));
        let files = [(component, next.clone()), (signature, sign(&keys.ops, &next))];
        let [first, second] = if is_first {
            files
        } else {
            let [one, other] = files;
            [other, one]
        };
        replace(&first.0, &first.1);
        // Longer than changes are gathered.
        tokio::time::sleep(Duration::from_millis(400)).await;
        replace(&second.0, &second.1);
        takes_over(&mut shop, &next).await;
    }
    assert!(!log_since(&shop.program, line).iter().any(|line| line["message"] == "new version refused"));
    // One that comes late is told once.
    let next = shop.next_version();
    replace(&shop.component(), &next);
    shop.is_refused("shop", Refusal { step: VERIFY, reason: "does not fit it" }).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    replace(&beside(&shop), &sign(&keys.ops, &next));
    takes_over(&mut shop, &next).await;
    assert_eq!(log_since(&shop.program, line).iter().filter(|line| line["message"] == "new version refused").count(), 1);
    shop.close().await;
}

#[tokio::test]
async fn another_key_may_be_named_while_it_runs() {
    let keys = Keys::new();
    let mut shop = signed(&keys).await;
    let next = shop.next_version();
    let put = |shop: &mut Shop| {
        replace(&beside(shop), &sign(&keys.ci, &next));
        replace(&shop.component(), &next);
    };
    shop.refuses(put, Refusal { step: VERIFY, reason: "is a signature by `ci`" }).await;
    shop.terms.more = keys.section("[ops, ci]");
    shop.reconfigure();
    takes_over(&mut shop, &next).await;
    assert_eq!(status_of(&shop.program, "other").await["state"], "at-work", "a preset needs no signature");
    shop.close().await;
}

/// A version that asks for more than it may have.
fn asking(import: &str) -> Vec<u8> {
    wat::parse_str(format!(r#"(component (import "{import}" (instance (export "get" (func)))))"#)).unwrap()
}

#[tokio::test]
async fn what_imports_more_than_may_be_granted_is_refused_with_the_reason() {
    let mut shop = Shop::open(Terms::default()).await;
    for (import, reason) in [
        (
            "wasi:sockets/tcp@0.2.0",
            "it imports wasi:sockets/tcp@0.2.0; granted: sluicebox:module/log (hint: no module is given WASI: ",
        ),
        (
            "sluicebox:module/network@0.2.0",
            "it imports sluicebox:module/network@0.2.0; granted: sluicebox:module/log (hint: this host has sluicebox:module 0.2.0, of which",
        ),
        ("sluicebox:module/log@0.7.0", "it is made for sluicebox:module 0.7.0; this host accepts 0.2.x and 0.1.x"),
    ] {
        shop.refuses(|shop| replace(&shop.component(), &asking(import)), Refusal { step: LOAD, reason }).await;
    }
    shop.close().await;
}

#[tokio::test]
async fn a_version_that_has_grown_an_import_is_refused_with_the_line_that_grants_it() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let file = place.path("module.wasm");
    let rest = |imports: &str| {
        format!(
            "sources: {{pods: {{}}}}\nreload: {{poll: 500ms, debounce: 50ms}}\n\
             modules: {{lines: {{use: \"{}\", imports: {imports}, to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
            file.display()
        )
    };
    let (quiet, talking) = (small(false, "quiet"), small(true, "talking"));
    replace(&file, &quiet);
    let mut program = place.run(&place.configure(&api.url(), &rest("[]")));
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(support::pending("pod-0")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["pod-0"]).await.unwrap();

    replace(&file, &talking);
    until(&program, "it is refused", async || {
        let reason = status_of(&program, "lines").await["refused"]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("it imports sluicebox:module/log@0.2.0; granted: nothing (hint: if it may, grant it where the module is configured: `imports: [log]`)")
    })
    .await;
    assert_eq!(digest_in(&program, "lines").await, digest(&quiet));
    api.create_pod(support::pending("pod-1")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["pod-0", "pod-1"]).await.unwrap();

    // As the hint says.
    place.reconfigure(&api.url(), &rest("[log]"));
    until_within(&program, SLOW, "it takes over", async || digest_in(&program, "lines").await == digest(&talking)).await;
    api.create_pod(support::pending("pod-2")).unwrap();
    program.until_lines(PATIENCE, |lines| lines == ["pod-0", "pod-1", "pod-2"]).await.unwrap();
    until(&program, "it logs", async || program.log().unwrap().contains("hello")).await;
    let status = program.stop(PATIENCE).await.unwrap();
    assert!(status.success(), "{}", program.log().unwrap());
}
