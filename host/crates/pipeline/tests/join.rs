//! Lanes that join a source that runs: they are told what exists, and then what the others are told.

mod support;

use std::time::Duration;

use sluicebox_contract::Notice;
use sluicebox_pipeline::{LaneTerms, Pipeline};
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
        assert_eq!(lines(&log), ["start", "define node-1 node-3"], "not what was forgotten before");
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
