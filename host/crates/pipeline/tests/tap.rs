//! Somebody hears what a lane is given: all of it where that is little, a fair part of it where it is much.

mod support;

use std::collections::BTreeMap;

use sluicebox_contract::{Event, SubjectId};
use sluicebox_pipeline::{Heard, Tap};
use support::stage::{Stage, soon, until};
use support::{Scripted, event, event_about, known, subject, tick};

fn name(heard: &Heard) -> String {
    let Event::Object(object) = &heard.event else { panic!("an object: {heard:?}") };
    object.name.to_string()
}

fn names(tap: Tap) -> Vec<String> {
    tap.into_heard().iter().map(name).collect()
}

impl Stage {
    /// Has these events shaped one after another, and waits until they are.
    async fn shaped_one_by_one(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let goal = self.meter.entries.get() + 1;
            self.tell.send(event(number)).await.unwrap();
            until("it is shaped", || self.meter.entries.get() >= goal).await;
        }
    }
}

#[tokio::test]
async fn all_that_comes_is_heard_in_its_order_when_it_is_less_than_is_wanted() {
    let stage = Stage::new(Scripted::of(""));
    let tap = soon(stage.control.tap(10)).await.unwrap();
    stage.shaped_one_by_one(0..7).await;
    assert!(!tap.is_enough());
    assert_eq!(names(tap), ["0", "1", "2", "3", "4", "5", "6"]);
    // Whoever has gone hears nothing, and nobody minds.
    stage.shaped_one_by_one(7..9).await;
}

#[tokio::test]
async fn of_what_comes_in_quick_succession_each_event_has_the_same_chance() {
    let stage = Stage::new(Scripted::of(""));
    let mut times = BTreeMap::<String, usize>::new();
    for _ in 0..400 {
        let tap = soon(stage.control.tap(2)).await.unwrap();
        stage.shaped_one_by_one(0..10).await;
        let names = names(tap);
        assert_eq!(names.len(), 2);
        for name in names {
            *times.entry(name).or_default() += 1;
        }
    }
    // 80 times each is to be expected.
    assert!(times.len() == 10 && times.values().all(|times| (40..=120).contains(times)), "{times:?}");
}

#[tokio::test]
async fn as_many_as_are_wanted_are_heard_of_one_batch_and_others_may_still_come() {
    let stage = Stage::new(Scripted::of(""));
    let tap = soon(stage.control.tap(5)).await.unwrap();
    for number in 0..64 {
        stage.tell.send(event(number)).await.unwrap();
    }
    until("all are shaped", || stage.meter.entries.get() == 64).await;
    until("nobody else comes in quick succession", || tap.is_enough()).await;
    assert_eq!(tap.into_heard().len(), 5);
}

#[tokio::test]
async fn what_was_shaped_last_stands_in_until_others_come() {
    let stage = Stage::new(Scripted::of(""));
    stage.tell.send(subject(1)).await.unwrap();
    stage.shaped_one_by_one(0..3).await;
    let tap = soon(stage.control.tap(1)).await.unwrap();
    until("the last batch stands in", || tap.is_enough()).await;
    assert_eq!(names(tap), ["2"]);
    let tap = soon(stage.control.tap(2)).await.unwrap();
    stage.shaped_one_by_one(3..5).await;
    assert_eq!(names(tap), ["3", "4"]);
}

#[tokio::test]
async fn a_tick_is_heard_with_its_subjects_as_they_were() {
    let stage = Stage::new(Scripted::of(""));
    for id in 1..=3 {
        stage.tell.send(subject(id)).await.unwrap();
    }
    let tap = soon(stage.control.tap(1)).await.unwrap();
    stage.tell.send(tick(1..=2)).await.unwrap();
    until("it is shaped", || stage.meter.events.get() == 1).await;
    stage.tell.send(event_about(3, 7)).await.unwrap();
    until("both are shaped", || stage.meter.events.get() == 2 && stage.meter.entries.get() > 1).await;
    let heard = tap.into_heard();
    let [one] = heard.as_slice() else { panic!("one of both: {heard:?}") };
    let about = if matches!(one.event, Event::Tick(_)) { 1..=2 } else { 3..=3 };
    assert_eq!(one.subjects, about.map(known).collect::<Vec<_>>());
    assert!(one.event.names(|id| id == SubjectId(2)) || one.event.names(|id| id == SubjectId(3)));
}

#[tokio::test]
async fn what_the_module_does_not_stand_is_heard_too() {
    let stage = Stage::new(Scripted { deadly: [0].into(), ..Scripted::default() });
    let tap = soon(stage.control.tap(10)).await.unwrap();
    stage.tell.send(event_about(1, 0)).await.unwrap();
    until("it is left out", || stage.meter.deadly.get() == 1).await;
    assert_eq!(names(tap), ["0"]);
}
