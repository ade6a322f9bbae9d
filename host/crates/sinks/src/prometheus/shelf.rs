//! What the writer fills and scrapes read: the registry, and the page made of it, once for each change.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;

use super::page;
use super::registry::Registry;

/// The registry and its page.
#[derive(Debug)]
pub(super) struct Shelf {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    registry: Registry,
    page: Option<Bytes>,
}

impl Shelf {
    pub(super) fn new(registry: Registry) -> Self {
        Self { inside: Mutex::new(Inside { registry, page: None }) }
    }

    /// The page as things stand. Scrapes between two changes share one.
    pub(super) fn page(&self) -> Bytes {
        let Inside { registry, page } = &mut *self.lock();
        page.get_or_insert_with(|| page::render(registry).into()).clone()
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&Registry) -> R) -> R {
        read(&self.lock().registry)
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Registry) -> R) -> R {
        let Inside { registry, page } = &mut *self.lock();
        *page = None;
        change(registry)
    }

    /// What was held when somebody panicked is still the best that there is.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::super::registry::Group;
    use super::*;

    #[test]
    fn a_page_is_made_once_for_each_change() {
        let shelf = Shelf::new(Registry::new(10, 1_000));
        let put = |text: &str| {
            let document = document::parse(text.as_bytes(), 10).expect("valid");
            shelf
                .change(|registry| registry.put(Group { collection: None, name: "a".to_owned() }, document, None))
                .expect("room");
        };
        put("a 1");
        let first = shelf.page();
        assert_eq!(first.as_ptr(), shelf.page().as_ptr());
        put("a 2");
        assert_eq!((first.as_ref(), shelf.page().as_ref()), (&b"a 1\n"[..], &b"a 2\n"[..]));
    }
}
