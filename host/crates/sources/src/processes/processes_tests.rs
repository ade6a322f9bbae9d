//! What is found of processes that were read before.

use super::*;
use crate::cgroups::place::{PodKey, Qos};

fn pod(uid: &str) -> Place {
    Place::Pod { key: PodKey::Uid(uid.to_owned()), qos: Qos::Burstable }
}

fn container(uid: &str, id: &str) -> Place {
    Place::Container { key: PodKey::Uid(uid.to_owned()), qos: Qos::Burstable, id: id.to_owned() }
}

fn processes(found: &[(u32, Option<Place>, Option<u32>)], host: Option<u32>) -> Processes {
    let process = |(pid, place, network_namespace): &(u32, Option<Place>, Option<u32>)| {
        (*pid, Process { place: place.clone(), network_namespace: *network_namespace, started: 7 })
    };
    Processes::new(found.iter().map(process).collect(), host, 0)
}

#[test]
fn a_container_has_its_processes_in_ascending_order() {
    let web = Some(container("a", "web"));
    let processes = processes(&[(30, web.clone(), None), (4, web.clone(), None), (5, None, None), (17, web, None)], None);
    assert_eq!(processes.container_pids("web"), [4, 17, 30]);
    assert_eq!(processes.container_pids("other"), [0_u32; 0]);
    assert_eq!((processes.count(), processes.know_pods()), (4, true));
}

#[test]
fn a_namespace_has_each_of_its_pods_and_containers_once() {
    let (web, agent) = (container("a", "web"), container("a", "agent"));
    let found =
        [(2, Some(web.clone()), Some(9)), (3, Some(web.clone()), Some(9)), (4, Some(agent.clone()), Some(9)), (5, None, Some(9))];
    let processes = processes(&found, Some(1));
    assert_eq!(processes.in_namespace(9), [agent, web]);
    assert_eq!(processes.in_namespace(1), []);
}

#[test]
fn the_namespace_of_the_host_is_nobodys() {
    let found = [(1, None, Some(1)), (2, Some(pod("a")), Some(1))];
    let known = processes(&found, Some(1));
    assert_eq!((known.in_namespace(1), known.host_namespace()), (&[][..], Some(1)));
    // Where it is not known, it cannot be told from that of a pod.
    assert_eq!(processes(&found, None).in_namespace(1), [pod("a")]);
}
