//! Who had an address when: the pods that the API server has told of with it, and for a while those that have gone. Pure.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::UnixNanos;

/// Those of an address, those that have ended included. The oldest that has ended makes room.
const MOST_OF_AN_ADDRESS: usize = 16;
/// Tenures that have ended, of all addresses.
const MOST_ENDED: usize = 20_000;

/// An address in the hands of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tenure {
    pod: Arc<str>,
    /// The pod had not begun to start before.
    from: UnixNanos,
    /// The API server told of the address.
    told: UnixNanos,
    /// The pod had gone, or had another address.
    until: Option<UnixNanos>,
    /// The pod is to go: it may have lost its address already.
    is_leaving: bool,
}

/// Who had each address.
#[derive(Debug, Default)]
pub(super) struct Tenures {
    by_address: HashMap<IpAddr, Vec<Tenure>>,
    /// Those that have ended, in the order of their ends.
    ended: VecDeque<(UnixNanos, IpAddr)>,
}

/// Who had an address at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// No pod that is known.
    Nobody,
    /// This one.
    Pod(Arc<str>),
    /// One of several, and it cannot be known which.
    Several,
}

impl Tenures {
    /// The pod has the address, says the API server at this time; it began to start at `from`.
    pub(super) fn begin(&mut self, address: IpAddr, pod: &Arc<str>, from: UnixNanos, told: UnixNanos, is_leaving: bool) {
        let tenures = self.by_address.entry(address).or_default();
        if let Some(known) = tenures.iter_mut().find(|tenure| tenure.until.is_none() && tenure.pod == *pod) {
            known.is_leaving = is_leaving;
            return;
        }
        if tenures.len() >= MOST_OF_AN_ADDRESS {
            let oldest = tenures.iter().position(|tenure| tenure.until.is_some()).unwrap_or(0);
            tenures.remove(oldest);
        }
        tenures.push(Tenure { pod: Arc::clone(pod), from: from.min(told), told, until: None, is_leaving });
    }

    /// The pod has the address no more.
    pub(super) fn end(&mut self, address: IpAddr, pod: &str, now: UnixNanos) {
        let tenures = self.by_address.get_mut(&address).into_iter().flatten();
        let mut has_ended = false;
        for tenure in tenures.filter(|tenure| tenure.until.is_none() && *tenure.pod == *pod) {
            tenure.until = Some(now);
            has_ended = true;
        }
        if has_ended {
            self.ended.push_back((now, address));
        }
        if self.ended.len() > MOST_ENDED
            && let Some((time, address)) = self.ended.pop_front()
        {
            self.drop_ended(address, time);
        }
    }

    /// Who had it at `time`.
    pub(super) fn holder(&self, address: IpAddr, time: UnixNanos) -> Holder {
        let Some(tenures) = self.by_address.get(&address) else { return Holder::Nobody };
        let could = |tenure: &&Tenure| tenure.from <= time && tenure.until.is_none_or(|until| time < until);
        let mut candidates = tenures.iter().filter(could);
        let (Some(first), others) = (candidates.next(), candidates) else { return Holder::Nobody };
        let mut latest = first;
        let mut is_certain = true;
        for other in others {
            let (earlier, later) = if other.told >= latest.told { (latest, other) } else { (other, latest) };
            // An address goes from one that leaves to the next, which has it for certain once the API server says so.
            is_certain = (earlier.is_leaving || earlier.until.is_some()) && later.told <= time && is_certain;
            latest = later;
        }
        if is_certain { Holder::Pod(Arc::clone(&latest.pod)) } else { Holder::Several }
    }

