//! What an operator reads of queries that fail.

use crate::http::Trouble;

/// Queries that fail in turns do not fill the log.
const OFTEN: u64 = 20;
/// Names that are told.
const NAMES: usize = 5;

/// Says when other queries fail than in the cycle before, ever more rarely where that goes on, and when all answer again.
#[derive(Debug, Default)]
pub(super) struct Outage {
    failing: Vec<String>,
    kind: Option<std::mem::Discriminant<Trouble>>,
    told: u64,
    is_told: bool,
}

impl Outage {
    /// A cycle of so many queries is over, of which these have failed.
    pub(super) fn over(&mut self, cycle: &str, of: usize, failed: &[(String, Trouble)]) {
        let Some((_, trouble)) = failed.first() else {
            if std::mem::take(&mut self.failing).is_empty() {
                return;
            }
            self.kind = None;
            if self.is_told {
                tracing::info!(source = "prometheus", cycle, "all queries are answered again");
            }
            return;
        };
        let names: Vec<String> = failed.iter().map(|(name, _)| name.clone()).collect();
        let kind = Some(trouble.kind());
        let is_new = kind != self.kind || names.iter().any(|name| !self.failing.contains(name));
        if is_new {
            self.told += 1;
            self.is_told = self.told <= OFTEN || self.told.is_power_of_two();
            if self.is_told {
                let first = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
                let shown = if names.len() > NAMES { format!("{first}, …") } else { first };
                tracing::warn!(
                    source = "prometheus",
                    cycle,
                    failed = names.len(),
                    of,
                    queries = %shown,
                    %trouble,
                    hint = trouble.hint(),
                    "queries are not answered; they are asked again at each turn"
                );
            }
        }
        (self.failing, self.kind) = (names, kind);
    }
}
