//! Lists, whole or in pages. All pages of a list show the same version. No IO.

use std::collections::VecDeque;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::answer::Refusal;
use super::route::Selector;
use super::store::{Kind, Object, Store};

/// So many lists that were begun are kept.
const MOST_SNAPSHOTS: usize = 64;

/// Lists of which pages are still to be fetched.
#[derive(Default)]
pub(super) struct Snapshots {
    numbers: u64,
    open: VecDeque<Snapshot>,
}

/// All pages of a list share its objects: a copy of them for each page would be the square of a long list.
#[derive(Clone)]
struct Snapshot {
    token: String,
    version: u64,
    objects: Arc<[Arc<Object>]>,
    /// How many of them were in the pages before.
    told: usize,
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
        let mut snapshot = match token {
            None => {
                let objects = store.all(kind).filter(|object| selector.matches(object)).cloned().collect();
                Snapshot { token: String::new(), version: store.version(), objects, told: 0 }
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
                self.keep(snapshot.clone());
                snapshot
            }
        };
        let rest = snapshot.objects.get(snapshot.told..).unwrap_or_default();
        let count = if limit == 0 { rest.len() } else { limit.min(rest.len()) };
        let items: Vec<&str> = rest.iter().take(count).map(|object| object.bare.as_str()).collect();
        let items = items.join(",");
        let (version, remaining) = (snapshot.version, rest.len() - count);
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if remaining > 0 {
            self.numbers += 1;
            snapshot.token = format!("list {} of version {version}", self.numbers);
            metadata =
                json!({"resourceVersion": version.to_string(), "continue": snapshot.token, "remainingItemCount": remaining});
            snapshot.told += count;
            self.keep(snapshot);
        }
        let kind = kind.singular();
        Ok(format!(r#"{{"kind":"{kind}List","apiVersion":"v1","metadata":{metadata},"items":[{items}]}}"#))
    }

    fn keep(&mut self, snapshot: Snapshot) {
        self.open.push_back(snapshot);
        if self.open.len() > MOST_SNAPSHOTS {
            self.open.pop_front();
        }
    }
}
