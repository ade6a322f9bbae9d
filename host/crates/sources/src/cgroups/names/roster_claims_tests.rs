//! Names that are known by containers only, and names that several cgroups claim.

use super::*;

/// Whichever comes first: the cgroup, the pod, or the container in its status.
#[test]
fn a_pod_that_is_named_as_nobody_knows_is_known_by_its_containers() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    let subjects = [bench.pod_comes("odd"), bench.container_comes("odd", "c")];
    bench.read(&subjects);
    bench.hears(&[present("u", "a", &[])]);
    assert_eq!(bench.told(), ["tick 1:"]);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    assert_eq!(bench.told(), ["1=pod n/a", "2=container n/main", "tick 1: 1 2"]);
    // Another container, which the status does not name yet, and a change of the pod.
    let second = bench.container_comes("odd", "d");
    bench.hears(&[present("u", "a", &[("main", "c"), ("second", "d")])]);
    assert_eq!(bench.told(), ["3=container n/second"]);
    bench.hears(&[Heard::Deleted(Arc::new(pod("u", "a", &[("main", "c")])))]);
    for subject in [subjects[1], second, subjects[0]] {
        bench.roster.gone(subject);
    }
    assert_eq!(bench.told(), ["-2", "-3", "-1"]);

    let mut bench = Bench::new(WhenUnknown::Drop);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    bench.pod_comes("odd");
    assert_eq!(bench.told(), [""; 0]);
    bench.container_comes("odd", "c");
    bench.roster.settle().unwrap();
    assert_eq!(bench.told(), ["2=container n/main", "1=pod n/a"]);
    // The API knows better.
    bench.hears(&[present("odd", "b", &[])]);
    assert_eq!(bench.told(), ["-1", "3=pod n/b"]);
}

#[test]
fn a_pod_is_told_of_one_cgroup_only() {
    for (when_unknown, double, back) in
        [(WhenUnknown::Drop, None, "3=pod n/a"), (WhenUnknown::Path, Some("3=cgroup //other/podu"), "4=pod n/a")]
    {
        let mut bench = Bench::new(when_unknown);
        bench.hears(&[present("u", "a", &[("main", "c")])]);
        let (first, container) = (bench.pod_comes("u"), bench.container_comes("u", "c"));
        let place = Place::Pod { key: PodKey::Uid("u".to_owned()), qos: Qos::Burstable };
        let second = bench.comes("/other/podu", Some(place));
        bench.read(&[first, container, second]);
        assert_eq!(bench.told(), ["1=pod n/a", "2=container n/main", "tick 1: 1 2"]);
        assert_eq!((bench.roster.counts(), bench.roster.take_double()), ((2, 1), None), "it may be that the first one ends");
        bench.wait_is_over();
        assert_eq!(bench.told(), Vec::from_iter(double));
        assert_eq!((bench.roster.counts().1, bench.roster.take_double().as_deref()), (1, Some("/other/podu")));
        assert_eq!(bench.roster.take_strangers(), 0);
        bench.hears(&[present("u", "a", &[("main", "c")])]);
        assert_eq!(bench.told(), [""; 0]);
        bench.roster.gone(first);
        bench.roster.settle().unwrap();
        let told = bench.told();
        assert!(told.first().is_some_and(|line| line == "-1") && told.last().is_some_and(|line| line == back), "{told:?}");
        assert_eq!(bench.roster.counts(), (2, 0));
    }
}

#[test]
fn a_container_is_told_of_one_cgroup_only_and_a_second_one_may_go() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    bench.hears(&[present("u", "a", &[("main", "c")])]);
    let (first, second) = (bench.container_comes("u", "c"), bench.container_comes("u", "c"));
    bench.read(&[first, second]);
    bench.roster.gone(second);
    bench.roster.settle().unwrap();
    bench.roster.gone(first);
    assert_eq!(
        (bench.told(), bench.roster.counts()),
        (vec!["1=container n/main".into(), "tick 1: 1".into(), "-1".into()], (0, 0))
    );
}

/// What has come is told of before what has gone.
#[test]
fn a_pod_whose_cgroup_is_made_anew_goes_on() {
    let mut bench = Bench::new(WhenUnknown::Drop);
    bench.hears(&[present("u", "a", &[])]);
    let first = bench.pod_comes("u");
    let again = bench.pod_comes("u");
    bench.roster.gone(first);
    bench.roster.settle().unwrap();
    bench.read(&[again]);
    assert_eq!(bench.told(), ["1=pod n/a", "-1", "2=pod n/a", "tick 1: 2"]);
    // And while nobody knows it.
    let (old, new) = (bench.pod_comes("v"), bench.pod_comes("v"));
    bench.read(&[old]);
    bench.roster.gone(old);
    bench.read(&[again, new]);
    bench.hears(&[present("v", "b", &[])]);
    assert_eq!(bench.told(), ["tick 2:", "tick 3: 2", "3=pod n/b", "4=pod n/b", "tick 2: 3", "tick 3: 4", "-3"]);
    assert_eq!((bench.roster.counts(), bench.roster.take_double()), ((2, 0), None));
}
