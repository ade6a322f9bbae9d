//! JSON that people can read: one line for each field, and lists on one line, because a body that is no text is a list of numbers.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// The value as JSON for people, without a final line break.
pub fn write_pretty(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Pretty::default()))?;
    Ok(text)
}

#[derive(Default)]
struct Pretty {
    depth: usize,
    has_fields: bool,
}

impl Pretty {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Pretty {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.has_fields = false;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.has_fields {
            self.line(writer)?;
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_fields = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_lines_and_lists_do_not() {
        let value = serde_json::json!({"a": [1, 2], "b": {}, "c": [{"d": 1}, {"e": "x\ny"}]});
        let text = String::from_utf8(write_pretty(&value).unwrap()).unwrap();
        let expected = "{\n  \"a\": [1,2],\n  \"b\": {},\n  \"c\": [{\n    \"d\": 1\n  },{\n    \"e\": \"x\\ny\"\n  }]\n}";
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
