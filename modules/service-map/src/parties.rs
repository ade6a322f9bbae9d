//! Who talks: workloads, services, nodes, and what lies outside. Subjects that share a workload are one party, which is found when a
//! subject is defined and not with every connection.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{FastMap, Subject, SubjectId, SubjectKind, json};

/// Names a party while it is kept.
pub(crate) type PartyId = u32;

/// Nobody knows who it is.
pub(crate) const UNKNOWN: PartyId = 0;

/// Those for whom there was no room.
pub(crate) const OTHER: PartyId = 1;

/// Who has become whom.
pub(crate) type Became = FastMap<PartyId, PartyId>;

/// A party, by what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Party {
    kind: String,
    namespace: String,
    name: String,
}

/// All parties that are kept.
pub(crate) struct Parties {
    list: Vec<Known>,
    by_party: HashMap<Party, PartyId>,
    of: FastMap<SubjectId, PartyId>,
}

struct Known {
    party: Party,
    json: String,
    key: String,
}

impl Parties {
    pub(crate) fn new() -> Self {
        let mut parties = Self { list: Vec::new(), by_party: HashMap::new(), of: FastMap::default() };
        // In the order of their ids.
        parties.intern(Party::of("unknown", "", ""));
        parties.intern(Party::of("other", "", ""));
        parties
    }

    /// Subjects exist from now on, or are somebody else now; tells who has become whom.
    pub(crate) fn define(&mut self, subjects: &[Subject]) -> Became {
        let mut before: FastMap<SubjectId, PartyId> = FastMap::default();
        for subject in subjects {
            let party = self.intern(Party::behind(subject));
            if let Some(other) = self.of.insert(subject.id, party).filter(|other| *other != party) {
                before.entry(subject.id).or_insert(other);
            }
        }
        let mut became: Became = before.iter().map(|(subject, old)| (*old, self.of(*subject))).collect();
        became.retain(|old, new| old != new && *old != UNKNOWN && *old != OTHER);
        // A workload stays who it is as long as any subject is of it; a pod is one, whatever its containers are told to be.
        if became.keys().any(|party| !self.is_pod(*party)) {
            let others: HashSet<PartyId> = self.of.values().copied().filter(|party| !self.is_pod(*party)).collect();
            became.retain(|old, _| !others.contains(old));
        }
        became
    }

    fn is_pod(&self, id: PartyId) -> bool {
        self.party(id).is_some_and(|party| party.kind == "Pod")
    }

    pub(crate) fn forget(&mut self, subject: SubjectId) {
        self.of.remove(&subject);
    }

    /// Whose a subject is; nobody's where it is not known.
    pub(crate) fn of(&self, subject: SubjectId) -> PartyId {
        self.of.get(&subject).copied().unwrap_or(UNKNOWN)
    }

    pub(crate) fn intern(&mut self, party: Party) -> PartyId {
        if let Some(id) = self.by_party.get(&party) {
            return *id;
        }
        let id = PartyId::try_from(self.list.len()).unwrap_or(UNKNOWN);
        self.list.push(Known { json: party.json(), key: party.key(), party: party.clone() });
        self.by_party.insert(party, id);
        id
    }

    pub(crate) fn party(&self, id: PartyId) -> Option<&Party> {
        self.list.get(id as usize).map(|known| &known.party)
    }

    pub(crate) fn json(&self, id: PartyId) -> &str {
        self.list.get(id as usize).map_or("null", |known| &known.json)
    }

    pub(crate) fn key(&self, id: PartyId) -> &str {
        self.list.get(id as usize).map_or("", |known| &known.key)
    }

    /// Whether many are kept that no subject has any more, where so many more may be needed.
    pub(crate) fn are_stale(&self, needed: usize) -> bool {
        self.list.len() > self.of.len() + needed + 64
    }

    /// Keeps those that subjects have and those that `used` names, and tells the new id of each.
    pub(crate) fn tidy(&mut self, used: impl Iterator<Item = PartyId>) -> HashMap<PartyId, PartyId> {
        let mut fresh = Self::new();
        let mut moved = HashMap::new();
        let mut move_to = |id: PartyId, fresh: &mut Self| {
            let party = self.list.get(id as usize).map(|known| known.party.clone());
            let new = party.map_or(UNKNOWN, |party| fresh.intern(party));
            moved.insert(id, new);
            new
        };
        for (subject, id) in &self.of {
            let id = move_to(*id, &mut fresh);
            fresh.of.insert(*subject, id);
        }
        for id in used {
            move_to(id, &mut fresh);
        }
        *self = fresh;
        moved
    }
}

