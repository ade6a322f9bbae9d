//! Queries with places to fill in: `{{name}}`. Pure. PromQL knows no two braces in a row, and the configuration keeps `${name}` for the environment.

/// Why a template cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("`{{{{{0}}}}}` is no variable here")]
    Unknown(String),
    #[error("`{{{{` is not closed by `}}}}`")]
    Open,
}

/// Fills in what `value` knows of each name.
pub(super) fn fill<'value>(template: &str, value: impl Fn(&str) -> Option<&'value str>) -> Result<String, Unfit> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(Unfit::Open)?;
        filled.push_str(before);
        filled.push_str(value(name.trim()).ok_or_else(|| Unfit::Unknown(name.trim().to_owned()))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let value = |name: &str| match name {
            "metric" => Some("up"),
            "window" => Some("1m"),
            "empty" => Some(""),
            _ => None,
        };
        fill(template, value).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn names_are_replaced_and_all_else_stays() {
        for (template, expected) in [
            ("", ""),
            ("sum({{metric}}[{{ window }}])", "sum(up[1m])"),
            (r#"{{metric}}{a="b"{{empty}}}"#, r#"up{a="b"}"#),
            (r#"label_replace({{metric}}, "pod", "$1", "x", "(.+)")"#, r#"label_replace(up, "pod", "$1", "x", "(.+)")"#),
            ("a } } b { c }}", "a } } b { c }}"),
        ] {
            assert_eq!(filled(template), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_is_not_known_or_not_closed_is_named() {
        assert_eq!(filled("{{metrics}}"), Err("`{{metrics}}` is no variable here".to_owned()));
        assert_eq!(filled("x {{metric"), Err("`{{` is not closed by `}}`".to_owned()));
    }
}
