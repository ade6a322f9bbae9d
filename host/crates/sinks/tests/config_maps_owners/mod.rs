//! Whose a key is: others who write the same `ConfigMap`, runs before this one, owners who are gone.

use http::Method;
use serde_json::json;
use sluicebox_contract::{Sink, TimeSpan};
use sluicebox_sinks::config_maps::Config;

use crate::SECOND;
use crate::config_maps_cluster::{shared, work, write};
use crate::entries::{document, document_in, forget, forget_after};

#[tokio::test]
async fn somebody_else_may_write_in_between() {
    let Some(namespace) = shared("between").await else { return };
    namespace.create("m", json!({"theirs": "0"})).await;
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    for round in 1..=5 {
        write(&mut sink, &[document("a", &round.to_string())]).await;
        namespace.patch("m", json!({"data": {"theirs": round.to_string()}})).await;
    }
    write(&mut sink, &[document("a", "6")]).await;
    assert_eq!(namespace.data("m").await, "a=6 theirs=5");
    write(&mut sink, &[forget("a"), forget("theirs")]).await;
    assert_eq!(namespace.data("m").await, "theirs=5", "nobody removes what is not his");
}

#[tokio::test]
async fn of_two_that_put_the_same_key_the_later_one_has_it() {
    let Some(namespace) = shared("same").await else { return };
    let mut one = namespace.sink("n1", &namespace.config()).await;
    let mut two = namespace.sink("n2", &namespace.config()).await;
    write(&mut one, &[document("a", "1"), document("one", "1")]).await;
    write(&mut two, &[document("a", "2"), document("two", "2")]).await;
    assert_eq!(namespace.data("m").await, "a=2 one=1 two=2");
    write(&mut one, &[document("one", "3")]).await;
    assert_eq!(namespace.data("m").await, "a=2 one=3 two=2", "an older value does not come back");
    write(&mut one, &[document("a", "1")]).await;
    assert_eq!(namespace.data("m").await, "a=1 one=3 two=2");
    write(&mut two, &[forget("a")]).await;
    assert_eq!(namespace.data("m").await, "a=1 one=3 two=2", "it is the other's now");
}

#[tokio::test]
async fn of_more_than_ten_owners_each_is_remembered() {
    let Some(namespace) = shared("owners").await else { return };
    for number in 0..14 {
        let mut sink = namespace.sink(&format!("n{number}"), &namespace.config()).await;
        write(&mut sink, &[document(&format!("old-{number}"), "1")]).await;
    }
    for number in 0..14 {
        let mut sink = namespace.sink(&format!("n{number}"), &namespace.config()).await;
        write(&mut sink, &[document(&format!("new-{number}"), "1")]).await;
        sink.settled().await.expect("settled");
    }
    let keys = namespace.keys("m").await;
    assert!(keys.len() == 14 && keys.keys().all(|key| key.starts_with("new-")), "{keys:?}");
    // Of those who patch it is not so, which is why we apply.
    for number in 0..14 {
        let path = format!("/m?fieldManager=patcher-{number}");
        let body = json!({"data": {format!("patched-{number}"): "1"}});
        namespace.ask(Method::PATCH, &path, Some(&body)).await;
    }
    let owners = namespace.object("m").await["metadata"]["managedFields"].to_string();
    assert!(owners.contains("ancient-changes") && !owners.contains("patcher-0\""), "{owners}");
    assert_eq!(owners.matches("sluicebox/").count(), 14);
}

#[tokio::test]
async fn what_an_earlier_run_left_goes_when_everything_is_written() {
    let Some(namespace) = shared("restart").await else { return };
    let mut other = namespace.sink("n2", &namespace.config()).await;
    write(&mut other, &[document("theirs", "1")]).await;
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &[document("a", "1"), document("b", "2"), document("c", "3"), document_in("other", "d", "4")]).await;
    drop(sink);
    let mut sink = namespace.sink("n1", &namespace.config()).await;
    write(&mut sink, &[document("b", "5"), forget_after("c", SECOND)]).await;
    assert_eq!(namespace.data("m").await, "a=1 b=5 c=3 theirs=1");
    sink.settled().await.expect("settled");
    assert_eq!(namespace.data("m").await, "b=5 c=3 theirs=1");
    work(&mut sink, SECOND * 2).await;
    assert_eq!(namespace.data("m").await, "b=5 theirs=1");
    assert_eq!(namespace.data("other").await, "d=4", "nobody has named it yet");
    write(&mut sink, &[document_in("other", "e", "6")]).await;
    assert_eq!(namespace.data("other").await, "e=6");
}

#[tokio::test]
async fn what_an_earlier_run_left_expires() {
    let Some(namespace) = shared("expiry").await else { return };
    let config = Config { expire_after: Some(TimeSpan(SECOND * 3)), ..namespace.config() };
    let mut sink = namespace.sink("n1", &config).await;
    write(&mut sink, &[document("a", "1"), document("b", "2")]).await;
    drop(sink);
    let mut sink = namespace.sink("n1", &config).await;
    write(&mut sink, &[document("a", "1")]).await;
    sink.settled().await.expect("settled");
    assert_eq!(namespace.data("m").await, "a=1 b=2", "they have as long as any");
    for _ in 0..8 {
        work(&mut sink, SECOND / 2).await;
        write(&mut sink, &[document("a", "1")]).await;
    }
    assert_eq!(namespace.data("m").await, "a=1");
    work(&mut sink, SECOND * 5).await;
    assert_eq!(namespace.data("m").await, "");
}

#[tokio::test]
async fn keys_of_owners_who_are_gone_for_good_are_removed() {
    let Some(namespace) = shared("abandoned").await else { return };
    let config = Config { abandoned_after: Some(TimeSpan(SECOND * 4)), resync: TimeSpan(SECOND), ..namespace.config() };
    let mut gone = namespace.hasty_sink("n1", &config).await;
    let mut lives = namespace.hasty_sink("n2", &config).await;
    let mut sweeps = namespace.hasty_sink("n3", &config).await;
    write(&mut gone, &[document("gone", "1"), document("both", "1")]).await;
    write(&mut lives, &[document("lives", "1"), document("both", "1")]).await;
    namespace.patch("m", json!({"data": {"theirs": "1"}})).await;
    write(&mut sweeps, &[document("sweeps", "1")]).await;
    assert_eq!(namespace.data("m").await, "both=1 gone=1 lives=1 sweeps=1 theirs=1");
    tokio::join!(work(&mut lives, SECOND * 12), work(&mut sweeps, SECOND * 12));
    assert_eq!(namespace.data("m").await, "both=1 lives=1 sweeps=1 theirs=1");
    // Should he come back, so do his keys.
    write(&mut gone, &[document("new", "1")]).await;
    assert_eq!(namespace.data("m").await, "both=1 gone=1 lives=1 new=1 sweeps=1 theirs=1");
}
