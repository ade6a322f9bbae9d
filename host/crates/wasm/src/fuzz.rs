//! Whatever is handed in as a component, and whatever a module hands over, as far as it is read in this process.

use sluicebox_contract::{Entry, Saved};
use sluicebox_testkit::fuzz::{Dice, Fuzz};

use crate::binary::inspect;
use crate::bindings::sluicebox::module::types;
use crate::convert::{entries, restored, saved as taken_over};
use crate::limits::Limits;
use crate::package::{Package, ours};
use crate::probe::{unknown, version};
use crate::text::readable;

#[test]
fn the_outer_form_of_a_component_is_understood_or_named_with_a_cure() {
    let mut whole = b"\0asm\x0d\0\x01\0".to_vec();
    whole.extend(b"\0\x0d\x07version1.2.3\x01\x02ab\0\x05\x04name");
    let samples =
        [whole.clone(), whole[..8].to_vec(), b"\0asm\x01\0\0\0".to_vec(), b"(component)".to_vec(), b"\x1f\x8b".to_vec()];
    Fuzz::of(samples).words(["\0\x0d\x07version", "\0\x09\x07version"]).run(|input, _| match inspect(input) {
        Ok(component) => {
            assert!(input.starts_with(b"\0asm\x0d\0\x01\0"));
            assert!(component.version.is_none_or(|version| version.len() < input.len()));
            // What can be read to its end ends there: with one byte less it is truncated, unless a section of no bytes goes.
            assert!(
                input.len() <= 10 || inspect(&input[..input.len() - 1]).is_err() || input.ends_with(b"\0") || input.len() < 12
            );
        }
        Err(mistake) => assert!((1..200).contains(&mistake.found.len()) && !mistake.cure.is_empty(), "{mistake:?}"),
    });
}

#[test]
fn names_of_our_package_have_an_accepted_version_or_are_refused_with_it() {
    let samples =
        ["sluicebox:module/log@0.2.0", "sluicebox:module/lifecycle@0.1.3+a", "wasi:cli/run@0.2.0", "sluicebox:module/types"];
    Fuzz::of(samples).longest(300).run(|input, dice| {
        let name = String::from_utf8_lossy(input).into_owned();
        let names = vec![name.clone(), (*dice.pick(&samples).unwrap()).to_owned()];
        match version(&names[..1], &names[1..]) {
            Ok(found) => assert!(found.is_none_or(|found| Package::of(&found).is_some())),
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
        assert!(unknown(&names).iter().all(|name| ours(name).is_some()));
    });
}

fn number(text: &str, dice: &mut Dice) -> u32 {
    let within = u32::try_from(dice.below(text.len() + 2)).unwrap();
    if dice.one_in(12) { u32::try_from(dice.any() >> 32).unwrap() } else { within }
}

#[test]
fn packed_messages_are_parts_of_their_text_or_are_refused_as_a_whole() {
    Fuzz::of(["k1one-twochkthree", "ü🙂a", ""]).run(|input, dice| {
        let text = String::from_utf8_lossy(input).into_owned();
        let mut all: Vec<u32> = (0..3 * dice.below(20)).map(|_| number(&text, dice)).collect();
        if !dice.one_in(3) {
            all.sort_unstable();
        }
        let ends: Vec<types::PackedEnd> =
            all.chunks_exact(3).map(|end| types::PackedEnd { channel_end: end[0], key_end: end[1], body_end: end[2] }).collect();
        let (count, channel) = (ends.len(), dice.one_in(2).then(|| "c".repeat(dice.below(100))));
        let headers: Vec<(String, String)> = (0..dice.below(3)).map(|_| ("h".to_owned(), "v".repeat(dice.below(50)))).collect();
        let common =
            channel.as_ref().map_or(0, String::len) + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let packed = types::PackedMessages { channel, headers, text: text.clone(), ends };
        let limits = Limits { entries_per_call: dice.below(30), output_bytes_per_call: dice.below(6000), ..Limits::default() };
        match entries(types::Entries::Packed(packed), &limits) {
            Ok(found) => {
                assert!(found.len() == count && count <= limits.entries_per_call);
                assert!(common * count + text.len() <= limits.output_bytes_per_call);
                let bodies: usize =
                    found.iter().map(|entry| if let Entry::Message(message) = entry { message.body.len() } else { 0 }).sum();
                assert!(bodies <= text.len());
            }
            Err(error) => assert!(error.to_string().starts_with("it returned")),
        }
    });
}

#[test]
fn state_that_nobody_has_saved_is_refused_and_other_comes_back() {
    Fuzz::of([b"seen 7".to_vec(), vec![0xff, 0xfe, 0], "ü".into()]).run(|input, dice| {
        let saved = Saved { version: u32::try_from(dice.any() >> 32).unwrap(), data: input.to_vec() };
        match restored(&saved) {
            Ok(back) => assert_eq!(taken_over(back).data, saved.data),
            Err(_) => assert!(std::str::from_utf8(input).is_err() && input[0] != 0xff),
        }
    });
}

#[test]
fn what_a_module_says_is_shown_short_and_on_one_line() {
    Fuzz::of(["all is well: ü", "a\n\u{1b}[31mb\u{202e}"]).run(|input, dice| {
        let (text, most) = (String::from_utf8_lossy(input), dice.below(200));
        let shown = readable(&text, most);
        assert!(!shown.contains(char::is_control) && shown.len() <= 10 * most + 40, "{shown}");
    });
}
