//! Which connections were reported lately: so that one that comes twice has one document, what is over is forgotten, and what has not
//! changed can be passed over.

use sluicebox_sdk::{FastMap, Payload};

use crate::key::{self, Key};

/// The connections that were reported lately.
#[derive(Default)]
pub(crate) struct Remembered {
    seen: FastMap<Key, Seen>,
    /// Nanoseconds that have passed since the beginning, by a clock that nobody sets.
    now: u64,
    /// None of them was seen before this.
    oldest: u64,
    /// When the last report was observed, whichever tracer it was of.
    observed: u64,
    part: u32,
}

/// 24 bytes beside the 40 of the key: 100 000 of them are 9 MB.
struct Seen {
    at: u64,
    /// What its document was made of; zero before there was one.
    fingerprint: u64,
    /// In which part of a report it came last, and in which place among the documents of that part.
    part: u32,
    place: u32,
}

impl Remembered {
    /// A part of a report begins.
    pub(crate) fn begin(&mut self, observed: u64, over: u64) {
        self.part = self.part.wrapping_add(1);
        if observed == self.observed {
            return;
        }
        let passed = match observed.checked_sub(self.observed) {
            _ if self.observed == 0 => over,
            // The first report of a tracer does not tell how much time has passed.
            Some(ahead) if over == 0 => ahead,
            // Each tracer tells of the time since its own last report: of that only what is not counted yet has passed.
            Some(ahead) => over.min(ahead),
            // Another tracer's was faster.
            None if self.observed - observed < over => return,
            // The clock was set back.
            None => over,
        };
        self.now = self.now.saturating_add(passed);
        self.observed = observed;
    }

    /// Remembers a connection that would be the document at `place` of this part; tells at which it stands already.
    #[inline]
    pub(crate) fn see(&mut self, key: Key, place: u32) -> Option<u32> {
        let (now, part) = (self.now, self.part);
        let seen = self.seen.entry(key).or_insert(Seen { at: now, fingerprint: 0, part: part.wrapping_sub(1), place });
        if seen.part == part {
            return Some(seen.place);
        }
        (seen.at, seen.part, seen.place) = (now, part, place);
        None
    }

    /// Whether the document of a connection is made of something else than the last time; from now on it is not.
    pub(crate) fn changes(&mut self, key: &Key, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(1);
        self.seen.get_mut(key).is_none_or(|seen| std::mem::replace(&mut seen.fingerprint, fingerprint) != fingerprint)
    }

    /// Forgets what was last seen that many nanoseconds ago, and tells what it was, in order.
    pub(crate) fn prune(&mut self, after: u64) -> Vec<Key> {
        let Some(limit) = self.now.checked_sub(after).filter(|limit| self.oldest <= *limit) else { return Vec::new() };
        let mut oldest = self.now;
        let mut gone = Vec::new();
        self.seen.retain(|key, seen| {
            let stays = seen.at > limit;
            if stays {
                oldest = oldest.min(seen.at);
            } else {
                gone.push(*key);
            }
            stays
        });
        self.oldest = oldest;
        gone.sort_unstable();
        gone
    }

    /// Forgets the oldest where there are more than that, and tells what they were, in order.
    pub(crate) fn keep_at_most(&mut self, most: usize) -> Vec<Key> {
        let Some(over) = self.seen.len().checked_sub(most).filter(|over| *over > 0) else { return Vec::new() };
        let mut all: Vec<(u64, Key)> = self.seen.iter().map(|(key, seen)| (seen.at, *key)).collect();
        let (oldest, _, _) = all.select_nth_unstable(over - 1);
        let mut gone: Vec<Key> = oldest.iter().map(|(_, key)| *key).collect();
        gone.extend(all.get(over - 1).map(|(_, key)| *key));
        gone.sort_unstable();
        for key in &gone {
            self.seen.remove(key);
        }
        gone
    }

    /// Forgets all, where nothing is to be known when the next part comes. The room stays.
    pub(crate) fn clear(&mut self) {
        self.seen.clear();
    }

    /// When the last report was observed, and of each connection the key and how long ago it was seen, in milliseconds.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.seen.len() * ITEM);
        out.extend_from_slice(&self.observed.to_le_bytes());
        for (key, seen) in &self.seen {
            let age = (self.now - seen.at) / 1_000_000;
            key.save(&mut out);
            out.extend_from_slice(&u32::try_from(age).unwrap_or(u32::MAX).to_le_bytes());
        }
        out
    }

    /// None where these bytes were not saved by it.
    pub(crate) fn restore(data: &Payload) -> Option<Self> {
        let (observed, items) = data.as_bytes().split_first_chunk::<8>()?;
        let (items, []) = items.as_chunks::<ITEM>() else { return None };
        // Time begins where the oldest has its place.
        let age = |item: &[u8; ITEM]| item.last_chunk().map(|age| u64::from(u32::from_le_bytes(*age)) * 1_000_000);
        let now = items.iter().filter_map(age).max().unwrap_or_default();
        let mut seen = FastMap::default();
        seen.reserve(items.len());
        for item in items {
            seen.insert(Key::restore(item)?, Seen { at: now.saturating_sub(age(item)?), fingerprint: 0, part: 0, place: 0 });
        }
        Some(Self { seen, now, oldest: 0, observed: u64::from_le_bytes(*observed), part: 0 })
    }
}

