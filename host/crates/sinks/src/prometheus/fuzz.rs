//! Whatever a module hands in as a page of metrics.

use sluicebox_testkit::fuzz::Fuzz;

use super::registry::{Group, Registry};
use super::{document, page};

const SAMPLES: [&str; 5] = [
    "# TYPE a counter\n# HELP a one \\\\ two\na{g=\"3\"} 3\na{g=\"4\",h=\"x\\n\\\"y\\\"\"} 4 1700000000000\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0.5\nh_count 1\n",
    "# TYPE h summary\nh{quantile=\"0.5\"} 1\nh{quantile=\"0.99\",g=\"1\"} 2\nh_sum 4\nh_count 2\n",
    "# comment\n\nb NaN\nc{} +Inf -5\nd{x=\"\",} -1e-300\n",
    "# HELP b three\n# TYPE b untyped\nb 1\n",
];

fn fuzz() -> Fuzz {
    Fuzz::of(SAMPLES).words([
        "# TYPE ",
        "# HELP ",
        "_bucket",
        "_sum",
        "_count",
        "le=\"",
        "quantile=\"",
        "} ",
        "histogram\n",
        "summary\n",
    ])
}

/// What a scraper stumbles over never gets onto a page; and a page says what the documents have said.
#[test]
fn a_page_of_whatever_was_taken_is_valid_and_says_the_same() {
    fuzz().run(|input, dice| {
        let most = if dice.one_in(3) { dice.below(4) } else { 1000 };
        let parsed = match document::parse(input, most) {
            Ok(parsed) => parsed,
            Err(words) => return assert!((1..2000).contains(&words.len()) && !words.contains('\n'), "{words}"),
        };
        assert!(parsed.series <= most);
        let mut registry = Registry::new(1000, 1 << 20);
        registry.put(Group { collection: None, name: "a".to_owned() }, parsed, None).expect("nobody is in its way");
        let text = page::render(&registry);
        assert!(text.len() <= registry.bytes(), "{} {}", text.len(), registry.bytes());
        let again = document::parse(text.as_bytes(), 1000).unwrap_or_else(|words| panic!("{words}: {text}"));
        let mut same = Registry::new(1000, 1 << 20);
        same.put(Group { collection: None, name: "a".to_owned() }, again, None).expect("nobody is in its way");
        assert_eq!(page::render(&same), text);
    });
}

#[test]
fn documents_that_get_into_each_others_way_leave_a_valid_page() {
    fuzz().run(|input, dice| {
        let mut registry = Registry::new(12, 3000);
        for round in 0..6 {
            let text = if dice.one_in(3) { input } else { dice.pick(&SAMPLES).unwrap().as_bytes() };
            let group = Group { collection: dice.one_in(2).then(|| "c".to_owned()), name: (round % 3).to_string() };
            let before = page::render(&registry);
            if document::parse(text, 100).and_then(|document| registry.put(group, document, None)).is_err() {
                assert_eq!(page::render(&registry), before);
            }
            let page = page::render(&registry);
            assert!(page.len() <= registry.bytes() && registry.bytes() <= 3000);
            document::parse(page.as_bytes(), 12).unwrap_or_else(|words| panic!("{words}: {page}"));
        }
    });
}
