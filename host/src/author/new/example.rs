//! A module in another language: the example of `guest-sdk/examples`, under a name of its own, with its cases and the interface.

use super::super::arguments::Language;
use super::Scaffold;

/// Paths below a folder, and what the files hold.
type Files = &'static [(&'static str, &'static str)];

/// The files of a folder as they are in the sources.
macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../", $folder, "/", $path)))),*]
    };
}

const C: Files = files!("guest-sdk/examples/c": ".gitignore" "README.md" "namespace_lines.c" "settings.h" "text.h");
const JAVASCRIPT: Files =
    files!("guest-sdk/examples/javascript": ".gitignore" "README.md" "namespace-lines.js" "package-lock.json" "package.json");
const PYTHON: Files = files!("guest-sdk/examples/python": ".gitignore" "README.md" "app.py" "requirements.txt");
const GO: Files = files!("guest-sdk/examples/go":
    ".gitignore" "README.md"
    "export_sluicebox_module_lifecycle/export.go" "export_sluicebox_module_pod_handler/export.go"
    "export_sluicebox_module_sample_handler/export.go" "export_sluicebox_module_subjects/export.go"
    "lines/lines.go" "lines/pods.go" "lines/samples.go" "package-lock.json" "package.json"
    "stand-in/go.mod" "stand-in/wit/runtime/runtime.go" "stand-in/wit/types/types.go" "wasi.wat");

const CASES: Files = files!("guest-sdk/examples/cases":
    "a_pod_is_told_when_its_phase_changes.json" "a_pod_of_another_namespace_is_passed_over.json"
    "an_empty_namespace_is_refused.json" "an_unknown_setting_is_refused.json"
    "texts_are_escaped_as_json_wants_it.json" "what_a_container_uses_is_a_line.json");
const WORLD: Files = files!("guest-sdk/examples/wit": "world.wit");
const INTERFACE: Files = files!("wit":
    "connection-handler.wit" "inventory-handler.wit" "lifecycle.wit" "log.wit" "node-handler.wit" "object-handler.wit"
    "pod-handler.wit" "sample-handler.wit" "series-handler.wit" "service-handler.wit" "state.wit" "subjects.wit" "types.wit"
    "world.wit");

/// What the interface language, or a tool on the way to a component, has a meaning for already.
const TAKEN: [&str; 40] = [
    "app",
    "as",
    "async",
    "bool",
    "borrow",
    "char",
    "constructor",
    "core",
    "embedded",
    "enum",
    "export",
    "f32",
    "f64",
    "flags",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "merged",
    "module",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "use",
    "variant",
    "world",
];

pub(super) fn scaffold(name: &str, language: Language) -> Result<Scaffold, String> {
    if TAKEN.contains(&name) || is_number(name) {
        return Err(format!("`{name}` means something else to the tools that make components\nhint: take another name"));
    }
    // A word of the interface language begins with a letter.
    if name.split('-').any(|word| !word.starts_with(|first: char| first.is_ascii_lowercase())) {
        return Err(format!("`{name}` is no name of the interface language\nhint: begin each word with a letter"));
    }
    let (called, own) = match language {
        Language::Rust => return Err("Rust has the SDK".to_owned()),
        Language::C => ("C", C),
        Language::Javascript => ("JavaScript", JAVASCRIPT),
        Language::Python => ("Python", PYTHON),
        Language::Go => ("Go", GO),
    };
    let folders = [("", own), ("cases/", CASES), ("wit/", WORLD), ("wit/deps/sluicebox-module/", INTERFACE)];
    let files: Vec<(String, String)> = folders
        .into_iter()
        .flat_map(|(folder, files)| files.iter().map(move |(path, text)| (folder, path, text)))
        .map(|(folder, path, text)| (renamed(&format!("{folder}{path}"), name), filled(text, name, called)))
        .collect();
    let readme = files.iter().find(|(path, _)| path == "README.md").map_or("", |(_, text)| text);
    let commands = ["## Build\n", "## Test\n"].map(|heading| block(readme, heading)).concat();
    let what = format!("a module in {called} that makes lines of pods and of what containers use");
    Ok(Scaffold { files, what, commands })
}

