//! The evils, by name. Each has a test of its name.

use std::cell::RefCell;
use std::hint::black_box;

use crate::bindings::sluicebox::module::log::{self, Level};
use crate::bindings::sluicebox::module::types::{Document, Entries, Entry, Forget, Message, PackedEnd, PackedMessages, Payload};

/// What a handler answers; none when it behaves.
type Answer = Option<Result<Entries, String>>;

pub(crate) fn start(evil: &str) -> Result<(), String> {
    match evil {
        "loop-in-start" => spin(),
        "panic-in-start" => panic!("I cannot start"),
        "memory-bomb-in-start" => bomb(),
        "refuse-to-start" => Err("setting `colour`: unknown\n\u{1b}[31mtry `shape`".to_owned()),
        "refuse-to-start-at-length" => Err("no ".repeat(1 << 20)),
        _ => Ok(()),
    }
}

pub(crate) fn define(evil: &str) {
    match evil {
        "loop-in-define" => spin(),
        "panic-in-define" => panic!("I know nobody"),
        _ => {}
    }
}

pub(crate) fn forget(evil: &str) {
    if evil == "panic-in-forget" {
        panic!("I never forget");
    }
}

pub(crate) fn metrics(evil: &str) {
    match evil {
        "loop-in-metrics" => spin(),
        "panic-in-metrics" => panic!("I never count"),
        _ => {}
    }
}

/// What it saves in place of its state; none when it behaves.
pub(crate) fn save(evil: &str, size: usize) -> Option<Result<Payload, String>> {
    match evil {
        "loop-in-save" => spin(),
        "panic-in-save" => panic!("I keep it to myself"),
        "refuse-to-save" => Some(Err("I have nothing\nto say".to_owned())),
        "memory-bomb-in-save" => bomb(),
        "large-save" => Some(Ok(Payload::Bytes(vec![0xff; size]))),
        _ => None,
    }
}

pub(crate) fn restore(evil: &str) -> Result<(), String> {
    match evil {
        "loop-in-restore" => spin(),
        "panic-in-restore" => panic!("I remember nothing"),
        "refuse-to-restore" => Err("this is not mine".to_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn handle(evil: &str, size: usize, events: usize) -> Answer {
    match evil {
        "loop" => spin(),
        "memory-bomb" => bomb(),
        "stack-overflow" => Some(Err(deep(1).to_string())),
        "panic" => panic!("I give up"),
        "unreachable" => std::process::abort(),
        "refuse" => Some(Err("I do not like this".to_owned())),
        "refuse-at-length" => Some(Err("no ".repeat(1 << 20))),
        "memory-refused" => memory_refused(),
        "many-entries" => Some(Ok(Entries::Plain(many(size)))),
        "many-packed" => Some(Ok(packed("", vec![ends(0, 0, 0); size]))),
        "packed-channel" => Some(Ok(packed_channel(size))),
        "packed-headers" => Some(Ok(packed_headers(size))),
        "large-entry" => Some(Ok(one("x".repeat(size)))),
        "claimed-entry" => Some(Ok(one(claimed(size)))),
        "broken-text" => Some(Ok(one(broken_text()))),
        "escaping-name" => Some(Ok(Entries::Plain(vec![document("../../x")]))),
        "hoard" => hoard(size),
        "work-busy" => busy(size.saturating_mul(events)),
        "log-flood" => log_flood(size),
        "long-line" => long_line(size),
        "ends-beyond" => Some(Ok(packed("abc", vec![ends(0, 1, 4)]))),
        "ends-falling" => Some(Ok(packed("abc", vec![ends(0, 2, 1)]))),
        "ends-within-character" => Some(Ok(packed("ü", vec![ends(0, 0, 1)]))),
        "channel-ends-beyond" => Some(Ok(packed("abc", vec![ends(u32::MAX, u32::MAX, u32::MAX)]))),
        "channel-ends-behind-key" => Some(Ok(packed("abc", vec![ends(2, 1, 3)]))),
        "channel-ends-before-body" => Some(Ok(packed("abc", vec![ends(0, 1, 3), ends(2, 3, 3)]))),
        "channel-ends-within-character" => Some(Ok(packed("ü", vec![ends(1, 2, 2)]))),
        _ => None,
    }
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn bomb<T>() -> T {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[allow(unconditional_recursion, reason = "that is the evil")]
fn deep(number: u64) -> u64 {
    let frame = black_box([number; 64]);
    deep(number + 1) + frame.iter().sum::<u64>()
}

/// Asks for more memory until that is refused, and lives on.
fn memory_refused() -> Answer {
    #[cfg(target_family = "wasm")]
    while core::arch::wasm32::memory_grow::<0>(16) != usize::MAX {}
    None
}

fn many(count: usize) -> Vec<Entry> {
    (0..count).map(|_| Entry::Forget(Forget { collection: None, name: String::new(), after_milliseconds: 0 })).collect()
}

fn packed(text: &str, ends: Vec<PackedEnd>) -> Entries {
    Entries::Packed(PackedMessages { channel: None, headers: Vec::new(), text: text.to_owned(), ends })
}

fn ends(channel_end: u32, key_end: u32, body_end: u32) -> PackedEnd {
    PackedEnd { channel_end, key_end, body_end }
}

/// As many empty messages as may be, to a channel of this length: it crosses once and is wanted for each.
fn packed_channel(size: usize) -> Entries {
    let ends = vec![ends(0, 0, 0); 65_536];
    Entries::Packed(PackedMessages { channel: Some("c".repeat(size)), headers: Vec::new(), text: String::new(), ends })
}

/// As many empty messages as may be, with so many empty headers: they cross once and are wanted for each.
fn packed_headers(size: usize) -> Entries {
    let ends = vec![ends(0, 0, 0); 65_536];
    let headers = vec![(String::new(), String::new()); size];
    Entries::Packed(PackedMessages { channel: None, headers, text: String::new(), ends })
}

fn one(body: String) -> Entries {
    Entries::Plain(vec![Entry::Message(Message { channel: None, key: None, headers: Vec::new(), body: Payload::Text(body) })])
}

fn document(name: &str) -> Entry {
    Entry::Document(Document { collection: None, name: name.to_owned(), body: Payload::Text("evil".to_owned()) })
}

/// A text that says that it is longer than it is.
fn claimed(size: usize) -> String {
    let mut text = std::mem::ManuallyDrop::new("short".to_owned());
    // SAFETY: there is none, which is the point: the host must look for itself.
    unsafe { String::from_raw_parts(text.as_mut_ptr(), size, size) }
}

/// A text that is not UTF-8.
fn broken_text() -> String {
    // SAFETY: as above.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe]) }
}

thread_local! {
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Keeps so many bytes more with each call, as a module does that forgets to forget.
fn hoard(size: usize) -> Answer {
    HOARD.with_borrow_mut(|hoard| hoard.push(black_box(vec![1; size])));
    None
}

/// Works for so many microseconds at most. A guest has no clock: this many rounds take 0.6 of one on a fast machine, and one on a
/// slow one.
fn busy(microseconds: usize) -> Answer {
    const ROUNDS: usize = 600;
    let mut number = 1_u64;
    for _ in 0..microseconds.saturating_mul(ROUNDS) {
        // Each round needs the result of the one before, so that a processor cannot do several at once.
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    black_box(number);
    None
}

fn log_flood(lines: usize) -> Answer {
    for number in 0..lines {
        log::line(Level::Info, &format!("line {number}"));
    }
    None
}

fn long_line(bytes: usize) -> Answer {
    log::line(Level::Info, &"x".repeat(bytes));
    None
}
