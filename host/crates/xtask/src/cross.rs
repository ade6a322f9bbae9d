//! Compiles for another platform than this one, by the C compiler that Debian names after it: `crossbuild-essential-arm64`, for example, has it.

use std::process::Command;

use anyhow::Result;

use crate::toolchain;

/// Tells cargo, and what it starts, how to compile for a platform; what the environment says already stays.
///
/// That platform's standard library is added by rustup where it is missing. Nothing is told for the platform of the compiler in use.
pub(crate) fn prepare(cargo: &mut Command, target: &str) -> Result<()> {
    toolchain::provide(target)?;
    if target == toolchain::host()? {
        return Ok(());
    }
    for (name, program) in programs(target) {
        if std::env::var_os(&name).is_none() {
            cargo.env(name, program);
        }
    }
    Ok(())
}

/// The programs, each under the variable that names it. librdkafka asks for `CC` without any platform in its name, so that has to be the one of
/// the target; build scripts that run here are told by `HOST_CC`.
fn programs(target: &str) -> Vec<(String, String)> {
    let tools = target.replace("-unknown-", "-");
    let linker = format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase());
    let there = [("CC", "gcc"), ("CXX", "g++"), ("AR", "ar"), ("RANLIB", "ranlib"), (linker.as_str(), "gcc")]
        .map(|(name, program)| (name.to_owned(), format!("{tools}-{program}")));
    let here = [("HOST_CC", "cc"), ("HOST_CXX", "c++"), ("HOST_AR", "ar"), ("HOST_RANLIB", "ranlib")]
        .map(|(name, program)| (name.to_owned(), program.to_owned()));
    there.into_iter().chain(here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_bear_the_names_that_debian_gives_them() {
        let programs = programs("aarch64-unknown-linux-gnu");
        let told = |name: &str| programs.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(told("CC"), "aarch64-linux-gnu-gcc");
        assert_eq!(told("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"), "aarch64-linux-gnu-gcc");
        assert_eq!(told("HOST_CC"), "cc");
    }

    #[test]
    fn for_the_platform_of_this_machine_nothing_is_told() {
        let mut cargo = Command::new("cargo");
        prepare(&mut cargo, &toolchain::host().unwrap()).unwrap();
        assert_eq!(cargo.get_envs().count(), 0);
    }
}
