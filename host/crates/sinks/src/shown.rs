//! What a module, or a server, has named, as it stands in a line of the log: short, and without anything that breaks the line or that
//! a terminal would obey.

/// Characters of a name.
pub(crate) const NAME: usize = 100;

/// Characters of what a client library says.
pub(crate) const WORDS: usize = 400;

/// The text, cut after so many characters.
pub(crate) fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(longest) {
        match character {
            '\'' | '"' => shown.push(character),
            // Beyond the control characters this escapes what changes the direction of a text.
            _ => shown.extend(character.escape_debug()),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_and_stays_on_its_line() {
        assert_eq!(shown("galileo/ü 'a'", NAME), "galileo/ü 'a'");
        assert_eq!(shown("a\nlevel=error\r\u{1b}[31m\u{202e}\u{2028}", NAME), r"a\nlevel=error\r\u{1b}[31m\u{202e}\u{2028}");
        assert_eq!(shown(&"x".repeat(1 << 20), 3), "xxx…");
        assert_eq!(shown("xxx", 3), "xxx");
    }
}
