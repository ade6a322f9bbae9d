//! Debian's packages without installing them: unpacked into the cache, with a package list of our own.
//!
//! The system's own lists and packages are read and never written: nobody needs to be root, no service starts by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Cache;
use crate::command::{self, say};

/// The suite whose packages the lab was proven with.
pub(crate) const SUITE: &str = "bookworm";

/// More are not named one by one.
const MOST_NAMES: usize = 40;
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A folder of the cache with the packages and whatever they need that the system lacks, unpacked.
pub(crate) fn unpacked(cache: &Cache, name: &str, packages: &[&str]) -> Result<PathBuf> {
    unpacked_only(cache, name, packages, |_| true)
}

/// The same with those packages only, asked for or needed, whose name is wanted.
pub(crate) fn unpacked_only(cache: &Cache, name: &str, packages: &[&str], wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    unpack(cache, name, packages, wanted, Apt::open)
}

/// The same from another suite, with what they need whether the system has it or not: versions fit each other within a suite.
pub(crate) fn unpacked_from(
    cache: &Cache,
    suite: &str,
    name: &str,
    packages: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf> {
    unpack(cache, name, packages, wanted, |cache| Apt::of_suite(cache, suite))
}

fn unpack(
    cache: &Cache,
    name: &str,
    packages: &[&str],
    wanted: impl Fn(&str) -> bool,
    open: impl Fn(&Cache) -> Result<Apt>,
) -> Result<PathBuf> {
    cache.whole(name, |folder| {
        let apt = open(cache)?;
        let archives = folder.join("archives");
        fs::create_dir(&archives)?;
        let mut missing = apt.missing(packages)?;
        missing.retain(|package| wanted(package));
        let what = if missing.len() > MOST_NAMES { format!("{} packages", missing.len()) } else { missing.join(", ") };
        say(format!("unpacking Debian's {what} into the cache (nothing is installed)"));
        command::capture(apt.get().arg("download").args(&missing).current_dir(&archives))?;
        for entry in fs::read_dir(&archives)? {
            command::capture(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(folder))?;
        }
        fs::remove_dir_all(&archives)?;
        Ok(())
    })
}

/// Downloads the parts of a source package.
pub(crate) fn source(cache: &Cache, package: &str, folder: &Path) -> Result<()> {
    let apt = Apt::open(cache)?;
    let wanted = format!("{package}/{SUITE}");
    command::capture(apt.get().args(["source", "--download-only"]).arg(wanted).current_dir(folder))?;
    Ok(())
}

/// The folders with shared libraries below an unpacked root, as a search path.
pub(crate) fn libraries(root: &Path) -> Result<String> {
    let mut folders = Vec::new();
    for library in [root.join("usr/lib"), root.join("lib")] {
        if !library.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&library).with_context(|| format!("cannot list {}", library.display()))? {
            let path = entry?.path();
            if path.is_dir() && path.to_string_lossy().ends_with("-linux-gnu") {
                folders.push(path.display().to_string());
            }
        }
    }
    Ok(folders.join(":"))
}

/// A script that starts an unpacked program with its libraries, and then is that program (same process id).
pub(crate) fn launcher(cache: &Cache, program: &str, root: &Path) -> Result<PathBuf> {
    let libraries = libraries(root)?;
    let places = ["usr/bin", "usr/sbin", "bin", "sbin"].map(|place| root.join(place).join(program));
    let path = places.iter().find(|path| path.is_file()).with_context(|| format!("the packages hold no {program}"))?;
    cache.script(program, &format!("LD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n", path.display()))
}

