//! What kernels have written, each with its own files; the fixtures say where they are from.

use super::*;

#[test]
fn a_pod_of_kernel_6_1() {
    let mut scene = Scene::new(true, false);
    scene.fill("recorded-6.1-unified/pod", true);
    assert_eq!(
        scene.once(),
        "cpu-usage=840000000 cpu-user=800000000 cpu-system=40000000 cpu-periods=42 cpu-throttled-periods=42 \
         cpu-throttled-time=3310000000 memory-usage=30318592 memory-limit=99999744 memory-working-set=30318592 memory-swap-usage=0 \
         memory-swap-limit=unlimited memory-anonymous=69632 memory-file=30003200 memory-kernel-stack=16384 memory-page-tables=20480 \
         memory-slab-reclaimable=83376 memory-oom-kills=0 pids-current=2 pids-limit=unlimited io-read-bytes=2211840 \
         io-written-bytes=0 io-reads=35 io-writes=0"
    );
    assert_eq!(scene.complaints.take_count(), 0, "what a kernel lacks is no mistake");
}

#[test]
fn a_pod_of_kernel_6_12() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    let (some, full) = ("91487491000", "84675542000");
    assert_eq!(
        scene.once(),
        format!(
            "cpu-usage=5123456000 cpu-user=4000000000 cpu-system=1123456000 cpu-periods=900 cpu-throttled-periods=12 \
             cpu-throttled-time=345678000 cpu-pressure-some={some} cpu-pressure-full={full} memory-usage=268435456 \
             memory-limit=536870912 memory-working-set=167772160 memory-swap-usage=4096 memory-swap-limit=0 \
             memory-anonymous=104857600 memory-file=150994944 memory-kernel-stack=327680 memory-page-tables=1048576 \
             memory-slab-reclaimable=4194304 memory-swapped-in=7 memory-swapped-out=8 memory-oom-kills=3 \
             memory-pressure-some={some} memory-pressure-full={full} pids-current=17 pids-limit=unlimited io-read-bytes=1001 \
             io-written-bytes=2002 io-reads=13 io-writes=24 io-pressure-some={some} io-pressure-full={full}"
        )
    );
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (0, 0));
}

#[test]
fn a_pod_of_kernel_6_18_under_version_1_with_pressure_beside() {
    let mut scene = Scene::new(true, true);
    scene.fill("recorded-6.18-hybrid/v1", false);
    scene.fill("recorded-6.18-hybrid/unified", true);
    let text = scene.once();
    let text: Vec<&str> = text.split(' ').collect();
    for expected in [
        "cpu-usage=1192046301",
        "cpu-user=1139449768",
        "cpu-system=83975473",
        "cpu-periods=12",
        "cpu-throttled-periods=11",
        "cpu-throttled-time=808406984",
        "memory-usage=1560576",
        "memory-limit=unlimited",
        "memory-swap-usage=0",
        "memory-swap-limit=unlimited",
        "memory-oom-kills=0",
        "pids-limit=unlimited",
        "io-read-bytes=0",
        "io-writes=0",
    ] {
        assert!(text.contains(&expected), "{expected} in {text:?}");
    }
    let names: Vec<&str> = text.iter().map(|one| one.split('=').next().unwrap()).collect();
    for name in
        ["cpu-pressure-full", "memory-working-set", "memory-anonymous", "memory-file", "memory-pressure-some", "io-pressure-full"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn a_pod_of_kernel_4_4() {
    let mut scene = Scene::new(false, true);
    scene.fill("composed-4.4-v1", false);
    assert_eq!(
        scene.once(),
        "cpu-usage=2000000000 cpu-user=1500000000 cpu-system=400000000 cpu-periods=100 cpu-throttled-periods=5 \
         cpu-throttled-time=123456789 memory-usage=209715200 memory-limit=419430400 memory-working-set=167772160 \
         memory-swap-usage=10485760 memory-swap-limit=419430400 memory-anonymous=125829120 memory-file=62914560 pids-current=9 \
         pids-limit=100 io-read-bytes=4097 io-written-bytes=8194 io-reads=2 io-writes=3"
    );
    let mut pod = scene.open_pod();
    let told = show(&scene.read(&mut pod, 0).unwrap());
    assert!(
        told.contains("cpu-user=1500000000") && told.ends_with("pids-limit=100"),
        "devices are told without containers: {told}"
    );
}

#[test]
fn kills_in_a_pod_are_those_in_its_containers_which_version_1_does_not_add_up() {
    let mut scene = Scene::new(false, true);
    fs::write(scene.file("memory", "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n").unwrap();
    assert_eq!(scene.once(), "memory-oom-kills=0");
    let mut pod = scene.open_pod();
    assert_eq!(scene.read(&mut pod, 0), Ok(Vec::new()));
}
