//! Evil modules that grow. In a process of their own, one after the other, because they measure the memory of the whole host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use sluicebox_contract::Shaper as _;
use sluicebox_wasm::Limits;
use support::{assert_died, assert_recovers, named, patient, resident, suffer};

const MIB: usize = 1 << 20;

/// By how much the host may have grown in the end: its own code and a compiled module, but none of the guests' memory.
const GROWTH: usize = 80 * MIB;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The host's memory when the test began.
struct Measured {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

fn measured() -> Measured {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Measured { before: resident(), _alone: alone }
}

impl Measured {
    #[track_caller]
    fn assert_small(&self) {
        let grown = resident().saturating_sub(self.before);
        assert!(grown < GROWTH, "the host has grown by {} MiB", grown / MIB);
    }
}

#[test]
fn memory_bomb() {
    let host = measured();
    let (fault, mut shaper) = suffer("memory-bomb", 0, patient());
    assert_died(&fault, &["its memory limit of 64 MiB was reached", "raise the memory limit"]);
    for _ in 0..5 {
        assert_recovers(&mut shaper);
        shaper.shape(&[named("bad")]).unwrap_err();
    }
    host.assert_small();
    assert_recovers(&mut shaper);
}

#[test]
fn ten_million_entries() {
    let host = measured();
    let (fault, mut shaper) = suffer("many-entries", 10_000_000, patient());
    assert_died(&fault, &["memory limit of 64 MiB"]);
    // With memory enough for a tenth of them the bytes are too many, and the host has not made room for them.
    let (fault, _) = suffer("many-entries", 1_000_000, Limits { memory_bytes: 256 * MIB, ..patient() });
    assert_died(&fault, &["handed over more than 8 MiB in one call"]);
    host.assert_small();
    assert_recovers(&mut shaper);
}

#[test]
fn entry_of_a_gigabyte() {
    let host = measured();
    let (fault, mut shaper) = suffer("large-entry", 1 << 30, patient());
    assert_died(&fault, &["memory limit of 64 MiB"]);
    let (fault, _) = suffer("large-entry", 32 * MIB, Limits { memory_bytes: 256 * MIB, ..patient() });
    assert_died(&fault, &["handed over more than 8 MiB in one call"]);
    host.assert_small();
    assert_recovers(&mut shaper);
}

#[test]
fn packed_headers() {
    let host = measured();
    let (fault, mut shaper) = suffer("packed-headers", 100_000, patient());
    assert_died(&fault, &["packed messages of 300000 MiB when unpacked, more than the 8 MiB", "headers count for every message"]);
    host.assert_small();
    assert_recovers(&mut shaper);
}

#[test]
fn packed_channel() {
    let host = measured();
    let (fault, mut shaper) = suffer("packed-channel", 7 * MIB, patient());
    assert_died(&fault, &["packed messages of 458752 MiB when unpacked, more than the 8 MiB", "raise the limit of bytes"]);
    host.assert_small();
    assert_recovers(&mut shaper);
}
