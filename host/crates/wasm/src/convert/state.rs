//! State on its way from one instance to the next.

use sluicebox_contract as contract;

use crate::bindings::exports::sluicebox::module::state::Saved;
use crate::bindings::sluicebox::module::types::Payload;

/// Stands before data that is bytes. No text in UTF-8 begins with it, so text needs no mark.
const BYTES: u8 = 0xff;

/// What was to be restored is neither text nor marked as bytes: no module has saved it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state is damaged: it is neither text nor marked as bytes")]
pub(crate) struct NotSaved;

/// Takes over what the guest saved; its size is bounded by the engine.
pub(crate) fn saved(saved: Saved) -> contract::Saved {
    let data = match saved.data {
        Payload::Text(text) => text.into_bytes(),
        Payload::Bytes(mut bytes) => {
            bytes.insert(0, BYTES);
            bytes
        }
    };
    contract::Saved { version: saved.version, data }
}

/// What the guest is given: text where text was saved, bytes where it was bytes.
pub(crate) fn restored(saved: &contract::Saved) -> Result<Saved, NotSaved> {
    let data = match saved.data.split_first() {
        Some((&BYTES, bytes)) => Payload::Bytes(bytes.to_vec()),
        _ => Payload::Text(str::from_utf8(&saved.data).map_err(|_| NotSaved)?.to_owned()),
    };
    Ok(Saved { version: saved.version, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn there_and_back(data: Payload) -> contract::Saved {
        let between = saved(Saved { version: 7, data: data.clone() });
        let back = restored(&between).unwrap();
        assert_eq!(back.version, 7);
        match (back.data, data) {
            (Payload::Text(back), Payload::Text(text)) => assert_eq!(back, text),
            (Payload::Bytes(back), Payload::Bytes(bytes)) => assert_eq!(back, bytes),
            (back, _) => panic!("it came back as {back:?}"),
        }
        between
    }

    #[test]
    fn text_comes_back_as_text_and_bytes_as_bytes() {
        for text in ["", "seen 7", "ü\0ÿ"] {
            let between = there_and_back(Payload::Text(text.to_owned()));
            assert_eq!(between.data, text.as_bytes());
            there_and_back(Payload::Bytes(text.as_bytes().to_vec()));
        }
        there_and_back(Payload::Bytes(vec![0xff, 0xfe, 0]));
    }

    #[test]
    fn what_nobody_saved_is_refused() {
        assert_eq!(restored(&contract::Saved { version: 1, data: vec![b'a', 0xff] }).err(), Some(NotSaved));
    }
}
