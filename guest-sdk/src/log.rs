//! Lines for the operator. In a module they go to the host; in a native test they are kept and can be looked at.
//!
//! ```
//! use sluicebox_sdk::log;
//!
//! log::warn(format!("{} containers have no id", 2));
//! assert_eq!(log::taken(), [(log::Level::Warn, "2 containers have no id".to_owned())]);
//! ```

pub use crate::bindings::started::sluicebox::module::log::Level;

/// For whoever develops the module.
pub fn debug(text: impl AsRef<str>) {
    line(Level::Debug, text.as_ref());
}

/// For the operator, rarely: never for each event.
pub fn info(text: impl AsRef<str>) {
    line(Level::Info, text.as_ref());
}

/// Unexpected, but the module goes on.
pub fn warn(text: impl AsRef<str>) {
    line(Level::Warn, text.as_ref());
}

/// Something is lost, or somebody must act.
pub fn error(text: impl AsRef<str>) {
    line(Level::Error, text.as_ref());
}

#[cfg(target_family = "wasm")]
fn line(level: Level, text: &str) {
    crate::bindings::started::sluicebox::module::log::line(level, text);
}

#[cfg(not(target_family = "wasm"))]
fn line(level: Level, text: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, text.to_owned())));
}

/// The lines that this thread has logged since it last asked. Not there in a component.
#[cfg(not(target_family = "wasm"))]
pub fn taken() -> Vec<(Level, String)> {
    LINES.take()
}

#[cfg(not(target_family = "wasm"))]
thread_local! {
    static LINES: std::cell::RefCell<Vec<(Level, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Sends the text and the place of a panic to the host, which otherwise sees a bare trap.
#[cfg(target_family = "wasm")]
pub(crate) fn panics() {
    // On one line: what it was stands behind where it was.
    std::panic::set_hook(Box::new(|panic| {
        error(panic.to_string().replace('\n', " "));
    }));
}
