//! What goes wrong on purpose.

use std::collections::VecDeque;
use std::time::Duration;

use super::Request;

/// Requests that go wrong.
#[derive(Clone, Debug)]
pub struct RequestFault {
    /// Only watches, only what is not a watch, or both.
    pub watches: Option<bool>,
    /// How many of them.
    pub times: u32,
    /// How.
    pub kind: RequestFaultKind,
}

/// How a request goes wrong.
#[derive(Clone, Debug)]
pub enum RequestFaultKind {
    /// It is refused with this code, and a time to wait if one is given.
    Status(u16, Option<Duration>),
    /// It is never answered.
    Hang,
    /// It is answered with 200 and this text.
    Body(String),
    /// It is done, and never answered.
    Unanswered,
    /// It is done and answered after this time.
    Late(Duration),
}

/// How a watch goes wrong, after so many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// An error event says that its version has gone.
    Gone(usize),
    /// An error event with this code.
    Error(usize, u16),
    /// A line that is no JSON comes in place of the next event, which is lost.
    Garbage(usize),
    /// The connection breaks off in the middle of the next event.
    Cut(usize),
    /// Nothing comes any more.
    Stall(usize),
    /// It ends as if its time was over.
    End(usize),
    /// A line of so many bytes comes first.
    Huge(usize, usize),
}

impl WatchFault {
    pub(super) fn after(self) -> usize {
        match self {
            Self::Gone(events)
            | Self::Error(events, _)
            | Self::Garbage(events)
            | Self::Cut(events)
            | Self::Stall(events)
            | Self::End(events)
            | Self::Huge(events, _) => events,
        }
    }
}

/// Requests of one method to some paths. What is empty fits all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub(super) method: &'static str,
    /// A part of the path.
    pub(super) path: &'static str,
}

impl Target {
    fn fits(self, request: &Request) -> bool {
        (self.method.is_empty() || self.method == request.method) && request.path.contains(self.path)
    }
}

/// What is still to go wrong.
#[derive(Default)]
pub(super) struct Faults {
    requests: VecDeque<(Target, RequestFault)>,
    watches: VecDeque<WatchFault>,
    /// A version that is too old is answered by a status, not by an event.
    pub(super) gone_as_status: bool,
}

impl Faults {
    pub(super) fn add_request_fault(&mut self, target: Target, fault: RequestFault) {
        self.requests.push_back((target, fault));
    }

    pub(super) fn add_watch_fault(&mut self, fault: WatchFault) {
        self.watches.push_back(fault);
    }

    /// The fault for this request, if it is its turn.
    pub(super) fn request(&mut self, request: &Request) -> Option<RequestFaultKind> {
        let watch = request.is_watch();
        let concerns = |target: &Target, fault: &RequestFault| {
            fault.times > 0 && fault.watches.is_none_or(|only| only == watch) && target.fits(request)
        };
        let place = self.requests.iter().position(|(target, fault)| concerns(target, fault))?;
        let (_, fault) = self.requests.get_mut(place)?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    pub(super) fn watch(&mut self) -> Option<WatchFault> {
        self.watches.pop_front()
    }
}
