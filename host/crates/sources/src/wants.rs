//! In which forms lanes want the objects of a kind.

/// In which forms the lanes want them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// With their fields typed, such as [`sluicebox_contract::Event::Pod`].
    pub typed: bool,
    /// As the API's JSON, [`sluicebox_contract::Event::Object`].
    pub json: bool,
}