const ITEM: usize = key::BYTES + 4;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use sluicebox_sdk::{Connection, Direction, End, Protocol, Traffic};

    use super::*;
    use crate::settings::{KeyForm, MOST};

    fn key(number: u32) -> Key {
        let end = |address| End { subject: 0, address: IpAddr::from(Ipv4Addr::from_bits(address)).into(), port: 1 };
        let connection = Connection {
            source: end(number),
            destination: end(7),
            protocol: Protocol::Tcp,
            direction: Direction::Outgoing,
            pid: 0,
            network_namespace: 0,
            sent: Traffic::of(0),
            received: Traffic::of(0),
            retransmits: Traffic::of(0),
            last_seen_nanoseconds_since_boot: 0,
        };
        Key::of(&connection, KeyForm::Ports)
    }

    #[test]
    fn a_connection_is_64_bytes() {
        assert_eq!((size_of::<Key>(), size_of::<Seen>()), (40, 24));
    }

    #[test]
    fn what_is_saved_of_the_most_fits_into_a_call_and_is_restored() {
        let most = u32::try_from(MOST).unwrap();
        let mut old = Remembered::default();
        old.begin(1_000_000_000, 0);
        for number in 0..most {
            old.see(key(number), number);
        }
        old.begin(5_000_000_000, 4_000_000_000);
        old.see(key(0), 0);
        let saved = old.save();
        assert!(saved.len() < 8 << 20, "{} bytes", saved.len());

        let mut new = Remembered::restore(&saved.into()).unwrap();
        new.begin(6_000_000_000, 1_000_000_000);
        assert_eq!(new.prune(5_000_000_000).len(), MOST - 1);
        assert_eq!(new.prune(1_000_000_000), [key(0)]);
    }

    #[test]
    fn bytes_of_somebody_else_are_not_restored() {
        for bytes in [vec![], vec![0; 7], vec![0; 9], vec![0; 8 + ITEM - 1]] {
            assert!(Remembered::restore(&bytes.into()).is_none());
        }
        assert!(Remembered::restore(&vec![0; 8].into()).is_some());
    }

    const SECOND: u64 = 1_000_000_000;

    /// Reports by when they were observed and the time over which they tell, in seconds; how many have passed after each since the first.
    #[track_caller]
    fn check(reports: &[(u64, u64)], passed: &[u64]) {
        let mut remembered = Remembered::default();
        remembered.begin(1000 * SECOND, 0);
        let told = reports.iter().map(|(observed, over)| {
            remembered.begin(observed * SECOND, over * SECOND);
            remembered.now / SECOND
        });
        assert_eq!(told.collect::<Vec<_>>(), passed);
    }

    #[test]
    fn time_passes_as_one_tracer_tells() {
        check(&[(1005, 5), (1010, 5), (1010, 5), (1300, 290)], &[5, 10, 10, 300]);
        // Reports that were lost between, and a tracer that comes back: it cannot tell.
        check(&[(1005, 5), (1015, 5), (1045, 0)], &[5, 10, 40]);
    }

    #[test]
    fn time_passes_once_however_many_tracers_tell() {
        let first = [(1001, 0), (1002, 0), (1003, 0)];
        let then: Vec<_> = (4..300).map(|second| (1000 + second, 4)).collect();
        let passed: Vec<_> = (1..300).collect();
        check(&[&first[..], &then].concat(), &passed);
        // At the same moment, one behind the other, and in parts that alternate.
        check(&[(1005, 5), (1005, 5), (1004, 5), (1005, 5), (1010, 5), (1009, 5), (1010, 5)], &[5, 5, 5, 5, 10, 10, 10]);
    }

    #[test]
    fn a_clock_that_is_set_forward_ages_nothing() {
        check(&[(1005, 5), (88_000, 5), (88_005, 5)], &[5, 10, 15]);
        check(&[(1001, 4), (88_000, 4), (88_001, 4), (88_002, 4)], &[1, 5, 6, 7]);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        check(&[(1005, 5), (500, 5), (505, 5)], &[5, 10, 15]);
        check(&[(1001, 4), (500, 4), (501, 4), (502, 4)], &[1, 5, 6, 7]);
        // By little, it is as if a report had been overtaken.
        check(&[(1005, 5), (1003, 5), (1008, 5), (1013, 5)], &[5, 5, 8, 13]);
    }

    #[test]
    fn the_oldest_go_and_the_rest_stays() {
        let mut remembered = Remembered::default();
        for (number, second) in [(3, 1), (1, 2), (2, 2), (4, 3)] {
            remembered.begin(second * 1_000_000_000, 1_000_000_000);
            remembered.see(key(number), 0);
        }
        assert_eq!(remembered.keep_at_most(4), []);
        assert_eq!(remembered.keep_at_most(2), [key(1), key(3)]);
        assert_eq!(remembered.keep_at_most(0), [key(2), key(4)]);
    }
}
