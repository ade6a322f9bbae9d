//! Whatever the API server says besides objects, whatever a token holds, and whatever is taken for an address.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluicebox_testkit::fuzz::Fuzz;

use crate::jwt::{expiry, use_for};
use crate::route::{is_loopback, parse_url};
use crate::trouble::Status;

#[test]
fn what_the_server_says_when_it_refuses_is_told_on_one_bearable_line() {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods is forbidden: User \"x\"","reason":"Forbidden","code":403}"#;
    Fuzz::of([status, r#"{"message":"a\nb\u001b[2J","code":65535}"#]).run(|input, _| {
        let Ok(status) = serde_json::from_slice::<Status>(input) else { return };
        let words = status.describe();
        assert!(words.chars().count() <= 600 && !words.contains(char::is_control), "{words}");
    });
}

#[test]
fn a_token_ends_when_it_says_so_or_is_refused_with_words() {
    let claims = [r#"{"exp":4102444800,"aud":["x"]}"#, "{}", r#"{"exp":18446744073709551615}"#];
    let tokens = claims.map(|claims| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)));
    Fuzz::of(tokens.iter().map(String::as_str).chain(claims)).run(|input, dice| {
        let text = String::from_utf8_lossy(input).into_owned();
        let token = if dice.one_in(2) { text } else { format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(input)) };
        match expiry(&token) {
            Ok(end) => assert!(end.is_none() || use_for(end, SystemTime::now()) < Duration::MAX),
            Err(error) => {
                let words = error.to_string();
                assert!((1..1000).contains(&words.len()), "{words}");
            }
        }
    });
}

#[test]
fn an_address_has_a_host_or_is_refused_with_words() {
    let samples = ["https://10.0.0.1:443", "http://[::1]:8001/prefix", "http://localhost", "https://kubernetes.default.svc?x=y"];
    Fuzz::of(samples).longest(1000).words(["http://", "https://", "[", "]", "@", "?", ":99999"]).run(|input, _| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        match parse_url(text) {
            Ok(url) => {
                assert!(url.host().is_some_and(|host| !host.is_empty()) && url.query().is_none());
                is_loopback(&url);
            }
            Err(words) => assert!(words.contains('`'), "{words}"),
        }
    });
}
