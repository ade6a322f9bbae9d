//! What lanes are told of cgroups, whichever comes first: the cgroup or its name.

use std::fmt::Write as _;

use sluicebox_contract::pod::{Container, ContainerKind, ContainerState, ContainerStatus, Pod};
use sluicebox_contract::{Metric, Reading, Sample, SubjectKind, UnixNanos};

use super::*;
use crate::cgroups::place::{PodKey, Qos};

#[path = "roster_claims_tests.rs"]
mod claims;

const WAIT: Duration = Duration::from_secs(30);

struct Bench {
    roster: Roster,
    ids: Arc<SubjectIds>,
    now: Instant,
    reading: u64,
}

impl Bench {
    fn new(when_unknown: WhenUnknown) -> Self {
        Self::with(Rules { kubernetes: true, when_unknown, wait: WAIT })
    }

    fn with(rules: Rules) -> Self {
        let ids = Arc::new(SubjectIds::default());
        Self { roster: Roster::new(rules, Arc::clone(&ids)), ids, now: Instant::now(), reading: 0 }
    }

    fn pod_comes(&mut self, uid: &str) -> SubjectId {
        self.comes(&format!("/pod{uid}"), Some(Place::Pod { key: PodKey::Uid(uid.to_owned()), qos: Qos::Burstable }))
    }

    fn container_comes(&mut self, uid: &str, id: &str) -> SubjectId {
        let place = Place::Container { key: PodKey::Uid(uid.to_owned()), qos: Qos::Burstable, id: id.to_owned() };
        self.comes(&format!("/pod{uid}/{id}"), Some(place))
    }

    fn comes(&mut self, path: &str, place: Option<Place>) -> SubjectId {
        let id = self.ids.next().unwrap();
        self.roster.come(id, path.to_owned(), place, self.now);
        id
    }

    fn hears(&mut self, heard: &[Heard]) {
        for heard in heard {
            self.roster.heard(heard);
        }
        self.roster.settle().unwrap();
    }

    fn read(&mut self, subjects: &[SubjectId]) {
        self.reading += 1;
        let sample = |subject: &SubjectId| Sample {
            subject: *subject,
            metric: Metric::MemoryUsage,
            reading: Reading::Value(self.reading),
        };
        let samples = subjects.iter().map(sample).collect();
        self.roster.read(Tick { observed_at: UnixNanos(self.reading), online_cpus: 1, samples }, true);
    }

    fn wait_is_over(&mut self) {
        self.now += WAIT;
        self.roster.expire(self.now);
    }

    /// Such as `1=pod n/a`, `tick 1: 1 2`, `-1`.
    fn told(&mut self) -> Vec<String> {
        let line = |notice| match notice {
            Notice::Defined(subject) => {
                format!(
                    "{}={} {}/{}",
                    subject.id.0,
                    format!("{:?}", subject.kind).to_lowercase(),
                    subject.namespace,
                    subject.name
                )
            }
            Notice::Forgotten(id) => format!("-{}", id.0),
            Notice::Event(Event::Tick(tick)) => {
                let mut line = format!("tick {}:", tick.observed_at.0);
                tick.samples.iter().for_each(|sample| write!(line, " {}", sample.subject.0).unwrap());
                line
            }
            other => panic!("{other:?}"),
        };
        self.roster.take_notices().into_iter().map(line).collect()
    }
}

fn pod(uid: &str, name: &str, containers: &[(&str, &str)]) -> Pod {
    let container = |(name, id): &(&str, &str)| Container {
        name: (*name).to_owned(),
        kind: ContainerKind::App,
        image: String::new(),
        ports: vec![],
        requests: vec![],
        limits: vec![],
        status: Some(ContainerStatus {
            image: String::new(),
            image_id: String::new(),
            container_id: Some(format!("containerd://{id}")),
            state: ContainerState::Running(None),
            ready: true,
            restart_count: 0,
        }),
    };
    Pod {
        uid: uid.to_owned(),
        namespace: "n".to_owned(),
        name: name.to_owned(),
        containers: containers.iter().map(container).collect(),
        ..Pod::default()
    }
}

fn present(uid: &str, name: &str, containers: &[(&str, &str)]) -> Heard {
    Heard::Present(Arc::new(pod(uid, name, containers)))
}

