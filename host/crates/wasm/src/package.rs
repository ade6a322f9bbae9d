//! Which versions of `sluicebox:module` this host accepts, and how names of that package are read.

/// The package that modules are made for.
pub(crate) const PACKAGE: &str = "sluicebox:module/";

/// What a refusal says.
pub(crate) const ACCEPTED: &str = "0.2.x and 0.1.x";

/// A minor version of the package that this host accepts. In WIT as in Cargo, 0.2.2 adds to 0.2.1, so patch versions do not count:
/// wasmtime finds whatever patch version a component names when it is asked for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// That of `wit/`.
    Today,
    /// The one before.
    Before,
}

impl Package {
    /// The name of one of its interfaces.
    pub(crate) fn interface(self, interface: &str) -> String {
        format!("{PACKAGE}{interface}@{}", self.version())
    }

    /// Its first version, in full.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Today => "0.2.0",
            Self::Before => "0.1.0",
        }
    }

    /// The interfaces that a module may export.
    pub(crate) fn known(self) -> &'static [&'static str] {
        match self {
            Self::Today => &[
                "lifecycle",
                "subjects",
                "state",
                "pod-handler",
                "object-handler",
                "sample-handler",
                "connection-handler",
                "service-handler",
                "node-handler",
                "inventory-handler",
                "series-handler",
                "types",
            ],
            Self::Before => &["lifecycle", "subjects", "pod-handler", "object-handler", "types"],
        }
    }

    /// That of a version in full, if it is accepted.
    pub(crate) fn of(version: &str) -> Option<Self> {
        let (package, patch) = match version.strip_prefix("0.2.") {
            Some(patch) => (Self::Today, patch),
            None => (Self::Before, version.strip_prefix("0.1.")?),
        };
        // What follows a hyphen was never released, and promises nothing; what follows a plus sign means nothing.
        let patch = patch.split_once('+').map_or(patch, |(patch, _)| patch);
        (!patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())).then_some(package)
    }
}

/// The interface and the version of a name of our package.
pub(crate) fn ours(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?;
    Some(interface.split_once('@').unwrap_or((interface, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_minor_version_and_the_one_before_are_accepted_with_any_patch() {
        for version in ["0.2.0", "0.2.17", "0.2.1+built.today"] {
            assert_eq!(Package::of(version), Some(Package::Today), "{version}");
        }
        for version in ["0.1.0", "0.1.3"] {
            assert_eq!(Package::of(version), Some(Package::Before), "{version}");
        }
    }

    #[test]
    fn no_other_version_is_accepted() {
        for version in ["0.3.0", "0.0.9", "1.2.0", "0.20.0", "0.10.1", "0.2.0-rc.1", "0.2.", "0.2", ""] {
            assert_eq!(Package::of(version), None, "{version}");
        }
    }

    #[test]
    fn a_name_has_an_interface_and_a_version() {
        assert_eq!(ours(&Package::Today.interface("log")), Some(("log", "0.2.0")));
        assert_eq!(ours("sluicebox:module/log"), Some(("log", "")));
        assert_eq!(ours("wasi:cli/run@0.2.0"), None);
    }
}
