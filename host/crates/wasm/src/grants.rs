//! What a module may call, and whether a component asks for no more: judged by names, before anything of it is compiled.

use crate::Anatomy;
use crate::load_error::Refusal;
use crate::package::{Package, ours};
use crate::probe::version;

/// The interfaces of the host that a module may call. Interfaces that consist of types only need no grant: with them nothing can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    log: bool,
}

impl Default for Grants {
    /// What a module may call unless the configuration says otherwise: `log`.
    fn default() -> Self {
        Self { log: true }
    }
}

impl Grants {
    /// Everything that can be granted.
    pub const ALL: [&str; 1] = ["log"];

    /// Nothing may be called.
    pub const NOTHING: Self = Self { log: false };

    /// Grants this interface as well; false when there is none of that name.
    pub fn add(&mut self, interface: &str) -> bool {
        match interface {
            "log" => self.log = true,
            _ => return false,
        }
        true
    }

    /// Whether the interface of our package is granted.
    pub fn has(self, interface: &str) -> bool {
        interface == "log" && self.log
    }

    /// The names of what is granted, as the configuration has them.
    pub fn names(self) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|name| self.has(name)).collect()
    }
}

/// What an import asks for, judged by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Types, with which nothing can be done; needs no grant.
    Types,
    /// An interface of the host that can be granted.
    Call(&'static str),
    /// Something of WASI, which no module is given.
    Wasi,
    /// An interface of our package, in a version that this host takes, that this host does not have.
    Unknown,
    /// An interface of our package in a version that this host does not take.
    OtherVersion,
    /// Something else, which no module is given.
    Foreign,
}

impl Asked {
    /// Judges the name of an import.
    pub fn by(name: &str) -> Self {
        let Some((interface, version)) = ours(name) else {
            return if name.starts_with("wasi:") { Self::Wasi } else { Self::Foreign };
        };
        let Some(package) = Package::of(version) else { return Self::OtherVersion };
        match Grants::ALL.into_iter().find(|known| *known == interface) {
            Some(known) => Self::Call(known),
            None if package.known().contains(&interface) => Self::Types,
            None => Self::Unknown,
        }
    }
}

/// Refuses a component that asks for what is not granted, as far as names tell: an interface of ours that this host does not have, or of
/// which functions are called that it does not have, is refused only when the module is loaded. What cannot be read is not refused here.
pub fn judge(component: &[u8], grants: Grants) -> Result<(), Refusal> {
    let Ok(Anatomy { imports, exports, .. }) = Anatomy::of(component) else { return Ok(()) };
    version(&imports, &exports)?;
    let is_wanting = |name: &&String| match Asked::by(name) {
        Asked::Call(interface) => !grants.has(interface),
        Asked::Wasi | Asked::Foreign => true,
        Asked::Types | Asked::Unknown | Asked::OtherVersion => false,
    };
    let wanted: Vec<String> = imports.iter().filter(is_wanting).cloned().collect();
    if wanted.is_empty() { Ok(()) } else { Err(Refusal::NotGranted { wanted, granted: grants }) }
}

