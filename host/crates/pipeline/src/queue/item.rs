//! What a queue may hold, what may be dropped of it, and what it must know of an item for that.

/// What a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Items.
    pub items: usize,
    /// Bytes, as the senders weigh them: of what waits and of what was taken and is in work. When nothing waits an item goes in that weighs more
    /// than half of this: only with such items more is held.
    pub bytes: usize,
    /// What happens when an item does not fit.
    pub when_full: WhenFull,
}

/// What happens when an item does not fit.
///
/// Where the oldest are dropped, an item for which nothing can make room is dropped itself, and what is never dropped does not wait either, or others would wait because of it. There is no more of it than
/// of what exists: an end takes its beginning out again when nothing between them is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Its sender waits.
    #[default]
    Wait,
    /// The oldest samples make room, and are counted. All other facts wait.
    DropSamples,
    /// The oldest facts make room, and are counted.
    DropOldest,
    /// A fact or a sample that does not fit is dropped itself, and counted. What is never dropped waits.
    DropNewest,
}

/// How much an item is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is never dropped.
    Kept,
    /// It is dropped where the oldest are.
    Fact,
    /// The next one of its kind tells more: it is dropped before others have to wait for it.
    Sample,
}

/// What a queue can hold.
pub trait Item {
    /// How much it is missed.
    fn worth(&self) -> Worth;

    /// How many things are dropped with it.
    fn things(&self) -> u64 {
        1
    }

    /// Whether it is the end of something, which may undo its beginning.
    fn ends(&self) -> bool {
        false
    }

    /// Whether nobody needs to know of this one if they do not know of the earlier one: the end of what began with it.
    fn undoes(&self, earlier: &Self) -> bool {
        let _ = earlier;
        false
    }

    /// Whether it makes no sense without the earlier one.
    fn needs(&self, earlier: &Self) -> bool {
        let _ = earlier;
        false
    }
}
