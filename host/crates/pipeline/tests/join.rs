//! Lanes that join a source that runs: they are told what exists, and then what the others are told.

mod support;

use std::time::Duration;

use sluicebox_contract::Notice;
use sluicebox_pipeline::{Bounds, LaneHandle, LaneTerms, OutletSettings, OutletTerms, Pipeline, WhenFull};
use support::stage::{tap, until};
use support::{Recorder, Scripted, forgotten, lane_terms, lines, outlet_terms, subject, tick};

#[tokio::test]
async fn a_lane_that_joins_is_told_what_exists_and_goes_on_with_the_others() {
    let mut pipeline = Pipeline::default();
    let (first, second) = (Recorder::default(), Recorder::default());
    let outlets = [&first, &second].map(|sink| pipeline.outlet("out", sink.clone(), outlet_terms(&[])));
    let strict = || Scripted { strict: true, ..Scripted::default() };
    let lane = pipeline.lane("one", strict(), lane_terms(&[outlets[0]])).unwrap().handle();
    let (tell, source) = tap();
    let audience = pipeline.source_to_join("taps", source, &[lane], || ());
    let changes = pipeline.changes();

    let works = async {
        for notice in [subject(1), subject(2), subject(3), forgotten(2), Notice::Listed, tick([1, 3])] {
            tell.send(notice).await.unwrap();
        }
        until("the first lane has its tick", || lines(&first.log).contains(&"3".to_owned())).await;
        let log = changes
            .make({
                let (audience, outlet) = (audience.clone(), outlets[1]);
                move |pipeline: &mut Pipeline| {
                    let shaper = Scripted { strict: true, ..Scripted::default() };
                    let log = shaper.log.clone();
                    let terms = LaneTerms { joins: true, ..lane_terms(&[outlet]) };
                    let lane = pipeline.lane("two", shaper, terms).unwrap().handle();
                    assert!(pipeline.join(&audience, lane));
                    log
                }
            })
            .await
            .unwrap();
        tell.send(tick([1, 3])).await.unwrap();
        until("the second lane has its tick", || lines(&second.log).contains(&"3".to_owned())).await;
        let told = lines(&log).join(" ").replace("define ", "");
        assert_eq!(told, "start node-1 node-3", "not what was forgotten before");
        assert_eq!(lines(&second.log).iter().filter(|line| *line == "1").count(), 1, "not what was before it");
        assert_eq!(lines(&first.log).iter().filter(|line| *line == "1").count(), 2);
    };
    let report = pipeline.run_until(works, Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn nobody_joins_a_source_that_has_ended_and_it_ends_with_its_last_lane() {
    let mut pipeline = Pipeline::default();
    let sink = Recorder::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&[]));
    let lane = pipeline.lane("one", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    let (_tell, source) = tap();
    let (ended, mut has_ended) = tokio::sync::oneshot::channel();
    let audience = pipeline.source_to_join("taps", source, &[lane], move || ended.send(()).unwrap());
    let changes = pipeline.changes();
    let works = async {
        changes.make(move |pipeline: &mut Pipeline| pipeline.remove_lane(lane)).await.unwrap();
        until("the source has ended", || has_ended.try_recv().is_ok()).await;
        let joined = changes
            .make(move |pipeline: &mut Pipeline| {
                let lane = pipeline.lane("two", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
                let joined = pipeline.join(&audience, lane);
                pipeline.remove_lane(lane);
                joined
            })
            .await
            .unwrap();
        assert!(!joined);
    };
    let report = pipeline.run_until(works, Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_lane_that_has_joined_and_was_told_nothing_does_not_keep_the_host_from_stopping() {
    let mut pipeline = Pipeline::default();
    let sink = Recorder::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&[]));
    let lane = pipeline.lane("one", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    let (_tell, source) = tap();
    let audience = pipeline.source_to_join("taps", source, &[lane], || ());
    let other = pipeline.lane("two", Scripted::default(), lane_terms(&[outlet])).unwrap().handle();
    assert!(pipeline.join(&audience, other));
    let report = pipeline.run_until(async {}, Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
}

/// A lane whose sink takes nothing, with little room.
fn stuck(pipeline: &mut Pipeline, name: &str, when_full: WhenFull) -> LaneHandle {
    let sink = Recorder { stalls: true, ..Recorder::default() };
    let terms = outlet_terms(&[]);
    let settings = OutletSettings { write_timeout: Duration::from_mins(5), ..terms.settings };
    let bounds = Bounds { items: 1, bytes: 1 << 20, when_full: WhenFull::Wait };
    let outlet = pipeline.outlet(name, sink, OutletTerms { settings, bounds, ..terms });
    let bounds = Bounds { items: 2, bytes: 1 << 20, when_full };
    let terms = LaneTerms { bounds, ..lane_terms(&[outlet]) };
    pipeline.lane(name, Scripted { untold: true, ..Scripted::default() }, terms).unwrap().handle()
}

#[tokio::test]
async fn a_lane_that_takes_the_place_of_a_stuck_one_is_fed() {
    let mut pipeline = Pipeline::default();
    let sink = Recorder::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&[]));
    let old = stuck(&mut pipeline, "old", WhenFull::Wait);
    let (tell, source) = tap();
    let audience = pipeline.source_to_join("taps", source, &[old], || ());
    let changes = pipeline.changes();
    let works = async {
        for _ in 0..20 {
            tell.send(tick([1])).await.unwrap();
        }
        // The source waits in the middle of a tick for the lane that takes nothing.
        until("the source waits", || tell.capacity() < tell.max_capacity()).await;
        let joined = changes
            .make(move |pipeline: &mut Pipeline| {
                let terms = LaneTerms { joins: true, ..lane_terms(&[outlet]) };
                let new = pipeline.lane("new", Scripted { untold: true, ..Scripted::default() }, terms).unwrap().handle();
                let joined = pipeline.join(&audience, new);
                pipeline.remove_lane(old);
                joined
            })
            .await
            .unwrap();
        assert!(joined);
        tell.send(tick([7])).await.unwrap();
        until("the new lane is fed", || lines(&sink.log).contains(&"7".to_owned())).await;
    };
    pipeline.run_until(works, Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_lane_whose_sink_is_away_does_not_keep_samples_from_the_others() {
    let mut pipeline = Pipeline::default();
    let sink = Recorder::default();
    let outlet = pipeline.outlet("out", sink.clone(), outlet_terms(&[]));
    let away = stuck(&mut pipeline, "away", WhenFull::DropSamples);
    let well = pipeline.lane("well", Scripted { untold: true, ..Scripted::default() }, lane_terms(&[outlet])).unwrap().handle();
    let (tell, source) = tap();
    pipeline.source_to_join("taps", source, &[away, well], || ());
    let works = async {
        for number in 1..=500 {
            tell.send(tick([number])).await.unwrap();
        }
        until("all ticks are there", || lines(&sink.log).contains(&"500".to_owned())).await;
        assert_eq!(lines(&sink.log).len(), 500);
    };
    pipeline.run_until(works, Duration::from_millis(100)).await;
}