    /// Whether a pod has it, or had it not long ago.
    pub(super) fn know(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Forgets what has ended so long ago.
    pub(super) fn expire(&mut self, now: UnixNanos, history: Duration) {
        while let Some((time, address)) = self.ended.front().copied().filter(|(time, _)| time.elapsed_until(now) > history) {
            self.ended.pop_front();
            self.drop_ended(address, time);
        }
    }

    fn drop_ended(&mut self, address: IpAddr, time: UnixNanos) {
        if let Some(tenures) = self.by_address.get_mut(&address) {
            tenures.retain(|tenure| tenure.until.is_none_or(|until| until > time));
            if tenures.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(second: u64) -> UnixNanos {
        UnixNanos(second * SECOND)
    }

    fn address() -> IpAddr {
        "10.42.0.7".parse().unwrap()
    }

    /// `begin(pod, from, told)`, in seconds.
    fn begin(tenures: &mut Tenures, pod: &str, from: u64, told: u64) {
        tenures.begin(address(), &Arc::from(pod), at(from), at(told), false);
    }

    fn leave(tenures: &mut Tenures, pod: &str) {
        tenures.begin(address(), &Arc::from(pod), at(0), at(0), true);
    }

    #[track_caller]
    fn check(tenures: &Tenures, second: u64, expected: &str) {
        let holder = match tenures.holder(address(), at(second)) {
            Holder::Nobody => "nobody".to_owned(),
            Holder::Several => "several".to_owned(),
            Holder::Pod(pod) => pod.to_string(),
        };
        assert_eq!(holder, expected, "at {second}");
    }

    #[test]
    fn an_address_that_is_used_again_is_that_of_the_pod_that_had_it() {
        let mut tenures = Tenures::default();
        begin(&mut tenures, "a", 10, 12);
        tenures.end(address(), "a", at(20));
        begin(&mut tenures, "b", 30, 33);
        for (second, expected) in [(9, "nobody"), (10, "a"), (19, "a"), (20, "nobody"), (29, "nobody"), (30, "b"), (99, "b")] {
            check(&tenures, second, expected);
        }
    }

    #[test]
    fn an_address_goes_over_while_the_old_pod_still_leaves() {
        let mut tenures = Tenures::default();
        begin(&mut tenures, "a", 10, 12);
        begin(&mut tenures, "b", 30, 33);
        check(&tenures, 40, "several");
        leave(&mut tenures, "a");
        check(&tenures, 40, "b");
        check(&tenures, 31, "several");
        check(&tenures, 29, "a");
        tenures.end(address(), "a", at(45));
        for (second, expected) in [(29, "a"), (31, "several"), (33, "b"), (44, "b"), (45, "b")] {
            check(&tenures, second, expected);
        }
    }

    #[test]
    fn two_that_both_claim_to_live_are_not_told_apart() {
        let mut tenures = Tenures::default();
        begin(&mut tenures, "a", 1, 1);
        begin(&mut tenures, "b", 2, 2);
        begin(&mut tenures, "c", 3, 3);
        leave(&mut tenures, "c");
        check(&tenures, 5, "several");
    }

    #[test]
    fn one_that_is_told_again_is_the_same() {
        let mut tenures = Tenures::default();
        begin(&mut tenures, "a", 5, 6);
        begin(&mut tenures, "a", 5, 9);
        check(&tenures, 5, "a");
        tenures.end(address(), "a", at(10));
        tenures.end(address(), "a", at(11));
        assert_eq!(tenures.ended.len(), 1);
    }

    #[test]
    fn what_has_ended_is_forgotten_after_a_while() {
        let mut tenures = Tenures::default();
        begin(&mut tenures, "a", 1, 1);
        tenures.end(address(), "a", at(10));
        tenures.expire(at(15), Duration::from_secs(5));
        check(&tenures, 9, "a");
        tenures.expire(at(16), Duration::from_secs(5));
        check(&tenures, 9, "nobody");
        assert_eq!((tenures.by_address.len(), tenures.ended.len()), (0, 0));
    }

    #[test]
    fn it_is_bounded_however_often_an_address_changes_hands() {
        let mut tenures = Tenures::default();
        for second in 0..30_000 {
            begin(&mut tenures, &format!("pod-{second}"), second, second);
            tenures.end(address(), &format!("pod-{second}"), at(second));
        }
        assert!(tenures.by_address.values().all(|tenures| tenures.len() <= MOST_OF_AN_ADDRESS));
        assert!(tenures.ended.len() <= MOST_ENDED);
        for pod in 0..50 {
            begin(&mut tenures, &format!("live-{pod}"), 40_000, 40_000);
        }
        assert!(tenures.by_address.values().all(|tenures| tenures.len() <= MOST_OF_AN_ADDRESS));
    }
}
