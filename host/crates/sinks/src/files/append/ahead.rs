//! Lines that stand in a file already although they will be sent again: those behind the entry that stopped the batch, and all of a
//! batch whose outcome nobody waited for. Pure.

use std::collections::VecDeque;

/// What one file knows of them. Lines are sent again in their order, so only the next one need be compared.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Dealt with, and to come again.
    expected: VecDeque<Dealt>,
    /// Dealt with by the batch at hand, with the index in it.
    dealt: Vec<(usize, Dealt)>,
}

/// A line, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Dealt {
    print: u64,
    /// Else it was refused. That is to be found out anew, but it must not hide what was written behind it.
    is_written: bool,
}

impl Ahead {
    /// A new batch comes; of the one before, the entries below this index are known to be dealt with.
    pub(super) fn begin(&mut self, known: usize) {
        for (_, dealt) in self.dealt.drain(..).rev().filter(|(index, _)| *index >= known) {
            self.expected.push_front(dealt);
        }
    }

    /// Whether this line stands in the file already.
    pub(super) fn has(&mut self, index: usize, print: u64) -> bool {
        let Some(dealt) = self.expected.pop_front_if(|dealt| dealt.print == print) else {
            // Whoever sent them has given them up.
            self.expected.clear();
            return false;
        };
        if dealt.is_written {
            self.dealt.push((index, dealt));
        }
        dealt.is_written
    }

    /// This line has been written.
    pub(super) fn wrote(&mut self, index: usize, print: u64) {
        self.deal(index, Dealt { print, is_written: true });
    }

    /// This line has been refused.
    pub(super) fn refused(&mut self, index: usize, print: u64) {
        self.deal(index, Dealt { print, is_written: false });
    }

    /// In the order of the batch, in which they come again.
    fn deal(&mut self, index: usize, dealt: Dealt) {
        let place = self.dealt.partition_point(|(other, _)| *other < index);
        self.dealt.insert(place, (index, dealt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_the_stop_is_not_written_again() {
        let mut ahead = Ahead::default();
        for index in [0, 2, 4] {
            ahead.wrote(index, index as u64);
        }
        // Stopped at 1: 2 and 4 come again as 1 and 3, in two batches.
        ahead.begin(1);
        assert!(ahead.has(1, 2));
        ahead.begin(2);
        assert!(ahead.has(1, 4));
        ahead.begin(usize::MAX);
        assert!(!ahead.has(0, 4), "a new line that looks the same");
    }

    #[test]
    fn what_was_sent_again_and_stopped_again_is_still_known() {
        let mut ahead = Ahead::default();
        ahead.wrote(3, 7);
        ahead.wrote(4, 8);
        for _ in 0..3 {
            ahead.begin(0);
            assert!(ahead.has(3, 7));
        }
        ahead.begin(0);
        assert!(ahead.has(0, 7) && ahead.has(1, 8));
    }

    #[test]
    fn other_lines_than_the_expected_are_written() {
        let mut ahead = Ahead::default();
        ahead.wrote(0, 7);
        ahead.begin(0);
        assert!(!ahead.has(0, 9));
        assert!(!ahead.has(1, 7));
    }

    #[test]
    fn a_line_that_was_refused_does_not_hide_those_behind_it() {
        let mut ahead = Ahead::default();
        for _ in 0..2 {
            ahead.wrote(0, 7);
            ahead.refused(1, 8);
            ahead.wrote(2, 9);
            ahead.begin(0);
            assert!(ahead.has(0, 7) && !ahead.has(1, 8) && ahead.has(2, 9));
            // It is refused again, after the others have been looked at.
            ahead.refused(1, 8);
            ahead.begin(0);
            assert!(ahead.has(0, 7) && !ahead.has(1, 8) && ahead.has(2, 9));
            ahead.begin(usize::MAX);
        }
    }
}
