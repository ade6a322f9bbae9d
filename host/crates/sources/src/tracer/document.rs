//! Cuts what a tracer sends into its connections while the bytes come. Pure; holds one connection at most.
//!
//! What is outside of connections is only looked at as far as its structure goes: brackets, texts and commas. Every connection is read by a
//! proper parser (`row.rs`).

/// What a document may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// All of it, bytes.
    pub(super) document: usize,
    /// How deep its brackets may be nested.
    pub(super) depth: u8,
    /// One connection, and any other text or number, bytes.
    pub(super) piece: usize,
}

/// Why a document is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("it is longer than {0} bytes (`max-report-bytes`)")]
    TooLong(usize),
    #[error("it is nested more than {0} deep")]
    TooDeep(u8),
    #[error("one connection, text or number in it is longer than {0} bytes")]
    PieceTooLong(usize),
    #[error("it is no JSON: {what} at byte {at}")]
    NotJson { what: &'static str, at: usize },
    #[error("it is JSON, but no object with a list `connections`")]
    NoConnections,
    #[error("it ends in the middle")]
    CutShort,
}

/// How far a document has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All bytes belong to it, and more must come.
    All,
    /// It has ended after so many of these bytes.
    Ended(usize),
}

const CONNECTIONS: &[u8] = b"connections";

/// A document, as far as it has come.
pub(super) struct Document {
    limits: Limits,
    expected: Expected,
    token: Token,
    /// For each open bracket, the innermost last, whether it is that of an object.
    objects: u64,
    depth: u8,
    bytes: usize,
    /// Bytes of the text or number that is just being read.
    length: usize,
    /// The beginning of the key that is just being read in the outermost object.
    key: Vec<u8>,
    /// Whether what stands at this key are the connections.
    is_connections: bool,
    has_connections: bool,
    /// What has come of a connection that is not complete yet.
    row: Vec<u8>,
}

/// What may come next outside of texts and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// What is just being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    Text {
        is_key: bool,
        is_escaped: bool,
    },
    /// A number, `true`, `false` or `null`.
    Plain,
}

