//! The entries of a batch between the first try and the last: what is with the client, what is written, what is refused. Pure.
//!
//! A write that is dropped, or that gives up waiting, leaves them here. The next one comes with the same entries, or with those from the
//! first on that was not written; what is under way is recognised and not sent twice.

use std::collections::VecDeque;

use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::{Fault, Outcome, Refusal};

/// How far an entry has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is to be handed to the client for the first time: nothing behind it has been looked at.
    Unsent,
    /// It is to be handed to the client once more.
    Again,
    /// It is to be handed to the client while nothing else is there.
    Alone,
    /// It is with the client.
    Sent { alone: bool },
    /// It has come back from the client.
    Failed { code: RDKafkaErrorCode, alone: bool },
    /// It is written, or was never to be.
    Done,
    /// It can never be.
    Refused(String),
}

#[derive(Debug)]
struct Slip {
    fingerprint: u64,
    state: State,
}

/// The entries and their states. Each has a number of its own, which never comes again.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The number of the first.
    first: usize,
    slips: VecDeque<Slip>,
}

impl Flight {
    /// Takes up the entries of a batch; those that are known go on where they were. When others are there in their place, nobody waits for
    /// these any more.
    pub(super) fn take_up(&mut self, fingerprints: impl ExactSizeIterator<Item = u64> + Clone) {
        let known = self.slips.iter().zip(fingerprints.clone()).all(|(slip, fingerprint)| slip.fingerprint == fingerprint);
        if !known {
            self.drop_first(self.slips.len());
        }
        let slip = |fingerprint| Slip { fingerprint, state: State::Unsent };
        let fresh = fingerprints.skip(self.slips.len()).map(slip);
        self.slips.extend(fresh.collect::<Vec<_>>());
    }

    /// The number of the entry at this place of the batch.
    pub(super) fn number(&self, index: usize) -> usize {
        self.first.wrapping_add(index)
    }

    /// The client has done with the entry of this number.
    pub(super) fn settle(&mut self, number: usize, result: Result<(), RDKafkaErrorCode>) {
        let Some(index) = self.index(number) else {
            return;
        };
        if let Some(State::Sent { alone }) = self.state(index) {
            let state = result.map_or_else(|code| State::Failed { code, alone: *alone }, |()| State::Done);
            self.set(index, state);
        }
    }

    /// The place in the batch of the entry with this number.
    fn index(&self, number: usize) -> Option<usize> {
        Some(number.wrapping_sub(self.first)).filter(|index| *index < self.slips.len())
    }

    pub(super) fn state(&self, index: usize) -> Option<&State> {
        self.slips.get(index).map(|slip| &slip.state)
    }

    pub(super) fn set(&mut self, index: usize, state: State) {
        if let Some(slip) = self.slips.get_mut(index) {
            slip.state = state;
        }
    }

    /// The client has ended and taken with it what it had.
    pub(super) fn lose(&mut self) {
        for slip in &mut self.slips {
            if let State::Sent { alone } = slip.state {
                slip.state = if alone { State::Alone } else { State::Again };
            }
        }
    }

    /// How many are with the client.
    pub(super) fn sent(&self) -> usize {
        self.count(|state| matches!(state, State::Sent { .. }))
    }

    /// Whether some are to be handed to the client once more, although others behind them were.
    pub(super) fn is_behind(&self) -> bool {
        self.count(|state| matches!(state, State::Again | State::Alone | State::Failed { .. })) > 0
    }

    /// The first that is to be sent alone.
    pub(super) fn first_alone(&self) -> Option<usize> {
        self.slips.iter().position(|slip| slip.state == State::Alone)
    }

    /// Whether the first so many have come to their end.
    pub(super) fn is_over(&self, length: usize) -> bool {
        self.end(length) == length
    }

