//! What stands in the files of a process. Pure.

use crate::cgroups::place::{Place, innermost};

/// Whose cgroup it is, out of `/proc/<pid>/cgroup`: a line for each hierarchy of version 1, such as `4:memory:/kubepods/…`, and one for
/// version 2, such as `0::/kubepods.slice/…`. Where both are mounted, the runtime may have put the process into either.
pub(super) fn whose(cgroups: &[u8]) -> Option<Place> {
    let places = || cgroups.split(|byte| *byte == b'\n').filter_map(path).filter_map(within);
    places().find(|place| matches!(place, Place::Container { .. })).or_else(|| places().next())
}

/// The path in a line. A path that is not text names no pod.
fn path(line: &[u8]) -> Option<&str> {
    let mut parts = line.splitn(3, |byte| *byte == b':');
    let (_number, _controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    std::str::from_utf8(path).ok()
}

/// The pod or container that the path is, or else the innermost that it lies in: a container may have cgroups of its own.
fn within(path: &str) -> Option<Place> {
    // Seen from a cgroup namespace, what lies beside or above it begins so.
    innermost(path.trim_start_matches("/.."))
}

/// When it was started, out of `/proc/<pid>/stat`: the 22nd field. The second one is a name in parentheses, which may hold anything.
pub(super) fn started(stat: &[u8]) -> Option<u64> {
    let after_name = stat.rsplit(|byte| *byte == b')').next().filter(|rest| rest.len() < stat.len())?;
    std::str::from_utf8(after_name).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The inode in what a link such as `ns/net` leads to: `net:[4026532528]`.
pub(super) fn inode(link: &[u8]) -> Option<u32> {
    let number = link.strip_prefix(b"net:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::place::{PodKey, Qos};

    const UID: &str = "12b379f7-ef99-46e5-8125-0129a27bd799";
    const ID: &str = "11e9220bd2b450ed40132bcd5cdc3c115b93c69d02c37d844fec7574026edff3";

    fn container(qos: Qos) -> Place {
        Place::Container { key: PodKey::Uid(UID.to_owned()), qos, id: ID.to_owned() }
    }

    fn slice() -> String {
        format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"))
    }

    #[test]
    fn version_2_has_one_line() {
        let line = format!("0::/kubepods.slice/kubepods-burstable.slice/{}/cri-containerd-{ID}.scope\n", slice());
        assert_eq!(whose(line.as_bytes()), Some(container(Qos::Burstable)));
    }

    #[test]
    fn version_1_has_a_line_for_each_hierarchy() {
        let lines =
            format!("12:cpuset:/\n11:net_cls,net_prio:/\n4:memory:/kubepods/besteffort/pod{UID}/{ID}\n1:name=systemd:/\n");
        assert_eq!(whose(lines.as_bytes()), Some(container(Qos::BestEffort)));
    }

    #[test]
    fn with_both_it_stands_in_either() {
        let path = format!("/kubepods/besteffort/pod{UID}/{ID}");
        for lines in [format!("4:memory:{path}\n0::/\n"), format!("4:memory:/\n0::{path}\n")] {
            assert_eq!(whose(lines.as_bytes()), Some(container(Qos::BestEffort)), "{lines}");
        }
    }

    #[test]
    fn a_container_says_more_than_its_pod() {
        let lines = format!("4:memory:/kubepods/besteffort/pod{UID}\n0::/kubepods/besteffort/pod{UID}/{ID}\n");
        assert_eq!(whose(lines.as_bytes()), Some(container(Qos::BestEffort)));
        let pod = format!("4:memory:/kubepods/besteffort/pod{UID}\n");
        assert_eq!(whose(pod.as_bytes()), Some(Place::Pod { key: PodKey::Uid(UID.to_owned()), qos: Qos::BestEffort }));
    }

    #[test]
    fn what_a_container_has_below_it_is_its_own() {
        let line = format!("0::/kubepods/besteffort/pod{UID}/{ID}/init.scope/deeper\n");
        assert_eq!(whose(line.as_bytes()), Some(container(Qos::BestEffort)));
    }

    #[test]
    fn from_a_cgroup_namespace_paths_begin_beside_it() {
        let line = format!("0::/../../../kubepods-burstable.slice/{}/cri-containerd-{ID}.scope\n", slice());
        assert_eq!(whose(line.as_bytes()), Some(container(Qos::Burstable)));
        let beside = format!("0::/../../{}/cri-containerd-{ID}.scope\n", slice());
        assert_eq!(whose(beside.as_bytes()), Some(container(Qos::Burstable)));
    }

    /// Whoever may make cgroups in his container may make them as deep as a path can be, and put thousands of processes there.
    #[test]
    fn a_path_is_looked_at_once_however_deep_it_is() {
        let path = format!("/kubepods/besteffort/pod{UID}/{ID}");
        let deep = "/a".repeat((4096 - path.len()) / 2);
        let lines = format!("4:memory:{path}{deep}\n").repeat(16);
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            assert_eq!(whose(lines.as_bytes()), Some(container(Qos::BestEffort)));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_belongs_to_no_pod_is_nobodys() {
        for lines in ["", "\n", "0::/\n", "0::/system.slice/ssh.service\n", "no line", "0::/../../..\n", "a:b"] {
            assert_eq!(whose(lines.as_bytes()), None, "{lines}");
        }
        assert_eq!(whose(b"0::/kubepods/\xff\n"), None);
    }

    #[test]
    fn the_start_follows_a_name_that_holds_anything() {
        let rest = "S 1 42 42 0 -1 4194560 2085 18 0 0 1 2 3 4 20 0 1 0 123456 2703360 200";
        for name in ["sh", "a b", ") S 1 2 (", "é\n"] {
            assert_eq!(started(format!("42 ({name}) {rest}").as_bytes()), Some(123_456), "{name}");
        }
        for stat in ["", "42 (sh) S 1", "42 sh S 1 42 42 0 -1 4194560 2085 18 0 0 1 2 3 4 20 0 1 0 123456"] {
            assert_eq!(started(stat.as_bytes()), None, "{stat}");
        }
    }

    #[test]
    fn a_namespace_is_a_number_in_brackets() {
        assert_eq!(inode(b"net:[4026532528]"), Some(4_026_532_528));
        for link in ["", "net:[]", "net:[4294967296]", "pid:[4026531836]", "net:[1"] {
            assert_eq!(inode(link.as_bytes()), None, "{link}");
        }
    }
}