impl Document {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Limits { depth: limits.depth.min(63), ..limits },
            expected: Expected::Value,
            token: Token::None,
            objects: 0,
            depth: 0,
            bytes: 0,
            length: 0,
            key: Vec::new(),
            is_connections: false,
            has_connections: false,
            row: Vec::new(),
        }
    }

    /// Whether anything but white space has come.
    pub(super) fn has_begun(&self) -> bool {
        self.depth > 0 || self.token != Token::None
    }

    /// Why it is not whole when nothing more comes.
    pub(super) fn end(&self) -> Result<(), Broken> {
        if self.expected == Expected::Nothing { Ok(()) } else { Err(Broken::CutShort) }
    }

    /// Takes the next bytes; gives each connection that is complete to `row`.
    pub(super) fn take(&mut self, chunk: &[u8], mut row: impl FnMut(&[u8])) -> Result<Taken, Broken> {
        // Where in this chunk the connection begins that is just being read.
        let mut begin = self.is_in_row().then_some(0);
        for (index, byte) in chunk.iter().copied().enumerate() {
            let was_in_row = begin.is_some();
            let ends_plain = self.token == Token::Plain && !is_plain(byte);
            if ends_plain {
                self.end_value();
                if self.depth == 2 && was_in_row {
                    self.complete(chunk.get(begin.take().unwrap_or_default()..index), &mut row)?;
                }
            }
            self.step(byte, self.bytes + index)?;
            if begin.is_none() && self.is_in_row() {
                begin = Some(index);
            } else if begin.is_some() && !self.is_in_row() {
                self.complete(chunk.get(begin.take().unwrap_or_default()..=index), &mut row)?;
            }
            if self.expected == Expected::Nothing {
                self.bytes += index + 1;
                self.check_length()?;
                return if self.has_connections { Ok(Taken::Ended(index + 1)) } else { Err(Broken::NoConnections) };
            }
        }
        self.bytes += chunk.len();
        self.check_length()?;
        if let Some(rest) = begin.and_then(|begin| chunk.get(begin..)) {
            self.keep(rest)?;
        }
        Ok(Taken::All)
    }

    fn check_length(&self) -> Result<(), Broken> {
        if self.bytes > self.limits.document { Err(Broken::TooLong(self.limits.document)) } else { Ok(()) }
    }

    /// Whether a connection is just being read.
    fn is_in_row(&self) -> bool {
        self.is_connections && (self.depth > 2 || self.depth == 2 && self.token != Token::None)
    }

    /// The end of a connection has come.
    fn complete(&mut self, last: Option<&[u8]>, row: &mut impl FnMut(&[u8])) -> Result<(), Broken> {
        let last = last.unwrap_or_default();
        if self.row.is_empty() && last.len() <= self.limits.piece {
            row(last);
            return Ok(());
        }
        self.keep(last)?;
        row(&self.row);
        self.row.clear();
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Broken> {
        if self.row.len() + part.len() > self.limits.piece {
            return Err(Broken::PieceTooLong(self.limits.piece));
        }
        self.row.extend_from_slice(part);
        Ok(())
    }

    fn step(&mut self, byte: u8, at: usize) -> Result<(), Broken> {
        match self.token {
            Token::Text { is_key, is_escaped } => self.text(byte, is_key, is_escaped, at),
            Token::Plain => self.lengthen(),
            Token::None => self.structure(byte, at),
        }
    }

    fn lengthen(&mut self) -> Result<(), Broken> {
        self.length += 1;
        if self.length > self.limits.piece { Err(Broken::PieceTooLong(self.limits.piece)) } else { Ok(()) }
    }

    fn text(&mut self, byte: u8, is_key: bool, is_escaped: bool, at: usize) -> Result<(), Broken> {
        if byte < 0x20 {
            return Err(Broken::NotJson { what: "a control character within a text", at });
        }
        self.lengthen()?;
        if !is_escaped && byte == b'"' {
            self.token = Token::None;
            if is_key {
                self.expected = Expected::Colon;
                return Ok(());
            }
            self.end_value();
            return Ok(());
        }
        if is_key && self.depth == 1 && self.key.len() <= CONNECTIONS.len() {
            self.key.push(byte);
        }
        self.token = Token::Text { is_key, is_escaped: !is_escaped && byte == b'\\' };
        Ok(())
    }

    fn structure(&mut self, byte: u8, at: usize) -> Result<(), Broken> {
        let takes_value = matches!(self.expected, Expected::Value | Expected::ValueOrEnd);
        match (byte, self.expected) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => Ok(()),
            (b'{' | b'[', _) if takes_value => self.open(byte == b'{'),
            (b'"', _) if takes_value => self.begin(Token::Text { is_key: false, is_escaped: false }, byte),
            (b'"', Expected::Key | Expected::KeyOrEnd) => {
                self.key.clear();
                self.begin(Token::Text { is_key: true, is_escaped: false }, byte)
            }
            (b':', Expected::Colon) => {
                if self.depth == 1 {
                    self.is_connections = self.key == CONNECTIONS;
                }
                self.expected = Expected::Value;
                Ok(())
            }
            (b',', Expected::CommaOrEnd) => {
                self.expected = if self.is_in_object() { Expected::Key } else { Expected::Value };
                Ok(())
            }
            (b'}', Expected::KeyOrEnd | Expected::CommaOrEnd) if self.is_in_object() => {
                self.close();
                Ok(())
            }
            (b']', Expected::ValueOrEnd | Expected::CommaOrEnd) if !self.is_in_object() => {
                self.close();
                Ok(())
            }
            _ if takes_value && is_plain(byte) => self.begin(Token::Plain, byte),
            _ => Err(Broken::NotJson { what: "something that does not belong there", at }),
        }
    }

    fn begin(&mut self, token: Token, first: u8) -> Result<(), Broken> {
        if self.depth == 0 {
            return Err(Broken::NoConnections);
        }
        // In place of the list may stand `null`, and nothing else begins with its letter. The next key is not that of the list any more.
        let is_key = matches!(token, Token::Text { is_key: true, .. });
        if self.is_connections && self.depth == 1 && !is_key {
            if first != b'n' {
                return Err(Broken::NoConnections);
            }
            self.has_connections = true;
        }
        (self.token, self.length) = (token, 0);
        Ok(())
    }

    fn open(&mut self, is_object: bool) -> Result<(), Broken> {
        match (self.depth, is_object) {
            (0, false) => return Err(Broken::NoConnections),
            (1, true) if self.is_connections => return Err(Broken::NoConnections),
            (1, false) if self.is_connections => self.has_connections = true,
            _ => {}
        }
        if self.depth >= self.limits.depth {
            return Err(Broken::TooDeep(self.limits.depth));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(is_object);
        self.expected = if is_object { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
        Ok(())
    }

    fn close(&mut self) {
        self.objects >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.end_value();
    }

    fn end_value(&mut self) {
        self.token = Token::None;
        self.expected = if self.depth == 0 { Expected::Nothing } else { Expected::CommaOrEnd };
    }

    fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
