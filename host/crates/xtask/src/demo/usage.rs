//! What the cgroups of this very machine use, out of the file that the program appends to.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command;

/// How many cgroups are shown.
const SHOWN: usize = 3;
/// The columns of interest: metric, timestamp, value, path and kind.
const COLUMNS: [usize; 5] = [0, 1, 2, 6, 7];

/// What was read of a cgroup at one time; none where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Use {
    /// One core used all the time is 100.
    processor: Option<f64>,
    bytes: Option<f64>,
}

/// Whether this machine has cgroups to be read.
pub(super) fn can_be_read() -> bool {
    fs::read_dir("/sys/fs/cgroup").is_ok_and(|mut entries| entries.next().is_some())
}

/// Shows the busiest cgroups of the last reading.
pub(super) fn show(file: &Path) -> Result<()> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    command::say(format!("busiest in the last reading of this machine, {} lines so far in usage.csv:", text.lines().count()));
    for (path, used) in busiest(&text) {
        let processor = shown(used.processor);
        let memory = shown(used.bytes.map(|bytes| bytes / f64::from(1 << 20)));
        command::say(format!("  processor {processor:>7} %   memory {memory:>8} MiB   {path}"));
    }
    Ok(())
}

fn shown(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}

/// The cgroups that used most when all was read for the last time.
fn busiest(table: &str) -> Vec<(&str, Use)> {
    let rows = || table.lines().skip(1).filter_map(row);
    // What has just come is read alone, a few times. The root is read only when all is.
    let whole = rows().filter(|[_, _, _, path, _]| *path == "/").map(|[_, time, ..]| time).max();
    let last = whole.or_else(|| rows().map(|[_, time, ..]| time).max()).unwrap_or_default();
    let mut groups: BTreeMap<&str, Use> = BTreeMap::new();
    for [metric, _, value, path, kind] in rows().filter(|[_, time, ..]| *time == last) {
        let used = groups.entry(path).or_default();
        match (metric, kind, value.parse::<f64>()) {
            ("cpu_percent_%", "total", Ok(value)) => used.processor = Some(value),
            ("memory_usage_B", _, Ok(value)) => used.bytes = Some(value),
            _ => {}
        }
    }
    let mut groups: Vec<(&str, Use)> = groups.into_iter().collect();
    let rank = |used: &Use| [used.processor, used.bytes].map(Option::unwrap_or_default);
    groups.sort_by(|(_, one), (_, other)| {
        let ([processor, bytes], [others, others_bytes]) = (rank(one), rank(other));
        others.total_cmp(&processor).then(others_bytes.total_cmp(&bytes))
    });
    groups.truncate(SHOWN);
    groups
}

/// The fields of interest; none of a line that is just being written.
fn row(line: &str) -> Option<[&str; 5]> {
    let fields: Vec<&str> = line.split(';').collect();
    let mut found = [""; 5];
    for (place, column) in found.iter_mut().zip(COLUMNS) {
        *place = fields.get(column)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "memory_usage_B;2026-01-01T12:00:01Z;1;local_machine;;cgroup;/;;n;\n";

    #[test]
    fn the_busiest_of_the_last_reading_come_first() {
        let table = format!(
            "metric;timestamp;value;resource_kind;resource_id;consumer_kind;consumer_id;kind;node;__late_attributes\n\
                     cpu_percent_%;2026-01-01T12:00:00Z;90.0;local_machine;;cgroup;/a;total;n;\n\
                     cpu_percent_%;2026-01-01T12:00:01Z;1.5;local_machine;;cgroup;/a;total;n;\n\
                     cpu_percent_%;2026-01-01T12:00:01Z;1.0;local_machine;;cgroup;/a;user;n;\n\
                     memory_usage_B;2026-01-01T12:00:01Z;4096;local_machine;;cgroup;/a;;n;\n\
                     cpu_percent_%;2026-01-01T12:00:01Z;2.5;local_machine;;cgroup;/b;total;n;\n\
                     memory_usage_B;2026-01-01T12:00:01Z;1024;local_machine;;cgroup;/c;;n;\n\
                     memory_usage_B;2026-01-01T12:00:01Z;2048;local_machine;;cgroup;/d;;n;\n\
                     {ROOT}\
                     cpu_percent_%;2026-01-01T12:00:02Z;9.5;local_machine;;cgroup;/young;total;n;\n\
                     memory_usage_B;2026-01-01T12"
        );
        let shown: Vec<(&str, Option<f64>, Option<f64>)> =
            busiest(&table).into_iter().map(|(path, used)| (path, used.processor, used.bytes)).collect();
        assert_eq!(shown, [("/b", Some(2.5), None), ("/a", Some(1.5), Some(4096.0)), ("/d", None, Some(2048.0))]);
        assert_eq!(busiest(""), []);
    }
}
