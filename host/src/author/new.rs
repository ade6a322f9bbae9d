//! `sluicebox module new`: a folder that compiles and whose tests hold, from the first minute on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::{Language, NewArguments};
use crate::say;

/// The files of a module in Rust: where they go, and what they hold.
const RUST: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("new/rust/config.toml.in")),
    (".gitignore", include_str!("new/rust/gitignore.in")),
    ("README.md", include_str!("new/rust/README.md.in")),
    ("src/lib.rs", include_str!("new/rust/lib.rs.in")),
    ("tests/cases.rs", include_str!("new/rust/cases.rs.in")),
    ("cases/a_pod_is_greeted.json", include_str!("new/rust/a_pod_is_greeted.json.in")),
    ("cases/an_empty_greeting_is_refused.json", include_str!("new/rust/an_empty_greeting_is_refused.json.in")),
];

/// Characters of a name, at most.
const LONGEST_NAME: usize = 63;

/// Makes the folder and says what to type next.
pub(super) fn new(arguments: &NewArguments) -> ExitCode {
    let Language::Rust = arguments.language;
    let folder = &arguments.folder;
    let made = name(folder).and_then(|name| {
        let sdk = match &arguments.sdk {
            Some(sdk) => given(sdk)?,
            None => found()?,
        };
        let files = files(&name, &sdk);
        write(folder, &files).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(name)
    });
    match made {
        Ok(name) => {
            say::line(next(folder, &name));
            ExitCode::SUCCESS
        }
        Err(error) => say::wrong(error),
    }
}

/// The name of the module is that of its folder: one that Cargo takes, and a lane.
fn name(folder: &Path) -> Result<String, String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_fine = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        && name.len() <= LONGEST_NAME;
    if !is_fine {
        return Err(format!(
            "`{name}` is no name for a module\nhint: write small letters, digits and hyphens, a letter first, such as `pod-greeter`"
        ));
    }
    // What it is linked with has these names already.
    if ["serde", "sluicebox-sdk", "test", "core", "std", "alloc"].contains(&name.as_str()) {
        return Err(format!("`{name}` is the name of a Rust library that every module knows\nhint: take another one"));
    }
    if folder.exists() {
        return Err(format!("{} is there already\nhint: take another name, or remove it", folder.display()));
    }
    Ok(name)
}

/// How the manifest names the SDK.
fn given(sdk: &str) -> Result<String, String> {
    if sdk.contains("://") || sdk.starts_with("git@") {
        return Ok(format!("{{ git = {} }}", quoted(sdk)));
    }
    let path = Path::new(sdk);
    let canonical = path.canonicalize().map_err(|error| format!("cannot find the SDK at {sdk}: {error}"))?;
    if !is_sdk(&canonical) {
        return Err(format!("{sdk} is not the SDK\nhint: it is the folder `guest-sdk` of sluicebox's sources"));
    }
    Ok(format!("{{ path = {} }}", quoted(&canonical.to_string_lossy())))
}

/// The SDK of the sources that this folder lies in or beside.
fn found() -> Result<String, String> {
    let here = std::env::current_dir().map_err(|error| format!("cannot tell which folder this is: {error}"))?;
    let places = here.ancestors().flat_map(|folder| [folder.join("guest-sdk"), folder.join("sluicebox/guest-sdk")]);
    let sdk: Option<PathBuf> = places.into_iter().find(|place| is_sdk(place));
    let sdk = sdk.ok_or(
        "the SDK is not to be found from here\nhint: `--sdk` names it: the folder `guest-sdk` of sluicebox's sources, or their git address",
    )?;
    given(&sdk.to_string_lossy())
}

fn is_sdk(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("name = \"sluicebox-sdk\""))
}

/// A string of TOML; JSON's are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn files(name: &str, sdk: &str) -> Vec<(&'static str, String)> {
    let words = name.split('-').filter(|word| !word.is_empty());
    let type_name: String = words
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect();
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{crate}}", &name.replace('-', "_"))
            .replace("{{type}}", &type_name)
            .replace("{{sdk}}", sdk)
            .replace("{{component}}", &component(name))
    };
    RUST.iter().map(|(path, text)| (*path, fill(text))).collect()
}

fn component(name: &str) -> String {
    format!("target/wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_"))
}

fn write(folder: &Path, files: &[(&str, String)]) -> io::Result<()> {
    fs::create_dir_all(folder.parent().unwrap_or(Path::new(".")))?;
    // Fails when somebody else was faster: nothing of theirs is written over.
    fs::create_dir(folder)?;
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn next(folder: &Path, name: &str) -> String {
    let component = component(name);
    format!(
        "made {folder}: a module in Rust that greets pods, with its cases. Next:\n\n  \
         cd {folder}\n  \
         rustup target add wasm32-unknown-unknown\n  \
         cargo test\n  \
         cargo build --release --target wasm32-unknown-unknown\n  \
         sluicebox module test cases --module {component}\n\n\
         README.md says what each file is, and how it runs in a collector.",
        folder = folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_and_a_lane_take() {
        assert_eq!(name(Path::new("some/where/pod-greeter2")), Ok("pod-greeter2".to_owned()));
        for bad in ["", "Pod", "pod_greeter", "2pods", "-pods", "pods-", "pods greeter", "..", "serde", "test"] {
            assert!(name(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for (path, text) in files("pod-greeter", "{ git = \"https://git.example/sluicebox\" }") {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let (_, lib) = files("pod-greeter", "").into_iter().find(|(path, _)| *path == "src/lib.rs").unwrap();
        assert!(lib.contains("sluicebox_sdk::export!(PodGreeter: pods);"));
    }

    #[test]
    fn an_address_is_taken_as_it_is_and_a_folder_must_be_the_sdk() {
        assert_eq!(given("https://git.example/a\"b"), Ok("{ git = \"https://git.example/a\\\"b\" }".to_owned()));
        assert!(given("/nowhere").unwrap_err().starts_with("cannot find the SDK at /nowhere"));
        assert!(given("/").unwrap_err().starts_with("/ is not the SDK"));
    }
}
