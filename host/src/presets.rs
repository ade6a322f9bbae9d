//! The modules that the program carries, one for each system that it replaces.

/// A module that the program carries.
#[derive(Debug)]
pub struct Preset {
    /// What stands after `use:`.
    pub name: &'static str,
    /// What it does, on one line.
    pub summary: &'static str,
    /// The component.
    pub component: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
