//! The module's cases, run natively; the host runs the same files through its engine.

#[test]
fn every_case_holds() {
    sluicebox_sdk::cases::check::<mape_kafka::MapeKafka>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
