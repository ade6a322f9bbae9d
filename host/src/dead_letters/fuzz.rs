//! Whatever stands in a dead letter, as the command prints it.

use serde_json::Value;
use sluicebox_contract::text::is_harmful;
use sluicebox_testkit::fuzz::Fuzz;

use crate::harmless::{json, line};

#[test]
fn what_is_printed_says_the_same_and_does_a_terminal_no_harm() {
    Fuzz::of(["a\u{1b}[2J\nb\u{9b}\u{202e}é", "\u{e0041}\u{1f600}", "[1, \"\\n\"]"]).run(|input, dice| {
        let (text, most) = (String::from_utf8_lossy(input), dice.below(100));
        let shown = line(&text, most);
        assert!(!shown.contains(is_harmful) && shown.chars().count() <= 10 * most + 1, "{shown}");
        let written = serde_json::to_string_pretty(&Value::String(text.into_owned())).unwrap();
        let printed = json(&written);
        assert!(!printed.contains(|letter| letter != '\n' && is_harmful(letter)));
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), serde_json::from_str::<Value>(&written).unwrap());
    });
}
