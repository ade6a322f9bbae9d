//! Text from outside is shown to people, and a terminal would obey some of it: here stands what, and how it is made harmless.

use std::fmt::Display;

/// Whether a terminal would act on it, or a reader not see it: control characters, line separators, what hides, and what changes the
/// direction of what stands around it.
pub fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Adds a character to a line: as it is, or its escape when it is harmful.
pub fn push_harmless(line: &mut String, character: char) {
    if is_harmful(character) {
        line.extend(character.escape_default());
    } else {
        line.push(character);
    }
}

/// The text on one line, with escapes in place of what is harmful.
pub fn harmless(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        push_harmless(&mut line, character);
    }
    line
}

/// More of what is said of something from outside is not shown, in characters.
const FEW: usize = 300;
/// So many of them are its end.
const END: usize = 60;

/// What is said of something from outside, on one line and with escapes in place of what is harmful. Parsers quote what they did not expect,
/// however long it is, and say in the end at which place it was: of a long text the beginning and the end are left.
pub fn in_few_words(said: impl Display) -> String {
    let line = harmless(&said.to_string());
    let length = line.chars().count();
    if length <= FEW {
        return line;
    }
    line.chars().take(FEW - END).chain(['…']).chain(line.chars().skip(length - END)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_words_the_beginning_and_the_end_are_left() {
        assert_eq!(in_few_words("short\n"), "short\\n");
        let error = serde_json::from_str::<u8>(&format!("\"{}\"", "(".repeat(1 << 20))).unwrap_err();
        let words = in_few_words(error);
        assert!(words.chars().count() <= 301, "{words}");
        assert!(words.starts_with("invalid type: string") && words.ends_with("line 1 column 1048578"), "{words}");
    }

    #[test]
    fn what_can_be_seen_stays() {
        assert_eq!(harmless("all is well: ü 好 🙂"), "all is well: ü 好 🙂");
    }

    #[test]
    fn what_a_terminal_acts_on_or_nobody_sees_is_written_out() {
        assert_eq!(harmless("a\u{1b}[2J\nb\u{9b}\u{202e}"), "a\\u{1b}[2J\\nb\\u{9b}\\u{202e}");
        for hidden in ['\u{200b}', '\u{200e}', '\u{2028}', '\u{2066}', '\u{feff}', '\u{e0041}', '\u{ad}'] {
            assert_eq!(harmless(&hidden.to_string()), hidden.escape_default().to_string());
        }
    }
}
