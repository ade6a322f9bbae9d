//! Pressure: told where the kernel knows it. In version 1 that is where version 2 is mounted beside it.

use sluicebox_contract::Metric;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_testkit::machine::Kernel;

use super::disk::Disk;
use super::group::{self, Group, Limit};
use super::work::Work;
use super::{MIB, Told, by_path, during, in_machine, shared};

#[tokio::test]
async fn tasks_that_wait_for_a_processor_are_told() {
    let Some(_turn) = shared().await else { return };
    let metrics = [Metric::CpuPressureSome, Metric::CpuPressureFull];
    grows("cpu.pressure", metrics, 100_000_000, |container| {
        container.limit(Limit::CpuMicroseconds(10_000));
        [Work::burn(container), Work::burn(container)].into()
    })
    .await;
}

/// Each is killed in the end, after the kernel has looked for memory everywhere.
#[tokio::test]
async fn tasks_that_wait_for_memory_are_told() {
    let Some(_turn) = shared().await else { return };
    let metrics = [Metric::MemoryPressureSome, Metric::MemoryPressureFull];
    grows("memory.pressure", metrics, 1_000, |container| {
        container.limit(Limit::MemoryBytes(24 * MIB));
        vec![Work::start(container, "while :; do dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; done")]
    })
    .await;
}

#[tokio::test]
async fn tasks_that_wait_for_a_disk_are_told() {
    let Some(_turn) = shared().await else { return };
    let disk = Disk::open();
    let metrics = [Metric::IoPressureSome, Metric::IoPressureFull];
    grows("io.pressure", metrics, 100_000_000, |container| {
        disk.limit(container, MIB);
        vec![Work::start(container, &format!("while :; do {}; done", disk.read(8)))]
    })
    .await;
}

/// The total of each becomes larger than that, in nanoseconds, and its increases add up to no more.
async fn grows(file: &str, metrics: [Metric; 2], nanoseconds: u64, begin: impl FnOnce(&Group) -> Vec<Work>) {
    let uid = group::uid();
    let pod = group::pod(&uid);
    let container = pod.container(&group::container_id());
    let known = container.doors().iter().any(|door| door.with_file_name(file).is_file());
    assert_ne!((known, in_machine()), (false, Some(Kernel::Emulated)), "this one has it");
    let told = Told::about(&uid);
    let scenario = async |_: &SourceMeter| {
        let path = &container.path;
        told.fresh(path).await;
        if !known {
            assert_eq!(metrics.map(|metric| told.record().count(path, metric)), [0, 0]);
            return;
        }
        let _work = begin(&container);
        for metric in metrics {
            told.until(metric.name(), |record| record.total(path, metric).filter(|total| *total > nanoseconds)).await;
            let record = told.record();
            let increase = record.increase(path, metric);
            assert!(increase > 0 && Some(increase) <= record.total(path, metric), "{metric:?}: {increase}");
        }
    };
    Box::pin(during(&by_path(), None, &told, scenario)).await;
}