fn is_number(name: &str) -> bool {
    matches!(name.split_at_checked(1), Some(("s" | "u", bits)) if ["8", "16", "32", "64"].contains(&bits))
}

/// The example lies beside the cases and the interface; a module of its own has them within.
fn filled(text: &str, name: &str, called: &str) -> String {
    renamed(text, name)
        .replace("../wit", "wit")
        .replace("../cases", "cases")
        .replace(&format!("# The example in {called}\n"), &format!("# {name}\n"))
}

fn renamed(text: &str, name: &str) -> String {
    text.replace("namespace-lines", name).replace("namespace_lines", &name.replace('-', "_"))
}

/// The first block of commands below a heading.
fn block<'a>(readme: &'a str, heading: &str) -> &'a str {
    let below = readme.split_once(heading).map_or("", |(_, below)| below);
    let block = below.split_once("```sh\n").map_or("", |(_, block)| block);
    block.split_once("```").map_or("", |(block, _)| block)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    const LANGUAGES: [(Language, &str, Files); 4] = [
        (Language::C, "c", C),
        (Language::Javascript, "javascript", JAVASCRIPT),
        (Language::Python, "python", PYTHON),
        (Language::Go, "go", GO),
    ];

    /// The files below a folder, but for what its list of what git ignores names.
    fn below(folder: &Path, inside: &str, ignored: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if ignored.lines().any(|line| line.trim_matches('/') == name) {
                continue;
            }
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                below(&entry.path(), &format!("{inside}{name}/"), "", found);
            } else if kind.is_file() {
                found.insert(format!("{inside}{name}"));
            }
        }
    }

    fn check(folder: &str, files: Files) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap_or_default();
        let mut found = BTreeSet::new();
        below(&folder, "", &ignored, &mut found);
        let listed: BTreeSet<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, found, "{}", folder.display());
    }

    #[test]
    fn nothing_of_the_examples_and_of_the_interface_is_left_out() {
        for (_, folder, files) in LANGUAGES {
            check(&format!("guest-sdk/examples/{folder}"), files);
        }
        check("guest-sdk/examples/cases", CASES);
        check("wit", INTERFACE);
    }

    #[test]
    fn the_example_becomes_a_module_that_stands_by_itself() {
        for (language, folder, _) in LANGUAGES {
            let scaffold = scaffold("pod-lines", language).unwrap();
            for (path, text) in &scaffold.files {
                assert!(!path.contains("namespace") || path.starts_with("cases/a"), "{path}");
                for left in ["namespace-lines", "namespace_lines", "../", "The example in"] {
                    assert!(!text.contains(left), "{folder}: {path} has {left}: {text}");
                }
            }
            let file = |name: &str| &scaffold.files.iter().find(|(path, _)| path == name).unwrap().1;
            assert!(file("wit/world.wit").contains("world pod-lines {"), "{folder}");
            assert!(file("README.md").starts_with("# pod-lines\n"), "{folder}");
            assert!(file("wit/deps/sluicebox-module/types.wit").starts_with("/// "), "{folder}");
            assert!(
                scaffold.commands.ends_with("sluicebox module test cases --module pod-lines.wasm\n"),
                "{}",
                scaffold.commands
            );
            assert!(scaffold.commands.lines().count() > 2, "{}", scaffold.commands);
        }
    }

    #[test]
    fn a_name_that_the_tools_would_stumble_over_is_refused() {
        for bad in ["list", "u8", "s64", "module", "app", "pods-2", "pods--lines"] {
            assert!(scaffold(bad, Language::C).is_err(), "{bad}");
        }
        assert!(scaffold("pods2-lines", Language::C).is_ok());
    }
}