#[test]
fn a_cgroup_of_a_known_pod_is_told_at_once() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    let subjects = [bench.pod_comes("u"), bench.container_comes("u", "c")];
    bench.read(&subjects);
    assert_eq!(bench.told(), ["1=pod n/a", "2=container n/main", "tick 1: 1 2"]);
    bench.read(&subjects);
    bench.roster.gone(subjects[1]);
    bench.roster.gone(subjects[0]);
    assert_eq!(bench.told(), ["tick 2: 1 2", "-2", "-1"]);
    assert_eq!(bench.roster.counts(), (0, 0));
}

#[test]
fn subjects_have_all_their_attributes() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    bench.pod_comes("u");
    bench.container_comes("u", "c");
    let subjects: Vec<_> = bench
        .roster
        .take_notices()
        .into_iter()
        .map(|notice| match notice {
            Notice::Defined(subject) => subject,
            other => panic!("{other:?}"),
        })
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!((subjects[0].kind, subjects[0].uid.as_str()), (SubjectKind::Pod, "u"));
    assert_eq!(subjects[0].attributes, [pair("cgroup", "/podu"), pair("qos-class", "Burstable")]);
    assert_eq!((subjects[1].kind, subjects[1].uid.as_str()), (SubjectKind::Container, "c"));
    assert_eq!(
        subjects[1].attributes,
        [
            pair("cgroup", "/podu/c"),
            pair("qos-class", "Burstable"),
            pair("pod-uid", "u"),
            pair("pod-name", "a"),
            pair("container-kind", "app"),
        ]
    );
}

#[test]
fn what_was_read_before_the_name_was_known_goes_out_in_order() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let (pod, container) = (bench.pod_comes("u"), bench.container_comes("u", "c"));
    bench.read(&[pod, container]);
    bench.read(&[pod, container]);
    assert_eq!(bench.told(), ["tick 1:", "tick 2:"]);
    bench.hears(&[present("u", "a", &[])]);
    assert_eq!(bench.told(), ["1=pod n/a", "tick 1: 1", "tick 2: 1"]);
    bench.read(&[pod, container]);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    assert_eq!(bench.told(), ["tick 3: 1", "2=container n/main", "tick 1: 2", "tick 2: 2", "tick 3: 2"]);
}

#[test]
fn a_run_that_ended_before_its_name_was_known_is_told_in_retrospect() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let container = bench.container_comes("u", "c");
    bench.read(&[container]);
    bench.roster.gone(container);
    assert_eq!(bench.told(), ["tick 1:"]);
    bench.hears(&[Heard::Deleted(Arc::new(pod("u", "a", &[("main", "c")])))]);
    assert_eq!(bench.told(), ["1=container n/main", "tick 1: 1", "-1"]);
    assert_eq!(bench.roster.counts(), (0, 0));
}

#[test]
fn what_nobody_knows_is_left_out_after_the_wait_and_taken_up_again_when_it_is_known() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let container = bench.container_comes("u", "sandbox");
    bench.read(&[container]);
    assert_eq!(bench.roster.deadline(), Some(bench.now + WAIT));
    bench.wait_is_over();
    assert_eq!((bench.roster.deadline(), bench.roster.take_orders().rest), (None, vec![container]));
    bench.read(&[container]);
    assert_eq!((bench.told(), bench.roster.counts()), (vec!["tick 1:".to_owned(), "tick 2:".to_owned()], (0, 0)));
    bench.hears(&[present("u", "a", &[("late", "sandbox")])]);
    assert_eq!(bench.told(), ["1=container n/late"]);
    assert_eq!(bench.roster.take_orders().wake, [container]);
}

#[test]
fn what_nobody_knows_is_told_under_its_path_until_it_is_known() {
    let mut bench = Bench::new(WhenUnknown::Path);
    let old = bench.pod_comes("u");
    bench.read(&[old]);
    bench.wait_is_over();
    assert_eq!(bench.told(), ["tick 1:", "1=cgroup //podu", "tick 1: 1"]);
    bench.hears(&[present("u", "a", &[])]);
    assert_eq!(bench.told(), ["-1", "2=pod n/a"]);
    // This was begun before the reader knew of the new id.
    bench.read(&[old]);
    assert_eq!(bench.told(), ["tick 2: 2"]);
    assert_eq!(bench.roster.take_orders().renumber, HashMap::from([(SubjectId(1), SubjectId(2))]));
    bench.read(&[SubjectId(2)]);
    bench.roster.gone(SubjectId(2));
    assert_eq!(bench.told(), ["tick 3: 2", "-2"]);
}