/// What would cure a refusal of these imports.
pub(crate) fn cure(wanted: &[String], granted: Grants) -> String {
    let asked: Vec<Asked> = wanted.iter().map(|name| Asked::by(name)).collect();
    let mut cures = Vec::new();
    let mut wider = granted;
    for interface in Grants::ALL {
        if asked.contains(&Asked::Call(interface)) && !granted.has(interface) {
            wider.add(interface);
        }
    }
    if wider != granted {
        cures.push(format!("if it may, grant it where the module is configured: `imports: [{}]`", wider.names().join(", ")));
    }
    if asked.contains(&Asked::Wasi) {
        cures.push(
            "no module is given WASI: a Rust module built for wasm32-unknown-unknown imports no WASI; for other languages stub WASI when \
             building"
                .to_owned(),
        );
    }
    // What stands in `log` and is not known is in no version of ours, either.
    if asked.iter().any(|asked| matches!(asked, Asked::Unknown | Asked::Types | Asked::OtherVersion))
        || (wider == granted && asked.iter().any(|asked| matches!(asked, Asked::Call(_))))
    {
        let version = Package::Today.version();
        cures.push(format!(
            "this host has sluicebox:module {version}, of which a module can call {}: build the module with the SDK of this version, or take \
             a newer host",
            Grants::ALL.join(", ")
        ));
    }
    if asked.contains(&Asked::Foreign) {
        cures.push(format!(
            "nothing but {} of sluicebox:module can be granted: build the module without the rest",
            Grants::ALL.join(", ")
        ));
    }
    cures.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn importing(names: &[&str]) -> Vec<u8> {
        let imports: Vec<String> =
            names.iter().map(|name| format!("(import \"{name}\" (instance (export \"f\" (func))))")).collect();
        let imports = imports.join(" ");
        wat::parse_str(format!("(component {imports})")).unwrap()
    }

    fn refused(names: &[&str], grants: Grants) -> Option<(String, String)> {
        let refusal = judge(&importing(names), grants).err()?;
        Some((refusal.to_string(), refusal.hint().into_owned()))
    }

    #[test]
    fn what_is_granted_may_be_asked_for() {
        assert_eq!(refused(&["sluicebox:module/log@0.2.0", "sluicebox:module/types@0.2.0"], Grants::default()), None);
        assert_eq!(refused(&["sluicebox:module/log@0.1.3"], Grants::default()), None);
        assert_eq!(refused(&["sluicebox:module/types@0.2.0"], Grants::NOTHING), None);
    }

    #[test]
    fn what_could_be_granted_is_refused_with_the_line_that_grants_it() {
        let (text, hint) = refused(&["sluicebox:module/log@0.2.0"], Grants::NOTHING).unwrap();
        assert_eq!(text, "it imports sluicebox:module/log@0.2.0; granted: nothing");
        assert_eq!(hint, "if it may, grant it where the module is configured: `imports: [log]`");
    }

    #[test]
    fn wasi_and_strangers_are_refused_without_a_line() {
        let (text, hint) = refused(&["wasi:sockets/tcp@0.2.0", "acme:secrets/store"], Grants::default()).unwrap();
        assert_eq!(text, "it imports wasi:sockets/tcp@0.2.0, acme:secrets/store; granted: sluicebox:module/log");
        assert!(hint.starts_with("no module is given WASI: ") && hint.contains("nothing but log of sluicebox:module"), "{hint}");
        assert!(!hint.contains("imports: ["), "{hint}");
    }

    #[test]
    fn an_unknown_interface_of_ours_is_answered_with_the_version_that_there_is() {
        let hint = cure(&["sluicebox:module/network@0.2.0".to_owned()], Grants::default());
        assert!(hint.starts_with("this host has sluicebox:module 0.2.0, of which a module can call log"), "{hint}");
    }

    #[test]
    fn another_version_of_ours_is_told_before_strangers_are() {
        let refusal = judge(&importing(&["wasi:cli/stdout@0.2.0", "sluicebox:module/log@0.9.0"]), Grants::default()).unwrap_err();
        assert!(matches!(refusal, Refusal::OtherVersion { .. }), "{refusal}");
    }

    #[test]
    fn names_tell_what_is_asked_for() {
        for (name, asked) in [
            ("sluicebox:module/log@0.2.7", Asked::Call("log")),
            ("sluicebox:module/types@0.1.0", Asked::Types),
            ("sluicebox:module/network@0.2.0", Asked::Unknown),
            ("sluicebox:module/log@0.3.0", Asked::OtherVersion),
            ("sluicebox:other/log@0.2.0", Asked::Foreign),
            ("wasi:cli/stdout@0.2.0", Asked::Wasi),
            ("env", Asked::Foreign),
        ] {
            assert_eq!(Asked::by(name), asked, "{name}");
        }
    }
}
