//! The source on real cgroups: those of this machine, and version 2 with every controller in small machines that run this very program.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cgroups;

use std::time::Duration;

use sluicebox_testkit::machine::Kernel;
use sluicebox_testkit::servers::{Need, require};

#[tokio::test]
async fn all_of_this_holds_with_version_2_in_user_mode_linux() {
    if require(Need::UserModeLinux) {
        holds_in(Kernel::UserMode).await;
    }
}

#[tokio::test]
async fn all_of_this_holds_with_version_2_and_pressure_in_an_emulated_machine() {
    if require(Need::EmulatedLinux) {
        holds_in(Kernel::Emulated).await;
    }
}

async fn holds_in(kernel: Kernel) {
    let this = std::env::current_exe().expect("this program");
    let output = kernel.run(&this, &["cgroups::"], Duration::from_mins(4)).await.expect("it runs");
    assert_eq!(output.code, 0, "{}", output.text);
    // A machine where a test cannot run lets it fail.
    assert!(output.text.contains("test cgroups::figures::processor_time_is_that_of_the_processes ... ok"), "{}", output.text);
}
