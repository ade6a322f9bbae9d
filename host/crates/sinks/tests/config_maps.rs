//! Proves what the config-maps sink does with a real API server.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod config_maps_cluster;
mod config_maps_load;
mod config_maps_many;
mod config_maps_owners;
mod entries;

use std::time::Duration;

use config_maps_cluster::{alone, fault, shared, work, write, write_all};
use entries::{document, document_in, forget, forget_after, forget_in, message};
use http::Method;
use serde_json::{Value, json};
use sluicebox_contract::{ByteSize, Class, Entry, Outcome, Sink, TimeSpan};
use sluicebox_sinks::config_maps::Config;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn it_is_made_before_the_first_document() {
    let Some(namespace) = shared("made").await else { return };
    let config = Config { shards: 3, ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    work(&mut sink, SECOND).await;
    for name in ["m", "m-1", "m-2"] {
        assert_eq!(namespace.data(name).await, "", "{name}");
    }
}

#[tokio::test]
async fn documents_are_keys_until_they_are_forgotten() {
    let Some(namespace) = shared("keys").await else { return };
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1"), document("b", "2"), document_in("other", "c", "3"), document("b", "4")]).await;
    assert_eq!((namespace.data("m").await, namespace.data("other").await), ("a=1 b=4".to_owned(), "c=3".to_owned()));
    write(&mut sink, &[forget("a"), forget("never-there"), forget_in("other", "c", Duration::ZERO)]).await;
    assert_eq!((namespace.data("m").await, namespace.data("other").await), ("b=4".to_owned(), String::new()));
    write(&mut sink, &[forget_after("b", SECOND / 2), document("c", "5"), forget_after("c", SECOND / 2), document("c", "5")])
        .await;
    assert_eq!(namespace.data("m").await, "b=4 c=5");
    work(&mut sink, SECOND).await;
    assert_eq!(namespace.data("m").await, "c=5", "what is put again stays");
    // Nothing is made only to be empty.
    write(&mut sink, &[forget_in("nowhere", "a", Duration::ZERO)]).await;
    let missing = namespace.server.status_for(namespace.server.admin_token(), "/api/v1/namespaces/keys/configmaps/nowhere").await;
    assert_eq!(missing.expect("an answer"), 404);
}

#[tokio::test]
async fn what_is_put_unchanged_is_not_written() {
    let Some(namespace) = shared("unchanged").await else { return };
    let config = Config { period: TimeSpan(Duration::from_secs(20)), ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    write(&mut sink, &[document("a", "1")]).await;
    let version = namespace.version("m").await;
    let begin = Instant::now();
    for _ in 0..100 {
        write(&mut sink, &[document("a", "1"), forget("b")]).await;
    }
    assert!(begin.elapsed() < SECOND, "it does not wait for the period either");
    assert_eq!(namespace.version("m").await, version);
}

#[tokio::test]
async fn it_is_written_once_each_period_and_the_first_time_at_once() {
    let Some(namespace) = shared("period").await else { return };
    let config = Config { period: TimeSpan(SECOND), ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    let begin = Instant::now();
    write(&mut sink, &[document("a", "1")]).await;
    assert!(begin.elapsed() < SECOND);
    for value in ["2", "3"] {
        write(&mut sink, &[document("a", value)]).await;
    }
    assert!(begin.elapsed() >= SECOND * 2);
    assert_eq!(namespace.data("m").await, "a=3");
}

#[tokio::test]
async fn texts_stay_what_they_are() {
    let Some(namespace) = shared("texts").await else { return };
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    let texts = [
        "",
        "{\"monotonic_sent_bytes\":2843}",
        "a: b\n- c\t#d\r\n...\n---\n",
        "\u{0}\u{1}\u{7f}\u{85}\u{9f}\u{a0}",
        "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}\u{1f600}\u{10ffff}",
        "&a *a !!int 'x' \"y\" \\ / %YAML",
        "null",
    ];
    let entries: Vec<_> = texts.iter().enumerate().map(|(number, text)| document(&format!("k{number}"), text)).collect();
    write(&mut sink, &entries).await;
    let keys = namespace.keys("m").await;
    assert_eq!(keys.values().map(String::as_str).collect::<Vec<_>>(), texts);
    // What is taken over is the same again.
    let version = namespace.version("m").await;
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &entries).await;
    sink.settled().await.expect("settled");
    assert_eq!(namespace.version("m").await, version);
}

#[tokio::test]
async fn what_is_deleted_while_it_runs_comes_back() {
    let Some(namespace) = shared("deleted").await else { return };
    let config = Config { resync: TimeSpan(SECOND), ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    write(&mut sink, &[document("a", "1"), document("b", "2")]).await;
    namespace.delete("m").await;
    write(&mut sink, &[document("a", "3")]).await;
    assert_eq!(namespace.data("m").await, "a=3 b=2", "with the next write");
    namespace.delete("m").await;
    work(&mut sink, SECOND * 3).await;
    assert_eq!(namespace.data("m").await, "a=3 b=2", "without one");
    namespace.patch("m", json!({"data": {"a": null, "b": "x", "theirs": "y"}})).await;
    work(&mut sink, SECOND * 3).await;
    assert_eq!(
        namespace.data("m").await,
        "a=3 b=x theirs=y",
        "a key that was removed, too; one that somebody else has put is his"
    );
    write(&mut sink, &[document("b", "2")]).await;
    assert_eq!(namespace.data("m").await, "a=3 b=2 theirs=y", "until it is put again");
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_alone() {
    let Some(namespace) = shared("illegal").await else { return };
    let config = Config { name: None, ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    let bytes = Entry::Document(sluicebox_contract::Document {
        collection: Some("m".to_owned()),
        name: "bytes".to_owned(),
        body: vec![0xff],
    });
    let batch = [
        document_in("m", "a", "1"),
        document_in("m", "fe80::1", "1"),
        document("b", "1"),
        document_in("No Name", "b", "1"),
        message("m", "x"),
        bytes,
        document_in("m", "large", &"x".repeat(600 << 10)),
        document_in("m", "z", "2"),
    ];
    let outcome = sink.write(&batch).await;
    assert_eq!(outcome.stopped, None);
    assert_eq!(outcome.refused.iter().map(|refusal| refusal.index).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6], "{outcome:?}");
    assert_eq!(namespace.data("m").await, "a=1 z=2");
}

#[tokio::test]
async fn what_others_have_filled_takes_no_more() {
    let Some(namespace) = shared("full").await else { return };
    // Near to what the server stores at most.
    namespace.create("m", json!({"theirs": "x".repeat(1_000_000)})).await;
    let mut sink = namespace.sink("n1", &Config { budget: ByteSize(900 << 10), ..namespace.config() }).await;
    let outcome = sink.write(&[document("a", "1"), document_in("other", "a", "1")]).await;
    assert_eq!(outcome.stopped, None);
    let reasons: Vec<_> = outcome.refused.iter().map(|refusal| (refusal.index, refusal.reason.as_str())).collect();
    assert!(
        matches!(reasons[..], [(0, reason)] if reason.contains("there is no room for it") && reason.contains("1000006 of them by `somebody`")),
        "{reasons:?}"
    );
    assert_eq!(namespace.data("other").await, "a=1");
    namespace.patch("m", json!({"data": {"theirs": null}})).await;
    write(&mut sink, &[document("a", "2")]).await;
    assert_eq!(namespace.data("m").await, "a=2");
}

#[tokio::test]
async fn as_much_as_the_budget_may_be_is_stored() {
    let Some(namespace) = shared("large").await else { return };
    let mut sink = namespace.sink("n1", &Config { budget: ByteSize(900 << 10), ..namespace.config() }).await;
    let entries: Vec<_> =
        (0..8_000).map(|number| document(&format!("172.17.0.2-172.17.0.5-{number}-53"), &"x".repeat(100))).collect();
    let outcome = sink.write(&entries).await;
    assert_eq!(outcome.stopped, None);
    let keys = namespace.keys("m").await;
    assert!(keys.len() > 5_000 && keys.len() + outcome.refused.len() == 8_000, "{} keys", keys.len());
    assert!(keys.contains_key("172.17.0.2-172.17.0.5-7999-53") && !keys.contains_key("172.17.0.2-172.17.0.5-0-53"));
    let small: Vec<_> = (0..60_000).map(|number| document_in("small", &format!("{number}"), "")).collect();
    assert_eq!(sink.write(&small).await.stopped, None);
    // Their names are stored once more, with whose they are, and for that there is room as well.
    assert!(namespace.keys("small").await.len() > 50_000);
}

#[tokio::test]
async fn nothing_is_written_to_an_immutable_one() {
    let Some(namespace) = shared("immutable").await else { return };
    for name in ["m", "other"] {
        namespace.create(name, json!({"theirs": "1"})).await;
        namespace.patch(name, json!({"immutable": true})).await;
    }
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    let outcome = sink.write(&[document_in("other", "a", "1")]).await;
    assert!(outcome.refused[0].reason.contains("delete it, or name another one"), "{outcome:?}");
    let met = fault(&mut sink, &[document("a", "1")]).await;
    assert_eq!(
        met.to_string(),
        "cannot write the ConfigMap `immutable/m`: it is immutable (hint: it says `immutable: true`, which nobody can take back: \
         delete it, or name another one)"
    );
    assert_eq!(met.class, Class::Retry);
    namespace.delete("m").await;
    write(&mut sink, &[document("a", "1")]).await;
    assert_eq!(namespace.data("m").await, "a=1");
}

#[tokio::test]
async fn the_right_that_is_missing_is_named() {
    let Some(namespace) = shared("rights").await else { return };
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/rights";
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "subjects": [{"kind": "User", "name": "nobody"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}});
    let role = |verbs: &[&str]| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]})
    };
    let ask =
        async |method, path: String, body: Value| namespace.server.request(method, &path, Some(&body)).await.expect("an answer");
    ask(Method::POST, format!("{path}/roles"), role(&["list"])).await;
    ask(Method::POST, format!("{path}/rolebindings"), binding).await;
    let token = namespace.server.unprivileged_token();
    for (verbs, missing) in [(&["list"][..], "get"), (&["get"], "create"), (&["get", "create"], "patch")] {
        ask(Method::PUT, format!("{path}/roles/r"), role(verbs)).await;
        // Rights are looked up in a cache.
        sleep(SECOND).await;
        let mut sink = namespace.sink_as(token, "n1", &namespace.config()).await;
        let met = fault(&mut sink, &[document("a", "1")]).await;
        let hint = met.hint.clone().unwrap_or_default();
        let named = format!("a role in the namespace `rights` with the verb `{missing}` for the resource `configmaps`");
        assert!(met.class == Class::Retry && hint.contains(&named), "{met}");
    }
    ask(Method::PUT, format!("{path}/roles/r"), role(&["get", "create", "patch"])).await;
    sleep(SECOND).await;
    let mut sink = namespace.sink_as(token, "n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1")]).await;
    let mut stranger = namespace.sink_as("a-token-that-nobody-knows", "n1", &namespace.config()).await;
    let met = fault(&mut stranger, &[document("a", "1")]).await;
    assert!(met.to_string().contains("`kubernetes.token-retrieval` says where it comes from"), "{met}");
    let nowhere = Config { namespace: "nowhere".to_owned(), ..namespace.config() };
    let mut sink = namespace.sink("n1", &nowhere).await;
    let met = fault(&mut sink, &[document("a", "1")]).await;
    assert!(met.to_string().contains("is there a namespace `nowhere`?"), "{met}");
}