impl Party {
    fn of(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn behind(subject: &Subject) -> Self {
        let (namespace, name) = (subject.namespace.as_str(), subject.name.as_str());
        let pod = match subject.kind {
            SubjectKind::Pod => name,
            SubjectKind::Container => subject.attribute("pod-name").unwrap_or_default(),
            SubjectKind::Service => return Self::of("Service", namespace, name),
            SubjectKind::Node => return Self::of("Node", "", name),
            SubjectKind::Cgroup => return Self::of("cgroup", "", name),
            SubjectKind::Outside => return Self::of("outside", "", ""),
            SubjectKind::Namespace | SubjectKind::Series => "",
        };
        match (subject.attribute("workload-kind"), subject.attribute("workload-name")) {
            (Some(kind), Some(name)) => Self::of(kind, namespace, name),
            _ if pod.is_empty() => Self::of("unknown", "", ""),
            _ => Self::of("Pod", namespace, pod),
        }
    }

    fn json(&self) -> String {
        let mut out = String::new();
        json::strings(&mut out, [("kind", self.kind.as_str()), ("namespace", &self.namespace), ("name", &self.name)]);
        out
    }

    /// The parts that there are, with `/` between them.
    fn key(&self) -> String {
        let parts = [self.kind.as_str(), &self.namespace, &self.name];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(id: SubjectId) -> Subject {
        let (uid, name) = (format!("u{id}"), format!("p{id}"));
        Subject { id, kind: SubjectKind::Pod, uid, namespace: "a".to_owned(), name, attributes: Vec::new() }
    }

    fn of_workload(id: SubjectId, kind: &str) -> Subject {
        let attributes = [("workload-kind", kind), ("workload-name", "web")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Subject { attributes, ..subject(id) }
    }

    #[track_caller]
    fn check(parties: &mut Parties, subjects: &[Subject], expected: &[(&str, &str)]) {
        let became = parties.define(subjects);
        let mut told: Vec<_> = became.iter().map(|(old, new)| (parties.key(*old), parties.key(*new))).collect();
        told.sort_unstable();
        assert_eq!(told, expected);
    }

    #[test]
    fn who_is_defined_again_becomes_somebody_else() {
        let mut parties = Parties::new();
        check(&mut parties, &[subject(1), subject(2), subject(3)], &[]);
        check(&mut parties, &[subject(1)], &[]);
        check(&mut parties, &[of_workload(1, "Job"), subject(1)], &[]);
        let replica_set = [of_workload(1, "Job"), of_workload(1, "ReplicaSet"), of_workload(2, "ReplicaSet")];
        check(&mut parties, &replica_set, &[("Pod/a/p1", "ReplicaSet/a/web"), ("Pod/a/p2", "ReplicaSet/a/web")]);
        // Another one is of it yet.
        check(&mut parties, &[of_workload(1, "Deployment")], &[]);
        check(&mut parties, &[of_workload(2, "Deployment")], &[("ReplicaSet/a/web", "Deployment/a/web")]);
    }

    #[test]
    fn nobody_becomes_somebody() {
        let mut parties = Parties::new();
        let nobody = Subject { kind: SubjectKind::Namespace, ..subject(1) };
        check(&mut parties, &[nobody], &[]);
        check(&mut parties, &[subject(1)], &[]);
    }

    #[test]
    fn parties_of_pods_that_have_gone_are_not_kept_for_ever() {
        let mut parties = Parties::new();
        parties.define(&[subject(1)]);
        let mut last = UNKNOWN;
        for id in 2..1000 {
            parties.define(&[subject(id)]);
            last = parties.of(id);
            parties.forget(id);
            if parties.are_stale(1) {
                let moved = parties.tidy([last, OTHER].into_iter());
                last = moved[&last];
                assert_eq!(moved[&OTHER], OTHER);
            }
        }
        assert!(parties.list.len() < 80, "{} parties", parties.list.len());
        assert_eq!(
            (parties.key(parties.of(1)), parties.key(last), parties.key(parties.of(7))),
            ("Pod/a/p1", "Pod/a/p999", "unknown")
        );
    }
}
