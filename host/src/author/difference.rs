//! What was expected beside what came, line by line, as people read differences: `-` was expected, `+` came, `^` marks the place.

use serde_json::Value;
use similar::{ChangeTag, InlineChangeMode, InlineChangeOptions, TextDiff};

use super::layout;
use crate::harmless;

/// Lines that are shown around each difference.
const CONTEXT: usize = 3;

/// A text of lines, each with this margin; it ends without a line break.
pub(super) fn difference(wanted: &[Value], made: &[Value], margin: &str) -> String {
    let (wanted, made) = (page(wanted), page(made));
    let diff = TextDiff::from_lines(wanted.as_str(), made.as_str());
    // By letter: what is one word in JSON without white space is long.
    let mut options = InlineChangeOptions::new();
    options.mode(InlineChangeMode::Chars).semantic_cleanup(true);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if number > 0 {
            lines.push(format!("{margin}  …"));
        }
        for change in group.iter().flat_map(|operation| diff.iter_inline_changes_with_options(operation, options)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let (text, marks) = marked(change.values());
            lines.push(format!("{margin}{sign} {text}").trim_end().to_owned());
            if let Some(marks) = marks {
                lines.push(format!("{margin}  {marks}"));
            }
        }
    }
    lines.join("\n")
}

/// The entries with every field on a line of its own, so that equal fields stand beside each other however long the others are.
fn page(entries: &[Value]) -> String {
    let mut page = String::new();
    for entry in entries {
        let entry = layout::entry(entry);
        page.push_str(&harmless::json(&serde_json::to_string_pretty(&entry).unwrap_or_else(|_| entry.to_string())));
        page.push('\n');
    }
    page
}

/// The line, and what stands below its emphasised parts, where it has some.
fn marked(parts: &[(bool, &str)]) -> (String, Option<String>) {
    let (mut text, mut marks) = (String::new(), String::new());
    for (emphasised, part) in parts {
        let part = part.trim_end_matches('\n');
        text.push_str(part);
        marks.extend(part.chars().map(|_| if *emphasised { '^' } else { ' ' }));
    }
    let marks = marks.trim_end().to_owned();
    (text, (!marks.is_empty()).then_some(marks))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_place_is_marked() {
        let wanted = [json!({"message": {"body": "hello web"}}), json!({"message": {"body": "bye"}})];
        let made = [json!({"message": {"body": "hello x7"}}), json!({"message": {"body": "bye"}})];
        let expected = concat!(
            "    {\n",
            "      \"message\": {\n",
            "  -     \"body\": \"hello web\"\n",
            "                       ^^^\n",
            "  +     \"body\": \"hello x7\"\n",
            "                       ^^\n",
            "      }\n",
            "    }\n",
            "    {",
        );
        assert_eq!(difference(&wanted, &made, "  "), expected);
    }

    #[test]
    fn json_within_a_body_is_laid_out_and_terminals_are_spared() {
        let body =
            |value: u32| json!({"message": {"body": json!({"name": "x".repeat(80), "value": value, "b": "\u{9b}"}).to_string()}});
        let text = difference(&[body(1)], &[body(2)], "");
        assert!(text.contains("\n-           \"value\": 1") && text.contains("\n+           \"value\": 2"), "{text}");
        assert!(!text.contains('\u{9b}'), "{text}");
    }

    #[test]
    fn an_entry_too_few_or_too_many_is_a_line_of_its_own() {
        let entry = json!({"forget": {"name": "a"}});
        let lines = ["{", "  \"forget\": {", "    \"name\": \"a\"", "  }", "}"];
        assert_eq!(difference(std::slice::from_ref(&entry), &[], ""), lines.map(|line| format!("- {line}")).join("\n"));
        assert_eq!(difference(&[], &[entry], ""), lines.map(|line| format!("+ {line}")).join("\n"));
    }
}
