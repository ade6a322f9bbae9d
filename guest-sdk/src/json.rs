//! JSON written by hand, byte for byte as Go programs write it: no white space, keys in the order given, and `<`, `>`, `&` and the two
//! line separators of Unicode escaped besides what JSON demands. For modules that take the place of such a program, and for those that
//! append to a text that they have already.
//!
//! ```
//! use sluicebox_sdk::json;
//!
//! let mut text = String::new();
//! json::object(&mut text, |object| {
//!     object.string("name", "a<b");
//!     object.nullable("image", None);
//!     object.field("port", |out| out.push_str("443"));
//! });
//! assert_eq!(text, r#"{"name":"a\u003cb","image":null,"port":443}"#);
//! ```

use std::fmt::Write;

/// Writes a string with its quotes.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

/// Writes an object with strings as values.
pub fn strings<'pairs>(out: &mut String, pairs: impl IntoIterator<Item = (&'pairs str, &'pairs str)>) {
    object(out, |object| {
        for (key, value) in pairs {
            object.string(key, value);
        }
    });
}

/// Writes an object, field by field.
pub fn object(out: &mut String, fields: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fields(&mut Object { out, first: true });
    out.push('}');
}

/// An object that is being written.
#[derive(Debug)]
pub struct Object<'out> {
    out: &'out mut String,
    first: bool,
}

impl Object<'_> {
    /// A field whose value the caller writes.
    pub fn field(&mut self, key: &str, value: impl FnOnce(&mut String)) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        string(self.out, key);
        self.out.push(':');
        value(self.out);
    }

    /// A field with a string.
    pub fn string(&mut self, key: &str, value: &str) {
        self.field(key, |out| string(out, value));
    }

    /// A field with a string, or `null`.
    pub fn nullable(&mut self, key: &str, value: Option<&str>) {
        self.field(key, |out| match value {
            Some(value) => string(out, value),
            None => out.push_str("null"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = String::new();
        string(&mut out, text);
        assert_eq!(out, expected);
    }

    #[test]
    fn what_html_could_misread_is_escaped() {
        check("<x&y>", r#""\u003cx\u0026y\u003e""#);
    }

    #[test]
    fn line_separators_are_escaped() {
        check("\u{2028}\u{2029}", r#""\u2028\u2029""#);
    }

    #[test]
    fn control_characters_are_escaped() {
        check("\"\\\n\r\t\u{8}\u{c}\u{1f}\u{7f}", "\"\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u001f\u{7f}\"");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        check("zürich/東京", "\"zürich/東京\"");
    }

    #[test]
    fn fields_are_parted_by_commas_only() {
        let mut out = String::new();
        strings(&mut out, [("b", "2"), ("a", "1")]);
        strings(&mut out, []);
        assert_eq!(out, r#"{"b":"2","a":"1"}{}"#);
    }
}
