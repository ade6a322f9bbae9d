//! What has come of a report so far: its connections, as many as there may be.

use super::document::{Broken, Document, Limits, Taken};
use super::row::{DirectionCodes, Reported, read};

/// How reports are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) limits: Limits,
    pub(super) codes: DirectionCodes,
    pub(super) max_connections: usize,
}

/// A report that is complete.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) rows: Vec<Reported>,
    /// Rows that were no connections.
    pub(super) unreadable: u64,
    /// Connections for which there was no room.
    pub(super) beyond_limit: u64,
}

/// A report that is being read.
pub(super) struct Reader {
    reading: Reading,
    document: Document,
    report: Report,
}

impl Reader {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, document: Document::new(reading.limits), report: Report::default() }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.document.has_begun()
    }

    /// Takes the next bytes; says whether the report ends within them, and where.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<Taken, Broken> {
        let Self { reading, document, report } = self;
        document.take(chunk, |row| {
            if report.rows.len() >= reading.max_connections {
                report.beyond_limit += 1;
                return;
            }
            match read(row, reading.codes) {
                Some(row) => report.rows.push(row),
                None => report.unreadable += 1,
            }
        })
    }

    /// The report, when nothing more comes.
    pub(super) fn end(self) -> Result<Report, Broken> {
        self.document.end()?;
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_connection_and_what_is_too_much_is_counted() {
        let limits = Limits { document: 4096, depth: 8, piece: 512 };
        let mut reader = Reader::new(Reading { limits, codes: DirectionCodes::Datadog, max_connections: 2 });
        let row = r#"{"source":"10.0.0.1","dest":"10.0.0.2"}"#;
        let text = format!(r#"{{"connections":[{row},null,{row},{row},{row}]}}"#);
        assert_eq!(reader.take(text.as_bytes()), Ok(Taken::Ended(text.len())));
        let report = reader.end().unwrap();
        assert_eq!((report.rows.len(), report.unreadable, report.beyond_limit), (2, 1, 2));
    }
}
