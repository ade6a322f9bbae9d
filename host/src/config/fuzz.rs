//! Whatever stands in a configuration.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sluicebox_testkit::fuzz::Fuzz;

use super::load::check;
use super::yaml::parse;

const SMALL: &str = "node-name: n1\nsources: {pods: {}}\nmodules:\n  a: {use: fluent-bit-meta, to: [out], settings: {retention: 5m}}\nsinks:\n  out: {stdout: {}}\n";
const ODD: &str = "a: &x [1, 'two', \"th\\u0072ee\", *x]\nb: !!str 5\n? c\n: |\n  text\n  text\nd: >-\n  folded\n---\ne: ${PORT:-7}$${NO}\n...\n";
/// What becomes a thousand million when aliases are followed.
const LAUGHS: &str =
    "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c]\n";

/// The examples of the READMEs, and some of our own.
fn fuzz() -> Fuzz {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = ["README.md"].into_iter().map(|page| std::fs::read_to_string(root.join(page)).expect("the page is there"));
    let examples: Vec<String> = pages
        .flat_map(|page| {
            page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    assert!(examples.len() > 4, "the examples are there");
    Fuzz::of(examples)
        .and([SMALL, ODD, LAUGHS])
        .words([
            "? ",
            "- ",
            "&a ",
            "*a",
            "<<: ",
            "!!binary ",
            "${",
            "}",
            ":-",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "|+2\n",
            "\u{85}",
            ": ",
            "\n  ",
        ])
        .slowest(Duration::from_secs(5))
}

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("6379".to_owned()),
        "EVIL" => Some("a\nadmin: {}".to_owned()),
        _ => None,
    }
}

#[test]
fn whatever_stands_in_a_configuration_each_mistake_has_words_and_a_line_that_is_there() {
    fuzz().run(|input, _| {
        let text = String::from_utf8_lossy(input);
        let checked = check(&text, &environment);
        // A line ends where the parser says, which knows more marks for that than most.
        let lines = 2 + text.chars().filter(|letter| matches!(letter, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')).count();
        for problem in &checked.problems {
            assert!(!problem.text.is_empty());
            assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?} of {lines}");
        }
        assert!(checked.plan.is_some() || !checked.problems.is_empty());
        assert!(checked.problems.len() <= 400 + input.len());
    });
}

fn parts(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(parts).sum(),
        Value::Array(list) => list.iter().map(parts).sum::<usize>(),
        _ => 0,
    }
}

#[test]
fn a_document_is_no_larger_than_its_text_and_each_part_has_a_line() {
    fuzz().run(|input, _| {
        let text = String::from_utf8_lossy(input);
        match parse(&text, &environment) {
            Ok((document, _)) => {
                assert!(parts(&document.value) <= 2 * input.len() + 2, "aliases are not followed");
                let paths: usize = document.lines.keys().map(String::len).sum();
                assert!(paths <= 64 << 20);
                assert!(document.lines.keys().all(|path| document.line(path).is_some()));
            }
            Err(problems) => assert!(problems.iter().any(|problem| !problem.text.is_empty())),
        }
    });
}

/// JSON is YAML: what a document says does not change on that way.
#[test]
fn what_is_written_as_json_is_read_as_what_it_says() {
    fuzz().run(|input, _| {
        let text = String::from_utf8_lossy(input).replace('$', "");
        let Ok((document, problems)) = parse(&text, &environment) else { return };
        // Infinite numbers have no JSON, and large ones no short one.
        let json = serde_json::to_string(&document.value).expect("it can be written");
        if !problems.is_empty() || json.contains('e') && json.contains('+') || json.contains('\u{feff}') {
            return;
        }
        let (again, problems) = parse(&json, &environment).unwrap_or_else(|problems| panic!("{problems:?}: {json}"));
        assert_eq!((&again.value, problems), (&document.value, Vec::new()), "{json}");
    });
}
