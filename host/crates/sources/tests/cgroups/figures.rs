//! The figures: what is told is what the processes have used and what the kernel says.

use std::time::Duration;

use sluicebox_contract::Metric::{self, CpuUsage};

use super::disk::Disk;
use super::group::{self, Limit};
use super::told::Record;
use super::work::Work;
use super::{MIB, Told, assert_close, by_path, during, field, is_version_2, number, shared};

/// Both ends of what is compared are at rest, so a busy machine makes no difference.
#[tokio::test]
async fn processor_time_is_that_of_the_processes() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    let work = Work::burn(&container);
    work.pause();
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        told.fresh(&container.path).await;
        let before = work.processor_time();
        let (container_before, pod_before) = (increase(&told, &container.path), increase(&told, &pod.path));
        work.resume();
        while work.processor_time() < before + Duration::from_millis(500) {
            told.fresh(&container.path).await;
        }
        work.pause();
        told.fresh(&container.path).await;
        let truth = nanoseconds(work.processor_time().saturating_sub(before));
        assert_close(increase(&told, &container.path) - container_before, truth, 20_000_000);
        assert_close(increase(&told, &pod.path) - pod_before, truth, 20_000_000);
        // In version 1 the kernel counts the parts by its clock's ticks: they need not add up to the whole. They are what it says.
        let record = told.record();
        for (metric, unified, version_1) in [
            (CpuUsage, "usage_usec", "cpuacct.usage"),
            (Metric::CpuUser, "user_usec", "cpuacct.usage_user"),
            (Metric::CpuSystem, "system_usec", "cpuacct.usage_sys"),
        ] {
            let file = container.file("cpu.stat", "cpuacct", version_1);
            let truth = if is_version_2() { field(&file, unified) * 1_000 } else { number(&file) };
            assert_eq!(record.total(&container.path, metric), Some(truth), "{metric:?}, in nanoseconds");
        }
    })
    .await;
}

#[tokio::test]
async fn being_held_back_is_counted() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    container.limit(Limit::CpuMicroseconds(10_000));
    let work = Work::burn(&container);
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        let throttled = |record: &Record| record.total(&container.path, Metric::CpuThrottledPeriods);
        told.until("it is held back", |record| throttled(record).filter(|total| *total >= 3)).await;
        work.pause();
        // The kernel counts a period or two in which nothing runs.
        told.until("what the kernel says", |record| {
            let file = container.file("cpu.stat", "cpu", "cpu.stat");
            let time = if is_version_2() { field(&file, "throttled_usec") * 1_000 } else { field(&file, "throttled_time") };
            let truth = [field(&file, "nr_periods"), field(&file, "nr_throttled"), time].map(Some);
            let metrics = [Metric::CpuPeriods, Metric::CpuThrottledPeriods, Metric::CpuThrottledTime];
            (time > 0 && metrics.map(|metric| record.total(&container.path, metric)) == truth).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn memory_is_what_is_held() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    let work = Work::hold(&container, 50);
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        let path = &container.path;
        let anonymous = |record: &Record| record.value(path, Metric::MemoryAnonymous);
        told.until("50 MiB", |record| anonymous(record).filter(|bytes| *bytes >= 50 * MIB)).await;
        {
            let record = told.record();
            assert_close(anonymous(&record).expect("anonymous memory"), 50 * MIB, 2 * MIB);
            let usage = record.value(path, Metric::MemoryUsage).expect("usage");
            assert_close(usage, number(&container.file("memory.current", "memory", "memory.usage_in_bytes")), MIB);
            let working_set = record.value(path, Metric::MemoryWorkingSet).expect("a working set");
            assert!((50 * MIB..=usage).contains(&working_set), "{working_set} of {usage}");
            assert!(record.is_unlimited(path, Metric::MemoryLimit));
        }
        container.limit(Limit::MemoryBytes(128 * MIB));
        told.until("the limit", |record| (record.value(path, Metric::MemoryLimit)? == 128 * MIB).then_some(())).await;
        drop(work);
        told.until("it is given back", |record| anonymous(record).filter(|bytes| *bytes < MIB)).await;
    })
    .await;
}

#[tokio::test]
async fn a_process_killed_for_want_of_memory_is_counted() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    container.limit(Limit::MemoryBytes(24 * MIB));
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        let kills = |record: &Record| record.total(&container.path, Metric::MemoryOomKills);
        told.until("none yet", |record| (kills(record)? == 0).then_some(())).await;
        let _work = Work::hold(&container, 64);
        told.until("one is killed", |record| kills(record).filter(|kills| *kills > 0)).await;
        let record = told.record();
        assert_eq!(Some(record.increase(&container.path, Metric::MemoryOomKills)), kills(&record), "it counts from zero");
    })
    .await;
}

#[tokio::test]
async fn processes_are_counted_up_to_their_limit() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        let path = &container.path;
        told.until("no limit", |record| record.is_unlimited(path, Metric::PidsLimit).then_some(())).await;
        container.limit(Limit::Processes(4));
        // The shell and three more; there is no room for the fourth.
        let work = Work::start(&container, "sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & wait");
        told.until("four", |record| (record.value(path, Metric::PidsCurrent)? == 4).then_some(())).await;
        assert_eq!(told.record().value(path, Metric::PidsLimit), Some(4));
        drop(work);
        told.until("none", |record| (record.value(path, Metric::PidsCurrent)? == 0).then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn bytes_of_a_disk_are_counted() {
    let Some(_turn) = shared().await else { return };
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    let disk = Disk::open();
    disk.count(&container);
    let told = Told::about(&uid);
    during(&by_path(), None, &told, async |_| {
        told.fresh(&container.path).await;
        let total = |metric| told.record().total(&container.path, metric).unwrap_or_default();
        let (read, written) = (total(Metric::IoReadBytes), total(Metric::IoWrittenBytes));
        let script = format!("{} && {}", disk.read(8), disk.write(4));
        assert!(Work::start(&container, &script).wait().success(), "{script}");
        told.fresh(&container.path).await;
        assert_close(total(Metric::IoReadBytes) - read, 8 * MIB, MIB / 2);
        assert_close(total(Metric::IoWrittenBytes) - written, 4 * MIB, MIB / 2);
        assert!(total(Metric::IoReads) >= 8 && total(Metric::IoWrites) >= 4, "a call is for at most a MiB");
    })
    .await;
}

fn increase(told: &Told, path: &str) -> u64 {
    told.record().increase(path, CpuUsage)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a short time")
}
