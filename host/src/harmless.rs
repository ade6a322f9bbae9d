//! Text from outside in the two forms that are printed, made harmless for a terminal: a cell of a table, and JSON that stays JSON.

use std::fmt::Write as _;

use sluicebox_contract::text::{is_harmful, push_harmless};

/// The text on one line, with escapes in place of what a terminal would act on; longer ones end in `…`.
pub fn line(text: &str, most_characters: usize) -> String {
    let mut line = String::new();
    let mut left = most_characters;
    for character in text.chars() {
        if left == 0 {
            // The last one gives way.
            line.pop();
            line.push('…');
            break;
        }
        push_harmless(&mut line, character);
        left -= 1;
    }
    line
}

/// JSON, with JSON's escapes in place of what a terminal would act on; its line breaks stay. Such characters stand in strings only.
pub fn json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_harmful(character) {
            json.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_written_out() {
        assert_eq!(line("a\u{1b}[2J\nb\u{9b}\u{202e}é", 99), "a\\u{1b}[2J\\nb\\u{9b}\\u{202e}é");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(line("äöü", 3), "äöü");
        assert_eq!(line("äöüx", 3), "äö…");
        assert_eq!(line("", 3), "");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a": "\u{1b}\u{7f}\u{9b}\u{e0041}\u{202e}é\n"});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|character| character != '\n' && is_harmful(character)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
