//! Which number stands where: program, SDK, modules, chart, manifests and image bear one; the WIT package counts by itself. The image is made by
//! the compiler that the sources demand, of what is in their folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, list, text};

/// The program's, which is that of the workspace.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
const PACKAGE: &str = "package sluicebox:module@";

/// Where the program's number stands: the file, and the words before it.
const OF_THE_PROGRAM: [(&str, &str); 8] = [
    ("deploy/chart/sluicebox/Chart.yaml", "\nversion: "),
    ("deploy/chart/sluicebox/Chart.yaml", "\nappVersion: "),
    ("deploy/kustomize/base/node/kustomization.yaml", TAG),
    ("deploy/kustomize/base/cluster/kustomization.yaml", TAG),
    ("deploy/image/Containerfile", "\nARG VERSION="),
    ("deploy/README.md", "\n| the program, its modules, the SDK | "),
    ("deploy/README.md", "\n| the chart, the manifests, the image | "),
    ("CHANGELOG.md", "Program and chart "),
];
/// Where that of the WIT package stands.
const OF_THE_PACKAGE: [(&str, &str); 4] = [
    ("guest-sdk/src/lib.rs", "\npub const INTERFACE: &str = \""),
    ("host/crates/wasm/src/package.rs", "Self::Today => \""),
    ("deploy/README.md", "\n| the WIT package | "),
    ("CHANGELOG.md", "WIT package "),
];
const TAG: &str = "- name: sluicebox\n    newTag: ";
/// A tag of the image in anything that is typed or applied; `sluicebox:dev` and the like are no release.
const TAGS: [&str; 2] = [TAG, "sluicebox:"];

const RECIPE: &str = "deploy/image/Containerfile";
/// The oldest compiler that the sources can be compiled by.
const COMPILER: &str = env!("CARGO_PKG_RUST_VERSION");

/// Every place at which another number stands than should, as a sentence.
pub(crate) fn disagreements() -> Result<Vec<String>> {
    let package = package()?;
    let mut all = Vec::new();
    for (places, wanted) in [(OF_THE_PROGRAM.as_slice(), PROGRAM), (OF_THE_PACKAGE.as_slice(), package.as_str())] {
        for (file, before) in places {
            let words = read(&workspace::root().join(file))?;
            if numbers(&words, before).is_empty() {
                all.push(format!("{file}: no version behind `{}`", before.trim()));
            }
            all.extend(others(file, &words, before, wanted));
        }
    }
    for package in list(&workspace::metadata()?, "packages").filter(|package| text(package, "source").is_empty()) {
        let (name, version) = (text(package, "name"), text(package, "version"));
        if version != PROGRAM {
            all.push(format!("the package {name} has the version {version}; cure: version.workspace = true"));
        }
    }
    tags(&workspace::root().join("deploy"), &mut all)?;
    all.extend(sections(&read(&workspace::root().join("CHANGELOG.md"))?));
    all.extend(recipe(&read(&workspace::root().join(RECIPE))?));
    Ok(all)
}

/// What the recipe of the image would fail for after its long build, or at once.
fn recipe(words: &str) -> Vec<String> {
    let mut all = Vec::new();
    let builder = format!("/library/rust:{COMPILER}-");
    if !words.lines().any(|line| line.starts_with("ARG BUILDER=") && line.contains(&builder)) {
        all.push(format!("{RECIPE}: BUILDER should be {builder}…, as `rust-version` in Cargo.toml says"));
    }
    let installs = words
        .lines()
        .filter_map(|line| line.split_once("install -D -m 0644 -t "))
        .flat_map(|(_, files)| files.split(' ').skip(1));
    for file in installs.filter(|file| !file.is_empty() && !file.starts_with("target/")) {
        if !workspace::root().join(file).is_file() {
            all.push(format!("{RECIPE}: there is no {file}"));
        }
    }
    all
}

