use std::num::NonZeroU32;

use futures::FutureExt as _;
use sluicebox_contract::{Appended, Entry, Message, ModuleIdentity, Record, UnixNanos};

use super::*;
use crate::outlet::Origin;

/// Counts, and keeps nothing.
#[derive(Default)]
struct Counting(Waiting);

impl Backlog for Counting {
    fn largest(&self) -> u64 {
        1 << 20
    }

    fn append(&mut self, entries: NonZeroU32, _record: &[u8]) -> Result<Appended, Fault> {
        let first = self.0.next;
        self.0.next += u64::from(entries.get());
        self.0.unread += u64::from(entries.get());
        Ok(Appended::Kept(first))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.0.flushed = self.0.next;
        Ok(())
    }

    fn read(&mut self, _records: usize, _bytes: usize) -> Result<Vec<Record>, Fault> {
        Ok(Vec::new())
    }

    fn skip_to(&mut self, _number: u64) {}

    fn done_before(&mut self, _number: u64) -> Result<(), Fault> {
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn waiting(&self) -> Waiting {
        self.0
    }
}

#[tokio::test]
async fn once_it_was_caught_up_with_what_is_put_away_is_in_the_store() {
    let settings = StoreSettings { always: true, entries_per_second: 1000 };
    let mut store = Store::new(
        "out".into(),
        StoreTerms { backlog: Box::new(Counting::default()), settings },
        Refusals::new(&"out".into(), None),
        Arc::default(),
    );
    for number in 1..=300 {
        let origin = Arc::new(Origin { lane: "l".into(), module: ModuleIdentity::default(), again: false, replay: None });
        let entries = vec![Entry::Message(Message::default())];
        store.accept(vec![Parcel::Entries { origin, entries, observed_at: UnixNanos(1), receipt: None }]);
        // It is begun, and nobody waits for it.
        let held = Arc::clone(&store.disk);
        let busy = lock(&held);
        assert!(store.put_away().now_or_never().is_none());
        drop(busy);
        store.catch_up().await;
        assert_eq!((store.is_tidy(), store.waiting.unread), (true, number));
    }
}
