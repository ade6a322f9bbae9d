//! What two parts of a configuration cannot both have: an address to listen on, a directory to write to, times that do not fit.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sluicebox_contract::TimeSpan;

use super::Check;
use crate::config::yaml::step;
use crate::config::{Config, Sink};

/// Names the later of two that are in each other's way.
pub(super) fn find(check: &mut Check<'_>, config: &Config) {
    listeners(check, config);
    directories(check, &config.sinks);
    config_maps(check, &config.sinks);
    expiry(check, config);
    patience(check, &config.sinks);
}

fn listeners(check: &mut Check<'_>, config: &Config) {
    let mut taken: Vec<(String, SocketAddr)> =
        config.admin.listen.into_iter().map(|address| ("admin".to_owned(), address)).collect();
    for (name, sink) in &config.sinks {
        let Some(address) = sink.prometheus.as_ref().map(|prometheus| prometheus.listen) else { continue };
        if let Some((other, theirs)) = taken.iter().find(|(_, theirs)| are_one(address, *theirs)) {
            let path = format!("{}/prometheus/listen", step("/sinks", name));
            let text = format!("`{address}` is taken: `{other}` listens on `{theirs}`");
            check.problem(&path, text, "name another port, such as `0.0.0.0:9091`");
        }
        taken.push((format!("sinks.{name}"), address));
    }
}

/// Whether only one can listen. An address that stands for all of the machine's is in the way of each.
fn are_one(one: SocketAddr, other: SocketAddr) -> bool {
    let (all, others_all) = (one.ip().is_unspecified(), other.ip().is_unspecified());
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || all || others_all)
}

fn directories(check: &mut Check<'_>, sinks: &BTreeMap<String, Sink>) {
    let mut taken = BTreeMap::new();
    for (name, sink) in sinks {
        let Some(files) = &sink.files else { continue };
        // Two texts of one path, such as with a slash at the end, are equal.
        if let Some(other) = taken.insert(files.directory.as_path(), name) {
            let path = format!("{}/files/directory", step("/sinks", name));
            let text = format!("`sinks.{other}` writes to this directory, and only one sink can");
            check.problem(&path, text, "give each a directory of its own, or have the modules name the same sink");
        }
    }
}

/// Two sinks of one owner do not harm each other's keys, but each write of one has the other look again.
fn config_maps(check: &mut Check<'_>, sinks: &BTreeMap<String, Sink>) {
    let mut taken = BTreeMap::new();
    for (name, sink) in sinks {
        let Some(config) = &sink.config_maps else { continue };
        for map in config.names() {
            if let Some(other) = taken.insert((&config.owner, &config.namespace, map.clone()), name) {
                let path = format!("{}/config-maps/name", step("/sinks", name));
                let text = format!("`sinks.{other}` writes to the ConfigMap `{}/{map}`, too", config.namespace);
                check.problem(&path, text, "give each a ConfigMap of its own, or have the modules name the same sink");
                break;
            }
        }
    }
}

/// Series that expire before they are measured again come and go.
fn expiry(check: &mut Check<'_>, config: &Config) {
    let Some(period) = config.sources.cgroups.as_ref().map(|cgroups| cgroups.period) else { return };
    for (name, sink) in &config.sinks {
        let Some(expiry) = sink.prometheus.as_ref().and_then(|prometheus| prometheus.expire_after) else { continue };
        if expiry.0 < 2 * period.0 {
            let path = format!("{}/prometheus/expire-after", step("/sinks", name));
            let text = format!("after {expiry} series expire that `sources.cgroups` measures every {period}");
            check.problem(&path, text, format!("give at least {}, or `null` for never", TimeSpan(2 * period.0)));
        }
    }
}

/// A sink that is cut short says nothing of what it waits for.
fn patience(check: &mut Check<'_>, sinks: &BTreeMap<String, Sink>) {
    for (name, sink) in sinks {
        if let Some(period) = sink.config_maps.as_ref().map(|config| config.period)
            && period.0 >= sink.write_deadline.0
        {
            let path = format!("{}/config-maps/period", step("/sinks", name));
            let text = format!("{period} is not shorter than the sink's `write-deadline` of {}", sink.write_deadline);
            check.problem(&path, text, "give a shorter period, or the sink a longer `write-deadline`");
        }
        let Some(kafka) = &sink.kafka else { continue };
        if kafka.message_timeout.0 >= sink.write_deadline.0 {
            let path = format!("{}/kafka/message-timeout", step("/sinks", name));
            let text =
                format!("{} is not shorter than the sink's `write-deadline` of {}", kafka.message_timeout, sink.write_deadline);
            check.problem(&path, text, "give the sink a longer `write-deadline`, or leave both out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_on_its_address_and_on_all_of_them() {
        let are = |one: &str, other: &str| are_one(one.parse().expect("an address"), other.parse().expect("an address"));
        for (one, other, expected) in [
            ("127.0.0.1:9091", "127.0.0.1:9091", true),
            ("127.0.0.1:9091", "0.0.0.0:9091", true),
            ("[::]:9091", "10.0.0.1:9091", true),
            ("127.0.0.1:9091", "127.0.0.2:9091", false),
            ("127.0.0.1:9091", "127.0.0.1:9092", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!((are(one, other), are(other, one)), (expected, expected), "{one} and {other}");
        }
    }
}
