//! A tick is about many subjects: the samples of one that stops the module are left out, those of the others are shaped.

mod support;

use std::collections::BTreeSet;

use sluicebox_contract::{Event, Held, Notice};
use sluicebox_pipeline::LaneSettings;
use support::stage::{Shelf, Stage, until};
use support::{Recorder, Scripted, event, lane_terms, lines, subject, tick};

fn stage(shaper: Scripted, shelf: &Shelf) -> Stage {
    let settings = LaneSettings { batch: 64, ..lane_terms(&[]).settings };
    Stage::with(shaper, Recorder::default(), settings, Some(shelf.clone()))
}

async fn tell(stage: &Stage, notices: impl IntoIterator<Item = Notice>) {
    for notice in notices {
        stage.tell.send(notice).await.unwrap();
    }
}

/// What comes out once so many events have been taken.
async fn written(stage: &Stage, events: u64, entries: usize) -> Vec<String> {
    until("all is shaped", || {
        let left_out = stage.meter.deadly.get() + stage.meter.refused.get();
        stage.meter.events.get() >= events && left_out + stage.meter.entries.get() >= entries as u64
    })
    .await;
    until("all is written", || stage.outlet_meter.written.get() == stage.meter.entries.get()).await;
    lines(&stage.sink.log)
}

#[tokio::test]
async fn each_tick_is_a_call_of_its_own() {
    let shaper = Scripted { tells_calls: true, strict: true, ..Scripted::default() };
    let log = shaper.log.clone();
    let stage = stage(shaper, &Shelf::default());
    tell(&stage, [subject(1), subject(2), tick([1, 2]), tick([1, 2]), event(1), event(1), tick([])]).await;
    until("four calls", || lines(&log).iter().filter(|line| line.starts_with("shape")).count() >= 4).await;
    let calls: Vec<String> = lines(&log).into_iter().filter(|line| line.starts_with("shape")).collect();
    assert_eq!(calls[..2], ["shape 1 2", "shape 1 2"], "{calls:?}");
    until("the empty one", || lines(&log).iter().any(|line| line == "shape ")).await;
}

#[tokio::test]
async fn the_samples_of_one_subject_that_stop_the_module_are_left_out_alone() {
    let shaper = Scripted { deadly: [77].into(), strict: true, ..Scripted::default() };
    let shelf = Shelf::default();
    let stage = stage(shaper, &shelf);
    tell(&stage, (1..=100).map(subject)).await;
    tell(&stage, [tick(1..=100)]).await;
    let written: BTreeSet<String> = written(&stage, 1, 100).await.into_iter().filter(|line| line != "settled").collect();
    let expected: BTreeSet<String> = (1..=100).filter(|id| *id != 77).map(|id| id.to_string()).collect();
    assert_eq!(written, expected);
    assert_eq!((stage.meter.deadly.get(), stage.meter.rests.get()), (1, 0));
    assert!(stage.meter.traps.get() <= 8, "one trap for each halving of 100: {}", stage.meter.traps.get());
    until("the letter", || !shelf.letters().is_empty()).await;
    let letters = shelf.letters();
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    let Held::Event { subject: Some(subject), event: Event::Tick(tick) } = &letter.held else { panic!("a tick: {letter:?}") };
    assert_eq!((subject.name.as_str(), tick.samples.len()), ("node-77", 1), "the letter holds the samples of that subject only");
}

#[tokio::test]
async fn a_subject_whose_samples_stop_the_module_each_time_is_left_out_without_another_try() {
    let shaper = Scripted { deadly: [3].into(), ..Scripted::default() };
    let shelf = Shelf::default();
    let stage = stage(shaper, &shelf);
    tell(&stage, (1..=8).map(subject)).await;
    for round in 1..=10 {
        tell(&stage, [tick(1..=8)]).await;
        until("the round is shaped", || stage.meter.entries.get() >= round * 7).await;
    }
    let traps = stage.meter.traps.get();
    assert!(traps <= 3 * 4, "three ticks halved down to the one: {traps}");
    assert_eq!(stage.meter.deadly.get(), 10, "its samples are counted each time");
    assert_eq!(shelf.letters().len(), 3, "and kept while it was tried");
}

#[tokio::test]
async fn a_module_that_is_told_of_no_subjects_is_spared_them_as_well() {
    let shaper = Scripted { deadly: [3].into(), untold: true, ..Scripted::default() };
    let stage = stage(shaper, &Shelf::default());
    for round in 1..=10 {
        tell(&stage, [tick(1..=8)]).await;
        until("the round is shaped", || stage.meter.entries.get() >= round * 7).await;
    }
    assert!(stage.meter.traps.get() <= 3 * 4, "{}", stage.meter.traps.get());
    assert_eq!(stage.meter.deadly.get(), 10);
}

#[tokio::test]
async fn a_tick_of_very_many_samples_comes_in_parts() {
    let shaper = Scripted { tells_calls: true, untold: true, ..Scripted::default() };
    let log = shaper.log.clone();
    let stage = stage(shaper, &Shelf::default());
    tell(&stage, [tick(1..=20_000)]).await;
    until("all is shaped", || stage.meter.entries.get() == 20_000).await;
    let calls: Vec<usize> =
        lines(&log).iter().filter_map(|line| line.strip_prefix("shape ")).map(|names| names.split(' ').count()).collect();
    assert_eq!(calls, [10_000, 10_000]);
    assert_eq!((stage.meter.events.get(), stage.meter.traps.get()), (2, 0));
}

#[tokio::test]
async fn refused_samples_do_not_cost_the_instance() {
    let shaper = Scripted { refused: [5, 6].into(), ..Scripted::default() };
    let stage = stage(shaper, &Shelf::default());
    tell(&stage, (1..=16).map(subject)).await;
    tell(&stage, [tick(1..=16)]).await;
    assert_eq!(written(&stage, 1, 16).await.iter().filter(|line| *line != "settled").count(), 14);
    assert_eq!((stage.meter.refused.get(), stage.meter.traps.get(), stage.meter.instances.get()), (2, 0, 1));
    let (taken, dealt) = (stage.meter.events.get(), stage.meter.refused.get());
    assert!(taken > dealt, "a tick that is divided counts once for each part: {taken}");
}

#[tokio::test]
async fn the_rehearsal_of_a_successor_gets_a_part_of_a_tick_that_is_too_large_to_be_kept() {
    let stage = stage(Scripted::default(), &Shelf::default());
    let subjects = 20_000;
    tell(&stage, [tick(1..=subjects)]).await;
    until("it is shaped", || stage.meter.entries.get() == u64::from(subjects)).await;
    tell(&stage, (1..=subjects).map(subject)).await;
    let Stage { pipeline, control, .. } = stage;
    let look = async {
        // The subjects are told in batches; the events of those that are not known yet are not in the snapshot.
        support::stage::soon(async {
            loop {
                let snapshot = control.look().await.unwrap();
                if snapshot.subjects.len() == subjects as usize {
                    return snapshot;
                }
            }
        })
        .await
    };
    let (done, until_done) = tokio::sync::oneshot::channel();
    let run = pipeline.run_until(async { until_done.await.unwrap() }, std::time::Duration::from_secs(20));
    let looked = async {
        let snapshot = look.await;
        done.send(()).unwrap();
        snapshot
    };
    let (snapshot, _) = tokio::join!(looked, run);
    let [Event::Tick(kept)] = snapshot.batch.as_slice() else { panic!("one tick") };
    assert!(kept.weight() <= 256 << 10, "{}", kept.weight());
    assert!(kept.samples.len() > 1000, "{}", kept.samples.len());
}