#[tokio::test]
async fn a_server_that_hangs_or_ends_loses_nothing() {
    let Some(mut namespace) = alone("outage").await else { return };
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1")]).await;
    namespace.server.pause();
    let cut = timeout(SECOND, sink.write(&[document("a", "2")])).await;
    assert!(cut.is_err(), "{cut:?}");
    namespace.server.resume();
    assert_eq!(write_all(&mut sink, &[document("a", "3")]).await, Vec::<String>::new());
    namespace.server.kill();
    let met = fault(&mut sink, &[document("a", "4")]).await;
    assert!(met.class == Class::Retry && met.cause.to_lowercase().contains("connect"), "{met}");
    namespace.server.restart().await.expect("it starts again");
    assert_eq!(write_all(&mut sink, &[document("a", "4"), document("b", "5")]).await, Vec::<String>::new());
    assert_eq!(namespace.data("m").await, "a=4 b=5");
}

#[tokio::test]
async fn a_write_that_is_cut_short_is_made_up_for() {
    let Some(namespace) = shared("cut").await else { return };
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    for round in 0..40_u64 {
        let entries = [document("a", &round.to_string()), document(&format!("k{round}"), "1")];
        let short = Duration::from_micros(300 * round);
        if let Ok(outcome) = timeout(short, sink.write(&entries)).await {
            assert_eq!(outcome, Outcome::written());
        } else {
            assert_eq!(sink.write(&entries).await, Outcome::written());
        }
        assert_eq!(namespace.keys("m").await["a"], round.to_string());
    }
    assert_eq!(namespace.keys("m").await.len(), 41);
}
