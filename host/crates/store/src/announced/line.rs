//! What a frame of a book says, as JSON. Pure.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluicebox_contract::Announcement;

use crate::queue::frame;

/// What a frame says. Kept until another one says something else of the same object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<'line> {
    /// What the source watches: the first one.
    Watched(Cow<'line, str>),
    /// An object was announced so, with this mark.
    There(u64, Cow<'line, Announcement>),
    /// The object of this uid was announced to have gone.
    Gone(Arc<str>),
}

impl<'line> Line<'line> {
    pub(super) fn watched(watched: &'line str) -> Self {
        Self::Watched(Cow::Borrowed(watched))
    }

    pub(super) fn there(announcement: &'line Announcement, mark: u64) -> Self {
        Self::There(mark, Cow::Borrowed(announcement))
    }

    pub(super) fn gone(uid: &Arc<str>) -> Self {
        Self::Gone(Arc::clone(uid))
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        // Plain data with texts as keys: this does not fail, and a frame that says nothing is passed over.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = Vec::new();
        frame::put(&mut bytes, NonZeroU32::MIN, &payload);
        bytes
    }
}

/// What a payload says; none where that is not understood.
pub(super) fn read(payload: &[u8]) -> Option<Line<'static>> {
    serde_json::from_slice(payload).ok()
}
