//! A module in Rust: with the SDK, a greeter of pods.

use std::fs;
use std::path::{Path, PathBuf};

use super::Scaffold;

/// The files: where they go, and what they hold.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("rust/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("rust/config.toml.in")),
    (".gitignore", include_str!("rust/gitignore.in")),
    ("README.md", include_str!("rust/README.md.in")),
    ("src/lib.rs", include_str!("rust/lib.rs.in")),
    ("tests/cases.rs", include_str!("rust/cases.rs.in")),
    ("cases/a_pod_is_greeted.json", include_str!("rust/a_pod_is_greeted.json.in")),
    ("cases/an_empty_greeting_is_refused.json", include_str!("rust/an_empty_greeting_is_refused.json.in")),
];

/// What a module is linked with has these names already.
const TAKEN: [&str; 6] = ["serde", "sluicebox-sdk", "test", "core", "std", "alloc"];

/// Words of Rust itself, those that it keeps for later among them: no crate can be named so where it is used.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen \
    if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true \
    try type typeof unsafe unsized use virtual where while yield";

/// What the code of the module has under these names already.
const TYPES: &str = "Change Context Default Deserialize Entries Err From Into Iterator Message Module Ok Option PodEvent Pods \
    Result Settings Some String Vec";

pub(super) fn scaffold(name: &str, sdk: Option<&str>) -> Result<Scaffold, String> {
    if TAKEN.contains(&name) {
        return Err(format!("`{name}` is the name of a Rust library that every module knows\nhint: take another one"));
    }
    if KEYWORDS.split_whitespace().any(|word| word == name) {
        return Err(format!("`{name}` is a word of Rust itself\nhint: take another name, such as `{name}-module`"));
    }
    let sdk = match sdk {
        Some(sdk) => given(sdk)?,
        None => found()?,
    };
    let component = component(name);
    Ok(Scaffold {
        files: files(name, &sdk),
        what: "a module in Rust that greets pods".to_owned(),
        commands: format!(
            "rustup target add wasm32-unknown-unknown\ncargo test\ncargo build --release --target wasm32-unknown-unknown\n\
             sluicebox module test cases --module {component}\n"
        ),
    })
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

fn files(name: &str, sdk: &str) -> Vec<(String, String)> {
    let words = name.split('-').filter(|word| !word.is_empty());
    let mut type_name: String = words
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect();
    if TYPES.split_whitespace().any(|known| known == type_name) {
        type_name.push_str("Module");
    }
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{crate}}", &name.replace('-', "_"))
            .replace("{{type}}", &type_name)
            .replace("{{sdk}}", sdk)
            .replace("{{component}}", &component(name))
    };
    FILES.iter().map(|(path, text)| ((*path).to_owned(), fill(text))).collect()
}

fn component(name: &str) -> String {
    format!("target/wasm32-unknown-unknown/release/{}.wasm", name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_what_it_is_linked_with_is_refused() {
        for bad in TAKEN {
            assert!(scaffold(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_word_of_rust_is_no_name() {
        for bad in KEYWORDS.split_whitespace() {
            let error = scaffold(bad, Some("https://git.example/sluicebox")).err().unwrap();
            assert!(error.starts_with(&format!("`{bad}` is a word of Rust itself\n")), "{error}");
        }
        assert!(scaffold("self-made", Some("https://git.example/sluicebox")).is_ok());
    }

    #[test]
    fn the_type_of_a_module_is_none_that_its_code_knows_already() {
        for (name, type_name) in
            [("pods", "PodsModule"), ("string", "StringModule"), ("pod-event", "PodEventModule"), ("web", "Web")]
        {
            let (_, lib) = files(name, "").into_iter().find(|(path, _)| path == "src/lib.rs").unwrap();
            assert!(lib.contains(&format!("impl Module for {type_name} {{")), "{lib}");
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for (path, text) in files("pod-greeter", "{ git = \"https://git.example/sluicebox\" }") {
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let (_, lib) = files("pod-greeter", "").into_iter().find(|(path, _)| path == "src/lib.rs").unwrap();
        assert!(lib.contains("sluicebox_sdk::export!(PodGreeter: pods);"));
    }

    #[test]
    fn an_address_is_taken_as_it_is_and_a_folder_must_be_the_sdk() {
        assert_eq!(given("https://git.example/a\"b"), Ok("{ git = \"https://git.example/a\\\"b\" }".to_owned()));
        assert!(given("/nowhere").unwrap_err().starts_with("cannot find the SDK at /nowhere"));
        assert!(given("/").unwrap_err().starts_with("/ is not the SDK"));
    }
}
