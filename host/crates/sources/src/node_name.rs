//! The name of the node that the process runs on.

use sluicebox_contract::Fault;

use crate::kubernetes::is_object_name;

/// The node's name: from the command line, else the configuration, else the environment variable `NODE_NAME`, else the host name (in
/// lower case, as the kubelet does it). Empty texts count as absent.
pub fn resolve_node(
    flag: Option<&str>,
    config: Option<&str>,
    environment: Option<&str>,
    hostname: Option<&str>,
) -> Result<String, Fault> {
    let lower = hostname.map(str::to_lowercase);
    let candidates = [
        ("--node-name", flag),
        ("the configuration's `node-name`", config),
        ("the environment variable NODE_NAME", environment),
        ("the host name", lower.as_deref()),
    ];
    let tried = "cannot tell which node this is";
    let hint = "set NODE_NAME from `spec.nodeName` in the pod's manifest, or give `--node-name`";
    for (origin, candidate) in candidates {
        match candidate.map(str::trim) {
            None | Some("") => {}
            Some(name) if is_object_name(name) => return Ok(name.to_owned()),
            Some(name) => {
                return Err(Fault::fatal(tried, format!("{origin} is `{name}`, which is no name of a node")).hint(hint));
            }
        }
    }
    Err(Fault::fatal(tried, "neither --node-name nor the configuration nor NODE_NAME nor a host name says it").hint(hint))
}

/// The host name as the kernel has it.
pub fn hostname() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_wins() {
        for (given, expected) in [
            ((Some("flag"), Some("config"), Some("environment"), Some("host")), "flag"),
            ((None, Some("config"), Some("environment"), Some("host")), "config"),
            ((None, None, Some("environment"), Some("host")), "environment"),
            ((Some(""), None, Some(" "), Some("Host.Local\n")), "host.local"),
        ] {
            assert_eq!(resolve_node(given.0, given.1, given.2, given.3).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_name_that_cannot_be_one_names_its_origin() {
        let fault = resolve_node(None, None, Some("a,b=c"), Some("host")).expect_err("not a name").to_string();
        assert!(fault.contains("the environment variable NODE_NAME is `a,b=c`"), "{fault}");
        assert!(resolve_node(None, None, None, None).is_err());
    }
}
