//! `sluicebox module new`: a folder that compiles and whose tests hold, from the first minute on.

mod example;
mod rust;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::{Language, NewArguments};
use crate::say;

/// Characters of a name, at most.
const LONGEST_NAME: usize = 63;

/// What a folder begins with.
struct Scaffold {
    /// Where the files go, and what they hold.
    files: Vec<(String, String)>,
    /// What it is, for a person.
    what: String,
    /// What is typed in the folder next, a command a line.
    commands: String,
}

/// Makes the folder and says what to type next.
pub(super) fn new(arguments: &NewArguments) -> ExitCode {
    let folder = &arguments.folder;
    let made = name(folder).and_then(|name| {
        let scaffold = match (arguments.language, &arguments.sdk) {
            (Language::Rust, sdk) => rust::scaffold(&name, sdk.as_deref())?,
            (_, Some(_)) => {
                return Err("`--sdk` is for modules in Rust: other languages need the interface only, which is brought".into());
            }
            (language, None) => example::scaffold(&name, language)?,
        };
        write(folder, &scaffold.files).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(scaffold)
    });
    match made {
        Ok(scaffold) => {
            say::line(next(folder, &scaffold));
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
    if folder.exists() {
        return Err(format!("{} is there already\nhint: take another name, or remove it", folder.display()));
    }
    Ok(name)
}

fn write(folder: &Path, files: &[(String, String)]) -> io::Result<()> {
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

fn next(folder: &Path, scaffold: &Scaffold) -> String {
    let folder = folder.display();
    let commands: Vec<&str> = scaffold.commands.lines().collect();
    let commands = commands.join("\n  ");
    format!(
        "made {folder}: {}, with its cases. Next:\n\n  cd {folder}\n  {commands}\n\n\
         README.md says which tools that needs, what each file is, and how it runs in a collector.",
        scaffold.what
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_and_a_lane_take() {
        assert_eq!(name(Path::new("some/where/pod-greeter2")), Ok("pod-greeter2".to_owned()));
        for bad in ["", "Pod", "pod_greeter", "2pods", "-pods", "pods-", "pods greeter", ".."] {
            assert!(name(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_typed_next_stands_below_the_folder() {
        let scaffold = Scaffold { files: Vec::new(), what: "a module in C".to_owned(), commands: "a \\\n  b\nc\n".to_owned() };
        let next = next(Path::new("x/y"), &scaffold);
        assert!(
            next.starts_with("made x/y: a module in C, with its cases. Next:\n\n  cd x/y\n  a \\\n    b\n  c\n\nREADME.md says "),
            "{next}"
        );
    }
}
