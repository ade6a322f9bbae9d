//! Lists, whole or in pages. All pages of a list show the same version. No IO.

use std::collections::VecDeque;

use http::StatusCode;
use serde_json::json;

use super::answer::Refusal;
use super::route::Selector;
use super::store::{Kind, Store};

/// So many lists that were begun are kept.
const MOST_SNAPSHOTS: usize = 64;

/// Lists of which pages are still to be fetched.
#[derive(Default)]
pub(super) struct Snapshots {
    numbers: u64,
    open: VecDeque<Snapshot>,
}

struct Snapshot {
    token: String,
    version: u64,
    rest: VecDeque<String>,
}

impl Snapshots {
    /// They have become too old.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// A page: the first one, or the one that a token leads to.
    pub(super) fn page(
        &mut self,
        store: &Store,
        kind: Kind,
        selector: &Selector,
        limit: usize,
        token: Option<&str>,
    ) -> Result<String, Refusal> {
        let (version, mut rest) = match token {
            None => {
                let items = store.all(kind).filter(|object| selector.matches(object)).map(|object| object.bare.clone());
                (store.version(), items.collect::<VecDeque<_>>())
            }
            Some(token) => {
                let place = self.open.iter().position(|snapshot| snapshot.token == token);
                let snapshot = place.and_then(|place| self.open.remove(place)).ok_or_else(|| {
                    Refusal::new(
                        StatusCode::GONE,
                        "The provided continue parameter is too old to display a consistent list result.",
                    )
                })?;
                // The same page may be asked for again.
                self.keep(snapshot.token.clone(), snapshot.version, snapshot.rest.clone());
                (snapshot.version, snapshot.rest)
            }
        };
        let count = if limit == 0 { rest.len() } else { limit.min(rest.len()) };
        let items: Vec<String> = rest.drain(..count).collect();
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if !rest.is_empty() {
            self.numbers += 1;
            let token = format!("list {} of version {version}", self.numbers);
            metadata = json!({"resourceVersion": version.to_string(), "continue": token, "remainingItemCount": rest.len()});
            self.keep(token, version, rest);
        }
        let kind = kind.singular();
        Ok(format!(r#"{{"kind":"{kind}List","apiVersion":"v1","metadata":{metadata},"items":[{}]}}"#, items.join(",")))
    }

    fn keep(&mut self, token: String, version: u64, rest: VecDeque<String>) {
        self.open.push_back(Snapshot { token, version, rest });
        if self.open.len() > MOST_SNAPSHOTS {
            self.open.pop_front();
        }
    }
}