#[test]
fn a_new_id_stands_at_the_end() {
    let mut bench = Bench::new(WhenUnknown::Path);
    let (first, second) = (bench.pod_comes("u1"), bench.pod_comes("u2"));
    bench.wait_is_over();
    bench.hears(&[present("u1", "a", &[])]);
    bench.told();
    bench.read(&[first, second]);
    assert_eq!(bench.told(), ["tick 1: 2 3"]);
}

#[test]
fn a_static_pod_whose_mirror_is_made_anew_is_another_subject() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let mirror = |uid: &str| {
        let annotations = vec![("kubernetes.io/config.mirror".to_owned(), "hash".to_owned())];
        Heard::Present(Arc::new(Pod { annotations, ..pod(uid, "a", &[]) }))
    };
    bench.hears(&[mirror("u1")]);
    bench.comes("/podhash", Some(Place::Pod { key: PodKey::ConfigHash("hash".to_owned()), qos: Qos::Guaranteed }));
    assert_eq!(bench.told(), ["1=pod n/a"]);
    bench.hears(&[mirror("u1")]);
    assert_eq!(bench.told(), [""; 0]);
    bench.hears(&[Heard::Deleted(Arc::new(pod("u1", "a", &[]))), mirror("u2")]);
    assert_eq!(bench.told(), ["-1", "2=pod n/a"]);
}

#[test]
fn without_kubernetes_everything_has_its_path() {
    let mut bench = Bench::with(Rules { kubernetes: false, when_unknown: WhenUnknown::Drop, wait: WAIT });
    bench.comes("/system.slice", None);
    bench.pod_comes("u");
    assert_eq!(bench.told(), ["1=cgroup //system.slice", "2=cgroup //podu"]);
}

#[test]
fn what_has_no_name_has_the_attributes_of_its_path() {
    let mut bench = Bench::with(Rules { kubernetes: false, when_unknown: WhenUnknown::Drop, wait: WAIT });
    let (uid, id) = ("247ca13b-bc17-4709-ab2c-4d98b5ad4fb2", "79fedb3bd23ca77c".repeat(4));
    let pod = format!("/kubepods/besteffort/pod{uid}");
    let static_pod = "/kubepods/pod36b6d6be73b1065af369b3985edafa09";
    let paths =
        [pod.clone(), format!("{pod}/{id}"), format!("{pod}/{id}/inside"), static_pod.to_owned(), "/system.slice".to_owned()];
    for path in &paths {
        bench.comes(path, crate::cgroups::place::place(path));
    }
    let attributes = |notice: &Notice| match notice {
        Notice::Defined(subject) => {
            let pairs = subject.attributes.iter().skip(1).map(|(name, value)| format!("{name}={value}"));
            (subject.attributes[0].1.clone(), pairs.collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?}"),
    };
    let in_pod = format!("qos-class=BestEffort pod-uid={uid}");
    let in_container = format!("{in_pod} container-id={id}");
    let expected = [in_pod.as_str(), &in_container, &in_container, "qos-class=Guaranteed", ""];
    let told: Vec<_> = bench.roster.take_notices().iter().map(attributes).collect();
    assert_eq!(told, paths.iter().cloned().zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn what_waits_is_bounded() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let subjects: Vec<_> = (0..2 * MOST_GONE).map(|number| bench.pod_comes(&number.to_string())).collect();
    for _ in 0..100 {
        bench.read(&subjects);
    }
    let dropped = bench.roster.take_dropped();
    assert!(dropped > 0 && dropped.is_multiple_of(2_000), "whole ticks, the oldest first: {dropped}");
    for subject in &subjects {
        bench.roster.gone(*subject);
    }
    bench.roster.trim();
    assert_eq!((bench.roster.counts(), bench.roster.take_dropped()), ((0, MOST_GONE), 1_000));
    bench.wait_is_over();
    assert_eq!(bench.roster.counts(), (0, 0));
}

#[test]
fn a_pod_that_the_api_does_not_tell_of_is_odd_once_it_has_told_all() {
    for (listed, strangers) in [(false, 0), (true, 1)] {
        let mut bench = Bench::new(WhenUnknown::Drop);
        if listed {
            bench.hears(&[Heard::Listed]);
        }
        bench.pod_comes("u");
        bench.container_comes("u", "c");
        bench.wait_is_over();
        assert_eq!((bench.roster.take_strangers(), bench.roster.counts()), (strangers, (0, 1)));
    }
}
