//! Entries in few words.
#![allow(dead_code, reason = "each test file uses a part of them")]

use std::time::Duration;

use sluicebox_contract::{Document, Entry, Forget, Message};

pub(crate) fn message(channel: &str, body: &str) -> Entry {
    Entry::Message(Message { channel: Some(channel.to_owned()), body: body.into(), ..Message::default() })
}

pub(crate) fn document(name: &str, body: &str) -> Entry {
    Entry::Document(Document { name: name.to_owned(), body: body.into(), ..Document::default() })
}

pub(crate) fn document_in(collection: &str, name: &str, body: &str) -> Entry {
    Entry::Document(Document { collection: Some(collection.to_owned()), name: name.to_owned(), body: body.into() })
}

pub(crate) fn forget(name: &str) -> Entry {
    forget_after(name, Duration::ZERO)
}

pub(crate) fn forget_after(name: &str, after: Duration) -> Entry {
    Entry::Forget(Forget { name: name.to_owned(), after, ..Forget::default() })
}

pub(crate) fn forget_in(collection: &str, name: &str, after: Duration) -> Entry {
    Entry::Forget(Forget { collection: Some(collection.to_owned()), name: name.to_owned(), after })
}