/// apt with a configuration of our own.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn open(cache: &Cache) -> Result<Self> {
        Self::at(cache, "apt", &sources(&mirror()?), Path::new("/var/lib/dpkg/status"))
    }

    /// Knows nothing but one suite, and of no package that it is there.
    fn of_suite(cache: &Cache, suite: &str) -> Result<Self> {
        let name = format!("apt-{suite}");
        let status = cache.make(&name)?.join("status");
        fs::write(&status, "")?;
        let lists = format!("deb {}{} {suite} main\n", options(), mirror()?);
        Self::at(cache, &name, &lists, &status)
    }

    fn at(cache: &Cache, name: &str, lists: &str, status: &Path) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            if command::find(program).is_none() {
                bail!("there is no {program}: not a Debian machine");
            }
        }
        let place = cache.make(name)?;
        for folder in ["lists/partial", "archives/partial", "parts"] {
            cache.make(&format!("{name}/{folder}"))?;
        }
        let apt = Self { configuration: place.join("apt.conf") };
        let (place, status) = (place.display(), status.display());
        let configuration = format!(
            "Dir::Etc::SourceList \"{place}/sources.list\";\n\
             Dir::Etc::SourceParts \"{place}/parts\";\n\
             Dir::State::Lists \"{place}/lists\";\n\
             Dir::Cache \"{place}\";\n\
             Dir::Cache::Archives \"{place}/archives\";\n\
             Dir::State::status \"{status}\";\n\
             Dir::Log \"{place}\";\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Retries \"3\";\n"
        );
        let fresh = cache.path(&format!("{name}/fresh"));
        let known = fs::read_to_string(&fresh).is_ok_and(|known| known == lists && !is_old(&fresh));
        fs::write(&apt.configuration, configuration)?;
        fs::write(cache.path(&format!("{name}/sources.list")), lists)?;
        if !known {
            say("fetching Debian's package lists (some seconds)");
            command::capture(apt.get().arg("update"))?;
            fs::write(&fresh, lists)?;
        }
        Ok(apt)
    }

    fn get(&self) -> Command {
        let mut get = Command::new("apt-get");
        get.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C").arg("--quiet=2");
        get
    }

    /// The packages and their dependencies, less what the system has. What is asked for by name is always in the list.
    fn missing(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut simulation = Command::new("apt-get");
        simulation
            .env("APT_CONFIG", &self.configuration)
            .env("LC_ALL", "C")
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(packages);
        let plan = command::capture(&mut simulation)?;
        let mut missing: Vec<String> =
            plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next()).map(str::to_owned).collect();
        for package in packages {
            if !missing.iter().any(|known| known == package) {
                // The system has it already, maybe in a version that our lists do not know.
                missing.push(format!("{package}/{SUITE}"));
            }
        }
        Ok(missing)
    }
}

fn is_old(file: &Path) -> bool {
    let written = fs::metadata(file).and_then(|data| data.modified()).ok();
    let age = written.and_then(|time| time.elapsed().ok());
    age.is_none_or(|age| age.as_secs() > 24 * 3600)
}

/// Who vouches for a mirror.
fn options() -> String {
    if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() }
}

fn sources(mirror: &str) -> String {
    let options = options();
    let mut suites = vec![SUITE.to_owned()];
    if let Some(own) = own_suite().filter(|own| own != SUITE) {
        suites.push(own);
    }
    let line = |kind: &str, suite: &str| format!("{kind} {options}{mirror} {suite} main\n");
    suites.iter().flat_map(|suite| [line("deb", suite), line("deb-src", suite)]).collect()
}

/// The mirror that this machine uses.
fn mirror() -> Result<String> {
    let suite = own_suite().context("this is no Debian machine, so no mirror of Debian's packages is known")?;
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]);
    let known = command::capture(&mut targets)?;
    let mirror = known.lines().find_map(|line| line.strip_suffix(&format!(" {suite} main")));
    let mirror = mirror.with_context(|| format!("apt's sources name no mirror with `{suite} main`"))?;
    Ok(mirror.trim_end_matches('/').to_owned())
}

/// The suite of this machine when it runs Debian.
fn own_suite() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let field = |name: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    (field("ID")? == "debian").then(|| field("VERSION_CODENAME")).flatten()
}
