//! Which rows are read of which hierarchies, and what each finds.

use std::collections::BTreeSet;

use sluicebox_contract::Reading;

use super::*;

const V1: [Controller; 5] = [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Blkio, Controller::Pids];

fn hierarchies(unified: bool, v1: &[Controller]) -> Hierarchies {
    Hierarchies {
        unified: unified.then(|| "/unified".into()),
        v1: v1.iter().map(|controller| (*controller, "/v1".into())).collect(),
    }
}

fn files(unified: bool, v1: &[Controller]) -> Vec<&'static str> {
    rows(&hierarchies(unified, v1), Groups::default(), Whose::Others).map(|row| row.file).collect()
}

/// What the file says, with `name=value` for each metric and the number of values that were none.
fn check(unified: bool, file: &str, text: &str, expected: &str) {
    let hierarchies = hierarchies(unified, if unified { &[] } else { &V1 });
    let row = rows(&hierarchies, Groups::default(), Whose::Others).find(|row| row.file == file).unwrap();
    let mut values = Values::new();
    row.read(text.as_bytes(), &mut values);
    let show = |(metric, reading): (Metric, Reading)| match reading {
        Reading::Value(value) => format!("{}={value}", metric.name()),
        Reading::Unlimited => format!("{}=unlimited", metric.name()),
        reading @ Reading::Counter { .. } => panic!("{reading:?}"),
    };
    let mut found: Vec<_> = values.readings(|_, total| Reading::Value(total)).map(show).collect();
    found.extend(Some(values.take_bad()).filter(|bad| *bad > 0).map(|bad| format!("bad={bad}")));
    assert_eq!(found.join(" "), expected, "{file}: {text:?}");
}

#[test]
fn a_controller_of_version_1_is_not_looked_for_in_the_unified_hierarchy() {
    let pressure = ["cpu.pressure", "memory.pressure", "io.pressure"];
    let hybrid = files(true, &V1);
    assert!(
        hybrid.starts_with(&pressure) && hybrid.contains(&"cpuacct.usage") && !hybrid.contains(&"memory.current"),
        "{hybrid:?}"
    );
    assert!(!files(false, &V1).contains(&"cpu.pressure"));
    let unified = files(true, &[]);
    assert_eq!(unified.len(), 13);
    let moved: BTreeSet<_> = files(true, &[Controller::Memory]).into_iter().collect();
    assert!(
        moved.contains("memory.usage_in_bytes") && moved.contains("io.stat") && !moved.contains("memory.current"),
        "{moved:?}"
    );
    assert_eq!(files(false, &[]), [""; 0]);
}

#[test]
fn only_the_groups_that_are_wanted_are_read() {
    let none = Groups { cpu: false, memory: false, pids: false, io: false, pressure: false, network: true };
    assert_eq!(rows(&hierarchies(true, &V1), none, Whose::Others).count(), 0);
    let pids = Groups { pids: true, ..none };
    assert_eq!(
        rows(&hierarchies(true, &V1), pids, Whose::Others).map(|row| row.file).collect::<Vec<_>>(),
        ["pids.current", "pids.max"]
    );
}

/// The cgroups below a pod's have the processes; what is counted without them would be zero.
#[test]
fn of_a_pod_nothing_is_read_that_is_without_the_cgroups_below() {
    let metrics =
        |whose| -> BTreeSet<Metric> { rows(&hierarchies(false, &V1), Groups::default(), whose).flat_map(Row::metrics).collect() };
    let (pods, others) = (metrics(Whose::Pods), metrics(Whose::Others));
    let left_out: Vec<&str> = others.difference(&pods).map(|metric| metric.name()).collect();
    assert_eq!(left_out, ["memory-kernel-stack", "memory-page-tables", "memory-slab-reclaimable", "memory-oom-kills"]);
    assert!(pods.is_subset(&others) && pods.contains(&Metric::IoReads));
    for row in rows(&hierarchies(false, &V1), Groups::default(), Whose::Pods).filter_map(|row| row.otherwise) {
        assert_eq!(row.is_of(Whose::Pods), row.file.starts_with("cpuacct."), "{}", row.file);
    }
    assert_eq!(metrics_of_version_2(Whose::Pods), metrics_of_version_2(Whose::Others));
}

fn metrics_of_version_2(whose: Whose) -> Vec<Metric> {
    rows(&hierarchies(true, &[]), Groups::default(), whose).flat_map(Row::metrics).collect()
}

#[test]
fn every_metric_but_those_of_the_network_has_one_place_in_version_2() {
    let hierarchies = hierarchies(true, &[]);
    let places: Vec<Metric> = rows(&hierarchies, Groups::default(), Whose::Others).flat_map(Row::metrics).collect();
    let network: BTreeSet<Metric> = net_dev::metrics().collect();
    for metric in Metric::all() {
        let count = places.iter().filter(|one| **one == metric).count();
        assert_eq!(count, usize::from(!network.contains(&metric)), "{}", metric.name());
    }
}