/// That of the WIT package, which one file states.
fn package() -> Result<String> {
    let words = read(&workspace::root().join("wit/world.wit"))?;
    match numbers(&words, PACKAGE).as_slice() {
        [one] => Ok((*one).to_owned()),
        _ => bail!("wit/world.wit does not state one version"),
    }
}

/// The tags of the image in every file of a folder and of those below.
fn tags(folder: &Path, all: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            tags(&path, all)?;
        } else if let Ok(words) = fs::read_to_string(&path) {
            let shown = path.strip_prefix(workspace::root()).unwrap_or(&path).display().to_string();
            all.extend(TAGS.iter().flat_map(|before| others(&shown, &words, before, PROGRAM)));
        }
    }
    Ok(())
}

/// A sentence for each number behind these words that is not the one that is wanted.
fn others(file: &str, words: &str, before: &str, wanted: &str) -> Vec<String> {
    let others = numbers(words, before).into_iter().filter(|number| *number != wanted);
    others.map(|number| format!("{file}: `{}{number}` should be {wanted}", before.trim_start())).collect()
}

/// The versions that stand behind these words, each time that they stand there; what begins with no digit is none.
fn numbers<'w>(words: &'w str, before: &str) -> Vec<&'w str> {
    let behind = words.match_indices(before).filter_map(|(at, _)| words.get(at + before.len()..));
    let number = |rest: &'w str| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && !".-+".contains(letter)).next();
    behind
        .filter_map(number)
        .map(|number| number.trim_end_matches('.'))
        .filter(|number| number.starts_with(|letter: char| letter.is_ascii_digit()))
        .collect()
}

/// The list of changes has what is to come on top, or the section of this version.
fn sections(changes: &str) -> Option<String> {
    let first = changes.lines().find_map(|line| line.strip_prefix("## "));
    let first = first.unwrap_or_default();
    let is_of_this_version = numbers(first, "[").first() == Some(&PROGRAM);
    let fine = first == "Unreleased" || is_of_this_version;
    (!fine).then(|| format!("CHANGELOG.md: `## {first}` should be `## Unreleased`, or `## [{PROGRAM}] - DATE`"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_what_it_should_be() {
        assert_eq!(disagreements().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn another_number_is_told_with_its_place() {
        let chart = "\nname: x\nversion: 0.9.0\nappVersion: 0.9.0-rc.1\n";
        assert_eq!(others("Chart.yaml", chart, "\nversion: ", "0.9.0"), [""; 0]);
        assert_eq!(
            others("Chart.yaml", chart, "\nappVersion: ", "0.9.0"),
            ["Chart.yaml: `appVersion: 0.9.0-rc.1` should be 0.9.0"]
        );
    }

    #[test]
    fn a_tag_that_is_no_release_does_not_count() {
        assert_eq!(numbers("push R/sluicebox:0.1.0; run sluicebox:dev, sluicebox: 3", "sluicebox:"), ["0.1.0"]);
    }

    #[test]
    fn a_recipe_by_another_compiler_or_of_a_file_that_is_not_there_is_told() {
        let fine = format!(
            "ARG BUILDER=docker.io/library/rust:{COMPILER}-bookworm\n    && install -D -m 0644 -t /out target/x LICENSE\n"
        );
        assert_eq!(recipe(&fine), [""; 0]);
        assert_eq!(recipe(&fine.replace("LICENSE", "LICENCE")), [format!("{RECIPE}: there is no LICENCE")]);
        assert_eq!(recipe(&fine.replace(COMPILER, "1.0")).len(), 1);
    }

    #[test]
    fn the_newest_section_is_what_is_to_come_or_this_version() {
        assert_eq!(sections("# Changes\n## Unreleased\n"), None);
        assert_eq!(sections(&format!("# Changes\n## [{PROGRAM}] - 2031-01-01\n")), None);
        assert!(sections("# Changes\n## [0.0.1] - 2031-01-01\n## Unreleased\n").is_some());
        assert!(sections("# Changes\n").is_some());
    }
}
