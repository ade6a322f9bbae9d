//! What was expected beside what came, so that a reader sees where they part.

use std::fmt::Write;

use serde_json::Value;

/// None when they are equal, else a text of some lines: both lists, entry by entry, with the first difference of each pair.
pub fn difference(expected: &[Value], made: &[Value]) -> Option<String> {
    if expected == made {
        return None;
    }
    let mut text = format!("{} expected, {} made", entries(expected.len()), made.len());
    for index in 0..expected.len().max(made.len()) {
        let number = index + 1;
        let _ = match (expected.get(index), made.get(index)) {
            (Some(expected), Some(made)) if expected == made => {
                write!(text, "\n  {number}    as expected: {made}")
            }
            (Some(expected), Some(made)) => {
                let (expected, made) = (expected.to_string(), made.to_string());
                let same = same(&expected, &made);
                let margin = " ".repeat(same.chars().count());
                write!(
                    text,
                    "\n  {number} expected: {expected}\n  {number}     made: {made}\n              {margin}^ differs from here"
                )
            }
            (Some(expected), None) => write!(text, "\n  {number}  missing: {expected}"),
            (None, Some(made)) => write!(text, "\n  {number}  surplus: {made}"),
            (None, None) => Ok(()),
        };
    }
    Some(text)
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn same<'text>(one: &'text str, other: &str) -> &'text str {
    let end = one
        .char_indices()
        .zip(other.chars())
        .find(|((_, one), other)| one != other)
        .map_or(one.len().min(other.len()), |((at, _), _)| at);
    one.get(..end).unwrap_or(one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_lists_do_not_differ() {
        assert_eq!(difference(&[json!(1)], &[json!(1)]), None);
    }

    #[test]
    fn each_pair_shows_where_it_parts() {
        let text =
            difference(&[json!("same"), json!("ab1d"), json!("gone")], &[json!("same"), json!("ab2d")]).unwrap_or_default();
        let expected = concat!(
            "3 entries expected, 2 made\n",
            "  1    as expected: \"same\"\n",
            "  2 expected: \"ab1d\"\n",
            "  2     made: \"ab2d\"\n",
            "                 ^ differs from here\n",
            "  3  missing: \"gone\"",
        );
        assert_eq!(text, expected);
    }
}
