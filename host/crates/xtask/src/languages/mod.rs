//! Makes the example of `guest-sdk/examples` in each language, by the commands that stand in its README, and compares them.

mod readme;
mod tools;
mod walk;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, say};
use crate::lab::Cache;
use crate::modules::{self, Compiler};
use crate::workspace;

pub(crate) use tools::packed_go;

/// The folders of `guest-sdk/examples` that are languages. The reference in Rust is made as all modules are.
const LANGUAGES: [&str; 4] = ["c", "javascript", "python", "go"];
const REFERENCE: &str = "namespace-lines";
const COMPONENT: &str = "namespace-lines.wasm";

/// Make the example module in Rust, C, JavaScript, Python and Go, try every tool of authors on each, type through what the author's guide
/// says, and compare size, compiling, memory and speed
///
/// Each is made by the commands under `Build` in its README, in a folder of the lab's cache, and lies in target/languages/<language>.wasm
/// then. Of which language the tools cannot be had here is said, with the reason.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Leave out the table, for which the engine is built optimised
    #[arg(long)]
    without_table: bool,
    /// Only this language, and Rust
    #[arg(long)]
    language: Option<String>,
    /// Nothing but the sessions of guest-sdk/README.md
    #[arg(long)]
    walk: bool,
    /// Write what the commands of these sessions say into guest-sdk/README.md
    #[arg(long)]
    bless: bool,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let only = arguments.language.as_deref();
    let wanted = |language: &str| only.is_none_or(|only| only == language);
    if arguments.walk {
        return walk::walk(wanted, arguments.bless);
    }
    let missing = make(only, arguments.compiler)?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--package", "sluicebox", "--test", "module_tools"]);
    cargo.env("SLUICEBOX_LANGUAGES", place()).env("SLUICEBOX_MODULES", workspace::target().join("modules"));
    command::must(&mut cargo)?;
    walk::walk(|language| wanted(language) && !missing.iter().any(|missing| missing == language), arguments.bless)?;
    if arguments.without_table {
        return Ok(());
    }
    let mut cargo = workspace::cargo();
    cargo.args(["bench", "--package", "sluicebox-wasm", "--bench", "languages"]);
    cargo.env("SLUICEBOX_LANGUAGES", place());
    command::must(&mut cargo)
}

/// What belongs to every run of the tests, once they have run with what [`make`] has made: what the guide says is typed, in each language
/// whose tools could be had. How many languages that were.
pub(crate) fn as_test(missing: &[String]) -> Result<usize> {
    let is_there = |language: &str| !missing.iter().any(|missing| missing == language);
    walk::walk(is_there, false)?;
    Ok(LANGUAGES.into_iter().chain(["rust"]).filter(|language| is_there(language)).count())
}

/// Where the components lie, for the tests.
pub(crate) fn place() -> PathBuf {
    workspace::target().join("languages")
}

/// Makes them, as far as their tools can be had; of the others it is written down why not, for the tests and the table to say. Returns
/// which these are.
pub(crate) fn make(only: Option<&str>, compiler: Compiler) -> Result<Vec<String>> {
    let place = place();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    modules::compile_into(&[REFERENCE.to_owned()], compiler, &place)?;
    fs::rename(place.join(COMPONENT), place.join("rust.wasm")).context("the reference was not made")?;
    let mut missing = Vec::new();
    for language in LANGUAGES.into_iter().filter(|language| only.is_none_or(|only| only == *language)) {
        let unavailable = place.join(format!("{language}.unavailable"));
        match one(language, &place) {
            Ok(bytes) => {
                say(format!("languages: {language:<11} {bytes:>9} bytes"));
                let _ = fs::remove_file(unavailable);
            }
            Err(error) => {
                say(format!("languages: {language}: NOT MADE: {error:#}"));
                fs::write(&unavailable, format!("{error:#}"))?;
                let _ = fs::remove_file(place.join(format!("{language}.wasm")));
                missing.push(language.to_owned());
            }
        }
    }
    Ok(missing)
}

/// Makes one, unless nothing has changed since; how large it is.
fn one(language: &str, place: &Path) -> Result<u64> {
    let examples = workspace::root().join("guest-sdk/examples");
    let source = examples.join(language);
    let component = place.join(format!("{language}.wasm"));
    let stamp = place.join(format!("{language}.made-of"));
    let made_of = [&source, &examples.join("wit"), &workspace::root().join("wit")].map(|folder| contents(folder));
    let made_of = made_of.into_iter().collect::<Result<Vec<_>>>()?.concat();
    if component.is_file() && fs::read(&stamp).is_ok_and(|before| before == made_of) {
        return Ok(fs::metadata(&component)?.len());
    }
    let commands = readme::commands(&fs::read_to_string(source.join("README.md"))?)?;
    let cache = Cache::open()?;
    let tools = tools::of(language, &cache)?;

    // Nothing of what was there before may have a part in it.
    let work = format!("languages/{language}");
    if cache.path(&work).exists() {
        fs::remove_dir_all(cache.path(&work)).with_context(|| format!("cannot remove {work} from the cache"))?;
    }
    let work = cache.make(&work)?;
    let wit = cache.path("languages/wit");
    let _ = fs::remove_file(&wit);
    symlink(examples.join("wit"), &wit).with_context(|| format!("cannot link {}", wit.display()))?;
    copy(&source, &work)?;
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &commands]).current_dir(&work).envs(tools);
    command::long(
        &format!("languages: making the example in {language}"),
        &cache.log(&format!("example-{language}"))?,
        &mut shell,
    )?;
    let made = work.join(COMPONENT);
    fs::copy(&made, &component).with_context(|| format!("the commands of the README left no {}", made.display()))?;
    fs::write(&stamp, made_of)?;
    Ok(fs::metadata(&component)?.len())
}

/// All files of a folder, one after the other, each under its name.
fn contents(folder: &Path) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for path in files(folder)? {
        all.extend(path.display().to_string().into_bytes());
        all.extend(fs::read(&path)?);
    }
    Ok(all)
}

/// The files of a folder and what lies below, what git ignores left out, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap_or_default();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if ignored.lines().any(|line| Some(line.trim_matches('/')) == name.to_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(self::files(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files(from)? {
        let Ok(inside) = file.strip_prefix(from) else {
            bail!("{} lies outside of {}", file.display(), from.display());
        };
        let target = to.join(inside);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(&file, &target).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_commands_in_its_readme() {
        for language in LANGUAGES {
            let path = workspace::root().join("guest-sdk/examples").join(language).join("README.md");
            let text = fs::read_to_string(path).unwrap();
            assert!(readme::commands(&text).unwrap().contains("../wit"), "{language}");
        }
    }
}
