//! Reads commands out of a README, so that what a reader types is what is run.

use anyhow::{Result, bail};

const HEADING: &str = "## Build";

/// The commands in the blocks of the language `sh` below the heading `Build`.
pub(super) fn commands(readme: &str) -> Result<String> {
    let mut commands = String::new();
    let (mut is_below, mut is_block) = (false, false);
    for line in readme.lines() {
        match line {
            "```sh" if is_below => is_block = true,
            "```" => is_block = false,
            line if is_block => {
                commands.push_str(line);
                commands.push('\n');
            }
            line if line.starts_with("## ") => is_below = line == HEADING,
            _ => {}
        }
    }
    if commands.is_empty() {
        bail!("the README has no block of the language `sh` below `{HEADING}`");
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_blocks_below_the_heading_is_a_command() {
        let readme = "# X\n```sh\nno\n```\n## Build\nSo:\n```sh\none \\\n## two\n```\n```text\nno\n```\n```sh\nthree\n```\n## More\n```sh\nno\n```\n";
        assert_eq!(commands(readme).unwrap(), "one \\\n## two\nthree\n");
        assert!(commands("## Build\nnothing\n").is_err());
    }
}
