//! What an operator reads of queries that fail.

use std::collections::BTreeMap;

use crate::http::Trouble;

/// Queries that fail in turns do not fill the log.
const OFTEN: u64 = 20;
/// Names that are told of each cause.
const NAMES: usize = 5;
/// Causes that are told of a cycle, those of most queries first.
const CAUSES: usize = 5;

/// Says when other queries fail than in the cycle before, or for another cause, ever more rarely where that goes on, and when all answer again.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// By their names, why.
    failing: BTreeMap<String, Kind>,
    told: u64,
    is_told: bool,
}

/// Causes of one kind are told together.
type Kind = (std::mem::Discriminant<Trouble>, Option<http::StatusCode>);

/// Queries that failed for the same cause.
struct Cause<'failed> {
    kind: Kind,
    /// That of the first of them.
    trouble: &'failed Trouble,
    names: Vec<&'failed str>,
    is_new: bool,
    /// Some of the queries failed for other causes than the first.
    has_others: bool,
}

impl Outage {
    /// A cycle of so many queries is over, of which these have failed.
    pub(super) fn over(&mut self, cycle: &str, of: usize, failed: &[(String, Trouble)]) {
        if failed.is_empty() {
            if !std::mem::take(&mut self.failing).is_empty() && self.is_told {
                tracing::info!(source = "prometheus", cycle, "all queries are answered again");
            }
            return;
        }
        for cause in self.news(failed) {
            cause.tell(cycle, of);
        }
    }

    /// What is to be told of these failures: one line for each cause that is new, and one for all those beyond `CAUSES`.
    fn news<'failed>(&mut self, failed: &'failed [(String, Trouble)]) -> Vec<Cause<'failed>> {
        let mut news = self.causes(failed);
        news.retain(|cause| cause.is_new);
        self.failing = failed.iter().map(|(name, trouble)| (name.clone(), kind(trouble))).collect();
        if news.is_empty() {
            return news;
        }
        self.told += 1;
        self.is_told = self.told <= OFTEN || self.told.is_power_of_two();
        if !self.is_told {
            return Vec::new();
        }
        let rest = news.split_off(news.len().min(CAUSES));
        news.extend(rest.into_iter().reduce(|mut one, other| {
            one.names.extend(other.names);
            one.has_others = true;
            one
        }));
        news
    }

    /// The failures by their causes, those of most queries first. A cause is new where a query did not fail for it in the cycle before.
    fn causes<'failed>(&self, failed: &'failed [(String, Trouble)]) -> Vec<Cause<'failed>> {
        let mut causes: Vec<Cause<'_>> = Vec::new();
        for (name, trouble) in failed {
            let kind = kind(trouble);
            let is_new = self.failing.get(name) != Some(&kind);
            match causes.iter_mut().find(|cause| cause.kind == kind) {
                Some(cause) => {
                    cause.names.push(name);
                    cause.is_new |= is_new;
                }
                None => causes.push(Cause { kind, trouble, names: vec![name], is_new, has_others: false }),
            }
        }
        // Of as many each, the one that came first stays first.
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.names.len()));
        causes
    }
}

impl Cause<'_> {
    fn tell(&self, cycle: &str, of: usize) {
        let Self { trouble, names, .. } = self;
        let first = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
        let shown = if names.len() > NAMES { format!("{first}, …") } else { first };
        tracing::warn!(
            source = "prometheus",
            cycle,
            failed = names.len(),
            of,
            queries = %shown,
            %trouble,
            other_causes = self.has_others.then_some("some of them failed for others"),
            hint = trouble.hint(),
            "queries are not answered"
        );
    }
}

/// Answers of different statuses have different cures.
fn kind(trouble: &Trouble) -> Kind {
    let status = if let Trouble::Status { status, .. } = trouble { Some(*status) } else { None };
    (trouble.kind(), status)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn status(code: u16) -> Trouble {
        Trouble::Status { status: StatusCode::from_u16(code).unwrap(), words: String::new() }
    }

    /// What is told of queries that failed so: for each line, the words of the cause and the names.
    fn news(outage: &mut Outage, failed: &[(&str, Trouble)]) -> Vec<(String, String)> {
        let failed: Vec<_> = failed.iter().map(|(name, trouble)| ((*name).to_owned(), trouble.clone())).collect();
        outage.news(&failed).into_iter().map(|cause| (cause.trouble.to_string(), cause.names.join(","))).collect()
    }

    fn lines(expected: &[(&Trouble, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(trouble, names)| (trouble.to_string(), (*names).to_owned())).collect()
    }

    #[test]
    fn each_cause_is_told_with_the_queries_that_failed_for_it() {
        let mut outage = Outage::default();
        let (bad, away, long) = (status(400), status(503), Trouble::TooLong(7));
        let failed = [("a", bad.clone()), ("b", away.clone()), ("c", long.clone()), ("d", away.clone())];
        assert_eq!(news(&mut outage, &failed), lines(&[(&away, "b,d"), (&bad, "a"), (&long, "c")]));
        assert_eq!(news(&mut outage, &failed), [], "nothing is new");
        assert_eq!(news(&mut outage, &failed[..2]), [], "fewer are no news");
        let failed = [("a", bad.clone()), ("b", bad.clone()), ("d", away.clone())];
        assert_eq!(news(&mut outage, &failed), lines(&[(&bad, "a,b"), (&away, "d")]), "another cause, and another query");
        outage.over("1s", 4, &[]);
        assert_eq!(news(&mut outage, &failed[..1]), lines(&[(&bad, "a")]), "it answered in between");
    }

    #[test]
    fn causes_are_bounded_and_queries_that_fail_in_turns_do_not_fill_the_log() {
        let names: Vec<String> = (0..9).map(|number| format!("q{number}")).collect();
        let failed: Vec<_> = names.iter().map(String::as_str).zip((500..).map(status)).collect();
        let told = news(&mut Outage::default(), &failed);
        assert_eq!(told.len(), CAUSES + 1);
        assert_eq!(told[CAUSES], (status(505).to_string(), "q5,q6,q7,q8".to_owned()));

        let mut outage = Outage::default();
        let told = (0..100).filter(|turn| !news(&mut outage, &[(["a", "b"][turn % 2], status(500))]).is_empty()).count();
        assert_eq!(told, 22, "the first 20, then 32 and 64");
    }
}
