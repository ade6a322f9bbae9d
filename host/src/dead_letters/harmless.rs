//! Text from outside, made harmless for a terminal: no control characters, and none that hide or reorder what stands there.

use std::fmt::Write as _;

/// The text on one line, with escapes in place of what a terminal would act on; longer ones end in `…`.
pub(super) fn line(text: &str, most_characters: usize) -> String {
    let mut line = String::new();
    let mut left = most_characters;
    for character in text.chars() {
        if left == 0 {
            // The last one gives way.
            line.pop();
            line.push('…');
            break;
        }
        if acts(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        left -= 1;
    }
    line
}

/// JSON, with JSON's escapes in place of what a terminal would act on; its line breaks stay. Such characters stand in strings only.
pub(super) fn json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !acts(character) {
            json.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json
}

fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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
        assert!(!text.chars().any(|character| character != '\n' && acts(character)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
