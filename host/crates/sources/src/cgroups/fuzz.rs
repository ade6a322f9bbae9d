//! Whatever stands in the files of cgroups, in the table of mounts and beside them.

use std::path::PathBuf;

use sluicebox_contract::{Metric, Reading};
use sluicebox_testkit::fuzz::Fuzz;

use super::cgroup::Groups;
use super::files::values::Values;
use super::files::{Whose, net_dev, parse, rows};
use super::hierarchy::{Controller, Hierarchies};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// Every table that there is.
fn tables() -> [Hierarchies; 2] {
    let unified = Hierarchies { unified: Some("/sys/fs/cgroup".into()), ..Hierarchies::default() };
    let v1 = [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Blkio, Controller::Pids]
        .map(|controller| (controller, PathBuf::from("/sys/fs/cgroup/any")))
        .into();
    [unified, Hierarchies { unified: None, v1 }]
}

/// A file is read by the table that is meant for it and by every other one: nobody knows what a kernel to come writes where.
#[test]
fn files_of_cgroups_tell_what_their_tables_ask_for_and_nothing_else() {
    let groups = Groups { cpu: true, memory: true, pids: true, io: true, pressure: true, network: true };
    let tables = tables();
    let all: Vec<_> = tables
        .iter()
        .flat_map(|table| [Whose::Pods, Whose::Others].into_iter().flat_map(move |whose| rows(table, groups, whose)))
        .flat_map(|row| std::iter::successors(Some(row), |row| row.otherwise))
        .collect();
    assert!(all.len() > 30, "{}", all.len());
    Fuzz::of_files(format!("{FIXTURES}/cgroup-files"), "")
        .words(["max", "total=", "rbytes=", "Read", "Write", "Total", "some", "full"])
        .run(|input, _| {
            for row in &all {
                let mut values = Values::new();
                row.read(input, &mut values);
                let asked: Vec<Metric> = row.metrics().collect();
                let slots = row.slots().count();
                let told =
                    |values: &Values| -> Vec<(Metric, Reading)> { values.readings(|_, total| Reading::Value(total)).collect() };
                assert!(told(&values).iter().all(|(metric, _)| asked.contains(metric)), "{}: {:?}", row.file, told(&values));
                assert!(told(&values).len() + values.take_bad() as usize <= slots, "{}", row.file);
                values.derive();
                let again = told(&values);
                values.derive();
                assert_eq!(told(&values), again, "{}", row.file);
            }
        });
}

#[test]
fn numbers_are_those_that_the_kernel_can_write() {
    Fuzz::of(["0\n", "18446744073709551615\n", "max\n", "9223372036854771712"]).longest(64).run(|input, _| {
        let expected = std::str::from_utf8(input.trim_ascii()).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let expected = expected.and_then(|text| text.parse::<u64>().ok());
        assert_eq!(parse::single(input).ok(), expected);
        let limit = parse::limit(input);
        assert_eq!(limit.is_ok(), expected.is_some() || input.trim_ascii() == b"max");
        assert_eq!(parse::limit_of_version_1(input).is_ok(), expected.is_some());
    });
}

#[test]
fn interfaces_are_added_up_or_are_bad() {
    Fuzz::of_files(format!("{FIXTURES}/cgroup-files"), "net_dev").words(["Inter-|", "lo:", "eth0:"]).run(|input, _| {
        let mut values = Values::new();
        net_dev::read(input, &mut values);
        let told = values.readings(|_, total| Reading::Value(total)).count();
        assert_eq!(told + values.take_bad() as usize, net_dev::metrics().count());
    });
}
