//! Whatever stands in the list of the files that are appended to, whatever their names are, and whatever a module says in a line.

use sluicebox_contract::Message;
use sluicebox_testkit::fuzz::Fuzz;

use super::known::parse;
use super::line::Line;
use super::names::{base, check, rotated};

#[test]
fn the_list_of_appended_files_is_read_or_refused_with_words() {
    let samples = [
        r#"{"version":1,"appended":[{"name":"a.csv","began-unix-milliseconds":1700000000000}]}"#,
        r#"{"version":1,"appended":[{"name":"../x","began-unix-milliseconds":18446744073709551615}]}"#,
    ];
    Fuzz::of(samples).run(|input, _| match parse(input) {
        Ok(names) => assert!(names.len() <= 10_000.min(input.len())),
        Err(words) => assert!((1..1000).contains(&words.len()), "{words}"),
    });
}

#[test]
fn a_name_and_its_rotated_ones_belong_together() {
    Fuzz::of(["a.csv", "a.csv.1", "a.1000", ".1", "a.01"]).longest(400).run(|input, dice| {
        let name = String::from_utf8_lossy(input).into_owned();
        if check(&name).is_ok() {
            let number = u32::try_from(1 + dice.below(1000)).unwrap();
            let rotated = rotated(&name, number);
            assert!(rotated.len() <= 255);
            assert_eq!(base(&rotated), Some(name.as_str()));
        }
        if let Some(base) = base(&name) {
            assert!(name.starts_with(base) && base.len() < name.len());
        }
    });
}

#[test]
fn a_line_ends_with_its_only_line_break_or_is_refused_with_words() {
    Fuzz::of(["1,2,3\n", "a\r\n", "a\nb"]).run(|input, dice| {
        let heading =
            dice.one_in(2).then(|| ("heading".to_owned(), String::from_utf8_lossy(input).chars().take(dice.below(50)).collect()));
        let message = Message { headers: heading.into_iter().collect(), body: input.to_vec(), ..Message::default() };
        match Line::new(7, message) {
            Ok(Some(line)) => {
                assert!(line.bytes.is_empty() || line.bytes.ends_with(b"\n"));
                assert!(line.bytes.len() <= input.len() + 1);
                assert!(
                    line.heading.is_none_or(|heading| heading.iter().position(|byte| *byte == b'\n') == Some(heading.len() - 1))
                );
            }
            Ok(None) => assert!(input.is_empty() || input == b"\n", "{}", input.escape_ascii()),
            Err(words) => assert!((1..1000).contains(&words.len()), "{words}"),
        }
    });
}
