//! The cases of all languages, run natively; the host runs the same files through what each language compiles to.

#[test]
fn every_case_holds() {
    sluicebox_sdk::cases::check::<namespace_lines::NamespaceLines>(concat!(env!("CARGO_MANIFEST_DIR"), "/../cases"));
}