    /// What became of the first so many; without a fault all of them have come to their end. What is told is forgotten.
    pub(super) fn conclude(&mut self, length: usize, fault: Option<Fault>) -> Outcome {
        let end = self.end(length);
        let refusal = |(index, slip): (usize, &Slip)| match &slip.state {
            State::Refused(reason) => Some(Refusal { index, reason: reason.clone() }),
            _ => None,
        };
        let refused = self.slips.iter().take(end).enumerate().filter_map(refusal).collect();
        let stopped = fault.filter(|_| end < length).map(|fault| (end, fault));
        self.drop_first(end);
        Outcome { refused, stopped }
    }

    /// The first place of which more is to come.
    fn end(&self, length: usize) -> usize {
        let is_over = |slip: &Slip| matches!(slip.state, State::Done | State::Refused(_));
        self.slips.iter().take(length).position(|slip| !is_over(slip)).unwrap_or(length.min(self.slips.len()))
    }

    fn drop_first(&mut self, count: usize) {
        self.slips.drain(..count.min(self.slips.len()));
        self.first = self.first.wrapping_add(count);
    }

    fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.slips.iter().filter(|slip| is(&slip.state)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: State = State::Sent { alone: false };

    fn fault() -> Fault {
        Fault::retry("write", "no")
    }

    fn flight(fingerprints: &[u64], states: &[State]) -> Flight {
        let mut flight = Flight::default();
        flight.take_up(fingerprints.iter().copied());
        for (index, state) in states.iter().enumerate() {
            flight.set(index, state.clone());
        }
        flight
    }

    fn states(flight: &Flight) -> Vec<State> {
        flight.slips.iter().map(|slip| slip.state.clone()).collect()
    }

    #[test]
    fn a_write_that_was_dropped_goes_on_where_it_was() {
        let mut flight = flight(&[1, 2, 3], &[State::Done, SENT]);
        flight.take_up([1, 2, 3].into_iter());
        assert_eq!(states(&flight), [State::Done, SENT, State::Unsent]);
        assert_eq!((flight.sent(), flight.is_over(1), flight.is_over(2)), (1, true, false));
    }

    #[test]
    fn a_write_that_stopped_goes_on_with_more_entries_and_tells_each_refusal_once() {
        let no = || State::Refused("no".to_owned());
        let mut flight = flight(&[1, 2, 3, 4], &[no(), State::Done, SENT, no()]);
        let third = flight.number(2);
        let refusal = |index| Refusal { index, reason: "no".to_owned() };
        assert_eq!(flight.conclude(4, Some(fault())), Outcome { refused: vec![refusal(0)], stopped: Some((2, fault())) });
        flight.take_up([3, 4, 5].into_iter());
        assert_eq!((states(&flight), flight.number(0)), (vec![SENT, no(), State::Unsent], third));
        assert_eq!((flight.index(third), flight.index(third - 1), flight.index(third + 3)), (Some(0), None, None));
        flight.settle(third, Ok(()));
        flight.set(2, SENT);
        flight.settle(third + 2, Err(RDKafkaErrorCode::Fatal));
        assert!(!flight.is_over(3));
        flight.set(2, State::Done);
        assert_eq!(flight.conclude(3, None), Outcome { refused: vec![refusal(1)], stopped: None });
        assert_eq!(states(&flight), []);
    }

    #[test]
    fn other_entries_take_the_place_of_those_nobody_waits_for() {
        let mut flight = flight(&[1, 2, 3], &[SENT, SENT, SENT]);
        let old = flight.number(0);
        flight.take_up([1, 9].into_iter());
        assert_eq!(states(&flight), [State::Unsent, State::Unsent]);
        assert_eq!(flight.index(old), None);
    }

    #[test]
    fn what_the_client_takes_with_it_is_sent_again_as_it_was() {
        let mut flight = flight(&[1, 2, 3, 4], &[SENT, State::Sent { alone: true }, State::Done, State::Alone]);
        flight.lose();
        assert!(flight.is_behind());
        assert_eq!(states(&flight), [State::Again, State::Alone, State::Done, State::Alone]);
        assert_eq!(flight.first_alone(), Some(1));
    }

    #[test]
    fn a_fault_that_came_too_late_stops_nothing() {
        let mut flight = flight(&[1], &[State::Done]);
        assert_eq!(flight.conclude(1, Some(fault())), Outcome::written());
    }
}
