//! The subjects of the ends of connections: each is told when it is first at an end, told again when it has changed, and forgotten when it
//! has not been at one for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::{Notice, Subject, SubjectId, SubjectIds};

/// So many at most. An end for which there is no room is nobody's.
const MOST: usize = 20_000;
/// One that is not at an end for so long is forgotten.
const IDLE: Duration = Duration::from_mins(10);

/// What makes an end the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// By its id, without the scheme.
    Container(Arc<str>),
    /// By its uid.
    Pod(Arc<str>),
    /// By its uid.
    Service(Arc<str>),
    /// By its name.
    Node(Arc<str>),
    Outside,
}

#[derive(Debug)]
struct Told {
    subject: Arc<Subject>,
    /// That of the object when it was told.
    version: u64,
    used: Instant,
}

/// What was told.
#[derive(Debug)]
pub(super) struct Subjects {
    ids: Arc<SubjectIds>,
    told: HashMap<Identity, Told>,
    notices: Vec<Notice>,
    out_of_ids: bool,
    no_room: u64,
}

impl Subjects {
    pub(super) fn new(ids: Arc<SubjectIds>) -> Self {
        Self { ids, told: HashMap::new(), notices: Vec::new(), out_of_ids: false, no_room: 0 }
    }

    /// The number of a subject that is at an end now; `make` makes it, given the number, when it is new or has another `version`.
    pub(super) fn tell(
        &mut self,
        identity: &Identity,
        version: u64,
        now: Instant,
        make: impl FnOnce(SubjectId) -> Option<Subject>,
    ) -> Option<SubjectId> {
        if let Some(told) = self.told.get_mut(identity) {
            told.used = now;
            if told.version != version {
                told.version = version;
                let subject = make(told.subject.id)?;
                if subject != *told.subject {
                    told.subject = Arc::new(subject);
                    self.notices.push(Notice::Defined(Arc::clone(&told.subject)));
                }
            }
            return Some(told.subject.id);
        }
        if self.told.len() >= MOST {
            self.no_room += 1;
            return None;
        }
        let Some(id) = self.ids.next() else {
            self.out_of_ids = true;
            return None;
        };
        let subject = Arc::new(make(id)?);
        self.notices.push(Notice::Defined(Arc::clone(&subject)));
        self.told.insert(identity.clone(), Told { subject, version, used: now });
        Some(id)
    }

    /// Forgets what has not been at an end for long.
    pub(super) fn expire(&mut self, now: Instant) {
        let idle: Vec<SubjectId> = self
            .told
            .extract_if(|_, told| now.saturating_duration_since(told.used) > IDLE)
            .map(|(_, told)| told.subject.id)
            .collect();
        self.notices.extend(idle.into_iter().map(Notice::Forgotten));
    }

    /// What lanes are to be told.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// How many are told.
    pub(super) fn count(&self) -> usize {
        self.told.len()
    }

    /// How often there was no room since the last question.
    pub(super) fn take_no_room(&mut self) -> u64 {
        std::mem::take(&mut self.no_room)
    }

    /// Whether no further subject can be numbered.
    pub(super) fn is_out_of_ids(&self) -> bool {
        self.out_of_ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(id: SubjectId, name: &str) -> Subject {
        Subject { name: name.to_owned(), ..super::super::known::outside(id) }
    }

    fn shown(subjects: &mut Subjects) -> Vec<String> {
        let show = |notice| match notice {
            Notice::Defined(subject) => format!("+{} {}", subject.id.0, subject.name),
            Notice::Forgotten(id) => format!("-{}", id.0),
            other => format!("{other:?}"),
        };
        subjects.take_notices().into_iter().map(show).collect()
    }

    #[test]
    fn a_subject_is_told_once_and_again_under_its_number_when_it_has_changed() {
        let mut subjects = Subjects::new(Arc::default());
        let (now, pod) = (Instant::now(), Identity::Pod("u".into()));
        assert_eq!(subjects.tell(&pod, 1, now, |id| Some(subject(id, "a"))), Some(SubjectId(1)));
        assert_eq!(subjects.tell(&pod, 1, now, |_| None), Some(SubjectId(1)));
        assert_eq!(shown(&mut subjects), ["+1 a"]);
        subjects.tell(&pod, 2, now, |id| Some(subject(id, "a")));
        assert_eq!(shown(&mut subjects), Vec::<String>::new());
        subjects.tell(&pod, 3, now, |id| Some(subject(id, "b")));
        assert_eq!(shown(&mut subjects), ["+1 b"]);
    }

    #[test]
    fn one_that_is_not_used_is_forgotten_and_has_another_number_later() {
        let mut subjects = Subjects::new(Arc::default());
        let now = Instant::now();
        subjects.tell(&Identity::Outside, 0, now, |id| Some(subject(id, "a")));
        subjects.expire(now + IDLE);
        subjects.expire(now + IDLE + Duration::from_secs(1));
        assert_eq!(shown(&mut subjects), ["+1 a", "-1"]);
        assert_eq!(subjects.tell(&Identity::Outside, 0, now, |id| Some(subject(id, "a"))), Some(SubjectId(2)));
    }

    #[test]
    fn there_are_no_more_than_may_be() {
        let mut subjects = Subjects::new(Arc::default());
        for number in 0..MOST + 5 {
            subjects.tell(&Identity::Pod(number.to_string().into()), 0, Instant::now(), |id| Some(subject(id, "a")));
        }
        assert_eq!((subjects.count(), subjects.take_no_room(), subjects.take_no_room()), (MOST, 5, 0));
    }
}
