//! What a module says is shown to operators: short, on one line, and without anything that a terminal would obey.

use std::fmt::Write as _;

use sluicebox_contract::text::harmless;

/// The text, cut after so many bytes, with escapes in place of what is harmful.
pub(crate) fn readable(text: &str, bytes: usize) -> String {
    let kept = text.get(..text.floor_char_boundary(bytes)).unwrap_or_default();
    let mut readable = harmless(kept);
    if kept.len() < text.len() {
        // Writing to a string cannot fail.
        let _ = write!(readable, "… ({} bytes more)", text.len() - kept.len());
    }
    readable
}

/// A number of bytes as people say it.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=10_485_759 if !bytes.is_multiple_of(1 << 20) => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays() {
        assert_eq!(readable("all is well: ü", 100), "all is well: ü");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(readable("aüb", 2), "a… (3 bytes more)");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(readable("a\n\u{1b}[31mb\u{202e}", 100), "a\\n\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(512), "512 bytes");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(8 << 20), "8 MiB");
        assert_eq!(size(100 << 10), "100 KiB");
    }
}
