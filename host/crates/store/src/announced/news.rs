//! What is to be written of an object, and where it stands then. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluicebox_contract::Announcement;

use super::NOBODY;
use super::line::Line;

/// Where a frame stands in the file, and its length with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Where it stands what is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) place: Place,
    /// Not everybody is known to have heard of it.
    pub(super) is_told_only: bool,
    /// How it was told after that.
    pub(super) told: Option<Place>,
}

impl Stands {
    pub(super) fn length(&self) -> u64 {
        self.place.length + self.told.map_or(0, |told| told.length)
    }

    /// What of it is not out of date after this.
    pub(super) fn without(&self, news: Option<&News>) -> Option<Self> {
        match news {
            None => Some(*self),
            Some(News::Told(_)) => Some(Self { told: None, ..*self }),
            Some(_) => None,
        }
    }
}

/// What is to be written of one object: frames.
#[derive(Clone, Debug)]
pub(super) enum News {
    Gone(Vec<u8>),
    /// It is so, and was told so after that.
    There {
        frame: Vec<u8>,
        is_told_only: bool,
        told: Vec<u8>,
    },
    /// What is known of it stays, and it was told so after that.
    Told(Vec<u8>),
}

impl News {
    pub(super) fn gone(uid: &Arc<str>) -> Self {
        Self::Gone(Line::gone(uid).frame())
    }

    pub(super) fn there(announcement: &Announcement, mark: u64) -> Self {
        Self::There { frame: Line::there(announcement, mark).frame(), is_told_only: mark == NOBODY, told: Vec::new() }
    }

    /// It stands behind what is known, and in place of what was told before.
    pub(super) fn told(announcement: &Announcement, known: Option<&Stands>, before: Option<&Self>) -> Self {
        let told = Line::there(announcement, NOBODY).frame();
        match before {
            Some(Self::There { frame, is_told_only: false, .. }) => {
                Self::There { frame: frame.clone(), is_told_only: false, told }
            }
            None | Some(Self::Told(_)) if known.is_some_and(|known| !known.is_told_only) => Self::Told(told),
            _ => Self::There { frame: told, is_told_only: true, told: Vec::new() },
        }
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = &u8> {
        let (first, second): (&[u8], &[u8]) = match self {
            Self::Gone(frame) | Self::Told(frame) => (frame, &[]),
            Self::There { frame, told, .. } => (frame, told),
        };
        first.iter().chain(second)
    }

    /// The length of its largest frame, in bytes.
    pub(super) fn largest(&self) -> u64 {
        match self {
            Self::Gone(frame) | Self::Told(frame) => frame.len() as u64,
            Self::There { frame, told, .. } => frame.len().max(told.len()) as u64,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Bytes that are not out of date when this is written of an object that stood so.
    pub(super) fn length_after(&self, known: Option<&Stands>) -> u64 {
        match self {
            Self::Gone(_) => 0,
            Self::There { frame, told, .. } => (frame.len() + told.len()) as u64,
            Self::Told(frame) => known.map_or(0, |known| known.place.length) + frame.len() as u64,
        }
    }
}

/// Notes where these stand that begin here; gives where they end.
pub(super) fn place(news: &BTreeMap<Arc<str>, News>, begin: u64, places: &mut HashMap<Arc<str>, Stands>) -> u64 {
    let mut offset = begin;
    let mut next = |frame: &[u8]| {
        let place = Place { offset, length: frame.len() as u64 };
        offset += place.length;
        place
    };
    for (uid, news) in news {
        match news {
            News::Gone(frame) => {
                next(frame);
                places.remove(uid);
            }
            News::There { frame, is_told_only, told } => {
                let place = next(frame);
                let told = (!told.is_empty()).then(|| next(told));
                places.insert(Arc::clone(uid), Stands { place, is_told_only: *is_told_only, told });
            }
            News::Told(frame) => {
                let told = next(frame);
                if let Some(stands) = places.get_mut(uid) {
                    stands.told = Some(told);
                }
            }
        }
    }
    offset
}