#[test]
fn no_row_has_more_keys_than_are_added_up_at_once() {
    for row in version_2::ROWS.iter().chain(version_1::ROWS) {
        if let Content::Fields(keys) = &row.content {
            assert!(keys.len() <= 8, "{}", row.file);
        }
    }
}

#[test]
fn times_of_version_2_become_nanoseconds() {
    check(
        true,
        "cpu.stat",
        "usage_usec 579\nuser_usec 123\nsystem_usec 456\n",
        "cpu-usage=579000 cpu-user=123000 cpu-system=456000",
    );
    check(true, "cpu.stat", "usage_usec 5000000\n", "cpu-usage=5000000000");
    check(true, "cpu.stat", "usage_usec 18446744073709551615\n", "bad=1");
    let both = "some avg10=0.00 total=91487491\nfull avg10=0.00 total=84675542\n";
    check(true, "io.pressure", both, "io-pressure-some=91487491000 io-pressure-full=84675542000");
    check(true, "cpu.pressure", "full total=1\r\n", "cpu-pressure-full=1000");
}

#[test]
fn times_of_version_1_are_nanoseconds_or_ticks() {
    check(false, "cpuacct.usage", "1500000000\n", "cpu-usage=1500000000");
    check(
        false,
        "cpu.stat",
        "nr_periods 12\nnr_throttled 11\nthrottled_time 808406984\n",
        "cpu-periods=12 cpu-throttled-periods=11 cpu-throttled-time=808406984",
    );
}

#[test]
fn a_key_that_is_missing_is_no_value() {
    check(true, "cpu.stat", "usage_usec 579\nsystem_usec 456\n", "cpu-usage=579000 cpu-system=456000");
    check(true, "cpu.stat", "", "");
    check(true, "cpu.stat", "usage_usec\nusage_usec_more 4\nUSAGE_USEC 5\n usage_usec 6\n", "");
    check(true, "memory.events", "low 0\noom 1\n", "");
}

#[test]
fn keys_may_stand_in_any_order_and_anywhere() {
    check(true, "memory.stat", "file 2\nanon 1\n", "memory-anonymous=1 memory-file=2");
    let far = format!("{}anon 1\n", "something_else 0\n".repeat(1000));
    check(true, "memory.stat", &far, "memory-anonymous=1");
    check(true, "memory.stat", "anon 1\nanon 2\n", "memory-anonymous=1");
    check(true, "memory.stat", "file_mapped 3\nfile 2", "memory-file=2");
}

#[test]
fn what_is_no_number_is_left_out_and_counted() {
    check(true, "cpu.stat", "usage_usec 1\nuser_usec 9x\nsystem_usec -1\n", "cpu-usage=1000 bad=2");
    check(true, "memory.current", "1234\n", "memory-usage=1234");
    check(true, "memory.current", "", "bad=1");
    check(true, "memory.current", "max\n", "bad=1");
    check(true, "memory.max", "max\n", "memory-limit=unlimited");
    check(true, "memory.max", "18446744073709551615\n", "memory-limit=18446744073709551615");
    for text in ["MAX", "-1", "42.5", "18446744073709551616", "max max"] {
        check(true, "memory.max", text, "bad=1");
    }
    check(true, "io.pressure", "some total=not_a_number\n", "bad=1");
    check(true, "io.pressure", "", "");
    check(false, "blkio.throttle.io_serviced_recursive", "", "bad=1");
}

#[test]
fn devices_are_added_up_by_name() {
    let text =
        "259:0 rbytes=1000 wbytes=2000 rios=10 wios=20 dbytes=0 dios=0\n253:1 253:0 wios=4 rios=3 wbytes=2 rbytes=1\n8:16 \n";
    check(true, "io.stat", text, "io-read-bytes=1001 io-written-bytes=2002 io-reads=13 io-writes=24");
    check(true, "io.stat", "", "io-read-bytes=0 io-written-bytes=0 io-reads=0 io-writes=0");
    check(true, "io.stat", "8:0 rbytes=x wbytes=1\n", "io-written-bytes=1 io-reads=0 io-writes=0 bad=1");
    check(
        false,
        "blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 5\n8:16 Read 1\n8:0 Write 7\nTotal 13\n",
        "io-read-bytes=6 io-written-bytes=7",
    );
}

#[test]
fn the_limit_of_version_1_may_be_the_largest_number_of_pages() {
    check(false, "memory.limit_in_bytes", "9223372036854771712\n", "memory-limit=unlimited");
    check(false, "memory.limit_in_bytes", "419430400\n", "memory-limit=419430400");
    check(false, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "memory-oom-kills=7");
    check(false, "pids.max", "max\n", "pids-limit=unlimited");
}
