//! Cuts the bytes of a watch into lines, none longer than allowed. Pure.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes that have come and are not a whole line yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// No newline before this offset.
    searched: usize,
    longest: usize,
    /// The rest of a line that was too long is still to come.
    discarding: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its newline.
    Whole(Bytes),
    /// It was longer than allowed and is gone.
    TooLong,
}

impl Lines {
    pub(super) fn new(longest: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, longest, discarding: false }
    }

    /// More bytes have come. Take every line with [`Lines::next`] before more are put in.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line; none until more bytes come. Empty lines are passed over.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(offset) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.searched > self.longest || self.discarding {
                    self.buffer.clear();
                    self.searched = 0;
                    self.discarding = true;
                }
                return None;
            };
            let line = self.buffer.split_to(self.searched + offset).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.discarding) || line.len() > self.longest {
                return Some(Line::TooLong);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Whole(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(longest: usize, pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(longest);
        let mut out = Vec::new();
        for piece in pieces {
            lines.put(piece.as_bytes());
            while let Some(line) = lines.next() {
                out.push(match line {
                    Line::Whole(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Line::TooLong => "(too long)".to_owned(),
                });
            }
        }
        out
    }

    #[test]
    fn lines_come_whole_however_the_bytes_come() {
        assert_eq!(cut(10, &["a\nb", "c\n", "\n", "d", "e", "f\ng"]), ["a", "bc", "def"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_the_next_one_is_whole() {
        assert_eq!(cut(4, &["12345\nab\n"]), ["(too long)", "ab"]);
        assert_eq!(cut(4, &["123", "456", "789", "0\nab", "\n"]), ["(too long)", "ab"]);
        assert_eq!(cut(4, &["1234\n"]), ["1234"]);
    }

    #[test]
    fn what_is_too_long_takes_no_memory() {
        let mut lines = Lines::new(4);
        for _ in 0..1000 {
            lines.put(&[b'x'; 64]);
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.len() <= 64);
        }
    }
}
