//! Whatever stands in the sink's own files, and whatever a module names.

use std::path::Path;

use sluicebox_testkit::fuzz::Fuzz;

use super::name::{self, Place};
use super::state::{Moment, parse, render};

const STATE: &str = r#"{"version":1,"forget":[{"collection":"c","name":"a.meta","at-unix-milliseconds":1700000000000,"left-milliseconds":60000},{"name":"b","at-unix-milliseconds":18446744073709551615,"left-milliseconds":18446744073709551615}]}"#;

#[test]
fn what_is_to_be_forgotten_is_read_or_refused_and_written_as_it_was() {
    Fuzz::of([STATE, r#"{"version":1,"forget":[]}"#]).words(["../x", "/etc", ".sluicebox-retention", "\"forget\":["]).run(
        |input, _| {
            let now = Moment::now();
            match parse(input, now) {
                Err(words) => assert!((1..1000).contains(&words.len()), "{words}"),
                Ok((forget, left_out)) => {
                    assert!(forget.len() + left_out <= input.len());
                    assert!(forget.iter().all(|(_, at)| *at > now.instant), "what was due while nobody was there waits a little");
                    let text = render(forget.iter().map(|(place, at)| (place, *at)), now);
                    let (again, _) = parse(&text, now).expect("our own text");
                    // A clock that counts no further has others come sooner.
                    assert_eq!(again.len(), forget.len());
                    for ((place, at), (same, then)) in again.iter().zip(&forget) {
                        assert!(place == same && at <= then, "{place}");
                    }
                }
            }
        },
    );
}

#[test]
fn whatever_a_module_names_stays_in_the_directory_or_is_refused_with_words() {
    Fuzz::of(["a.meta", "kube-system_etcd.meta", "..", "../../etc/passwd", ".sluicebox-writing"]).longest(600).run(
        |input, dice| {
            let name = String::from_utf8_lossy(input).into_owned();
            let collection = dice.one_in(2).then(|| name.chars().rev().collect());
            match Place::new(collection, name) {
                Ok(place) => {
                    for part in place.collection.iter().chain([&place.name]) {
                        let path = Path::new("/directory").join(part);
                        assert!(
                            path.parent() == Some(Path::new("/directory"))
                                && path.file_name().is_some_and(|name| name == part.as_str())
                        );
                        assert!(part.len() <= 255 && !part.starts_with(name::OWN_PREFIX));
                    }
                    assert!(!place.to_string().contains(char::is_control));
                }
                Err(words) => assert!((1..1000).contains(&words.len()) && !words.contains(char::is_control), "{words}"),
            }
        },
    );
}
