//! What can be asked of a lane that runs: to show what a successor of its module needs, to put one in place, to shape an event again, to let somebody
//! hear what it is given.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluicebox_contract::meter::LaneMeter;
use sluicebox_contract::{Closed, Event, Fault, ModuleIdentity, Notice, Subject};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::LaneSettings;
use crate::queue::{Adjust, Bounds, Valve};
use crate::replay::{EventAgain, Reshaped};
use crate::supervise::LaneHandle;
use crate::tap::TapOfLane;

/// Orders that may wait for a lane.
const ORDERS: usize = 8;

/// What a successor of the module needs to know.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The subjects that the module has been told, by id.
    pub subjects: Vec<Arc<Subject>>,
    /// Subjects that stop the present module when they are defined.
    pub shunned: Vec<Arc<Subject>>,
    /// A part of the last batch that was shaped; empty before the first one.
    pub batch: Vec<Event>,
}

/// A module that was started, told and rehearsed elsewhere.
pub struct Successor<S> {
    /// The instance, ready to be called.
    pub shaper: S,
    /// What it was told, by id.
    pub told: Vec<Arc<Subject>>,
    /// Which module it is.
    pub module: ModuleIdentity,
    /// How the lane works with it.
    pub settings: LaneSettings,
    /// What it counts. Its queue's meter is that of the lane, and so is what becomes of events.
    pub meter: Arc<LaneMeter>,
}

/// A swap that was done.
pub struct Swapped<S> {
    /// The old module, to be dropped where that delays nobody.
    pub old: S,
    /// How long events have waited for it.
    pub pause: Duration,
    /// What happened to what the old module had to save.
    pub state: StateMove,
}

/// What became of a module's state in a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateMove {
    /// There was none to be had: the module keeps none, or its instance was dead.
    None,
    /// The new instance has it.
    Moved,
    /// The new module takes none.
    Dropped,
    /// It is lost, because the old instance died when it was asked, or the lane rested and the successor did not take it.
    Lost,
}

pub(crate) enum Order<S> {
    Look(oneshot::Sender<Snapshot>),
    Tap(TapOfLane),
    Swap(Box<Successor<S>>, Claim, oneshot::Sender<Result<Swapped<S>, Fault>>),
    Replay(Box<EventAgain>, oneshot::Sender<Reshaped>),
}

/// Either the lane begins with an order or whoever gave it takes it back: the first to claim it decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Says whether this is the first claim.
    pub(crate) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Takes an order back that nobody waits for any more.
struct TakesBack(Claim);

impl Drop for TakesBack {
    fn drop(&mut self) {
        self.0.claim();
    }
}

/// Why a lane has not begun with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// The lane has ended.
    Ended,
    /// It did not come to it within this time, and does not do so later.
    Late(Duration),
}

impl fmt::Display for NotBegun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => formatter.write_str("the lane has ended"),
            Self::Late(patience) => write!(formatter, "nothing happened within {patience:?}: does the lane wait for its sink?"),
        }
    }
}

impl std::error::Error for NotBegun {}

/// The way to give orders to a lane. Does not keep the lane alive.
pub struct LaneControl<S> {
    pub(crate) handle: LaneHandle,
    pub(crate) orders: mpsc::Sender<Order<S>>,
    pub(crate) valve: Valve<Notice>,
}

pub(crate) fn orders<S>() -> (mpsc::Sender<Order<S>>, mpsc::Receiver<Order<S>>) {
    mpsc::channel(ORDERS)
}

/// Waits for an answer, but not for one that cannot come: what is sent in the moment in which the channel closes may stay in it.
pub(crate) async fn answer_of<R>(mut answer: oneshot::Receiver<R>, closed: impl Future<Output = ()>) -> Result<R, Closed> {
    tokio::select! {
        biased;
        answered = &mut answer => return answered.map_err(|_| Closed),
        () = closed => {}
    }
    // An answer that was given was given before the channel closed.
    answer.try_recv().map_err(|_| Closed)
}

impl<S> LaneControl<S> {
    /// Names the lane.
    pub fn handle(&self) -> LaneHandle {
        self.handle
    }

    /// What a successor of the module needs; answered between two batches.
    pub async fn look(&self) -> Result<Snapshot, Closed> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Look(reply), answer).await
    }

    /// Puts a successor in place between two batches. A fault leaves the old module at work. When the lane has not begun with it within
    /// `patience`, or the future is dropped before it has, nothing happens; once it has begun, the answer is waited for without a
    /// deadline, as each call of a module has its own.
    pub async fn swap(&self, successor: Successor<S>, patience: Duration) -> Result<Result<Swapped<S>, Fault>, NotBegun> {
        let (reply, answer) = oneshot::channel();
        let claim = Claim::default();
        let _takes_back = TakesBack(claim.clone());
        let swapping = self.order(Order::Swap(Box::new(successor), claim.clone(), reply), answer);
        tokio::pin!(swapping);
        let answered = match timeout(patience, &mut swapping).await {
            Err(_) if claim.claim() => return Err(NotBegun::Late(patience)),
            Err(_) => swapping.await,
            Ok(answered) => answered,
        };
        answered.map_err(|Closed| NotBegun::Ended)
    }

    /// Has an event shaped by today's module, and its entries sent to their sinks.
    pub async fn replay(&self, again: EventAgain) -> Result<Reshaped, Closed> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Replay(Box::new(again), reply), answer).await
    }

    async fn order<R>(&self, order: Order<S>, answer: oneshot::Receiver<R>) -> Result<R, Closed> {
        self.orders.send(order).await.map_err(|_| Closed)?;
        answer_of(answer, self.orders.closed()).await
    }

    /// The lane's queue, for whoever changes what it may hold.
    pub fn queue(&self) -> &dyn Adjust {
        &self.valve
    }

    /// Changes what the lane's queue may hold.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.valve.set_bounds(bounds);
    }

    /// Waits until the lane has ended.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }
}

impl<S> Clone for LaneControl<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle, orders: self.orders.clone(), valve: self.valve.clone() }
    }
}
