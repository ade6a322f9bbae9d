//! What a file is before anything is compiled: a component, or something that people hand in by mistake.

/// The outer form of a component was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Component<'a> {
    /// The `version` custom section, where the tools of the module's author write one.
    pub(crate) version: Option<&'a str>,
}

/// Why the bytes are no component, and what would cure it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) found: String,
    pub(crate) cure: &'static str,
}

const MAGIC: [u8; 4] = *b"\0asm";
/// The version field of components; the layer field after it is 1, that of core modules is 0.
const COMPONENT_VERSION: [u8; 2] = [0x0d, 0];

const BUILD: &str = "build the module with `cargo build --target wasm32-unknown-unknown` and the linker wasm-component-ld, or with the \
                     component tools of its language";
const COPY: &str = "copy the file again, whole";

/// Looks at the outer form only: header, and sections that follow each other up to the last byte.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Component<'_>, Mistake> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else {
        return Err(not_wasm(bytes));
    };
    let Some((header, sections)) = rest.split_first_chunk::<4>() else {
        return Err(truncated(bytes.len()));
    };
    match header {
        [_, _, 0, 0] => Err(Mistake {
            found: "it is a core WebAssembly module, not a component".to_owned(),
            cure: "link it with wasm-component-ld, or wrap it with `wasm-tools component new`",
        }),
        [first, second, 1, 0] if [*first, *second] == COMPONENT_VERSION => walk(sections, bytes.len()),
        [first, second, 1, 0] => Err(Mistake {
            found: format!(
                "it is a component in version {} of the format; this host reads version 13",
                u16::from_le_bytes([*first, *second])
            ),
            cure: "build it with newer component tools",
        }),
        [_, _, low, high] => Err(Mistake {
            found: format!("it is WebAssembly of an unknown layer {}", u16::from_le_bytes([*low, *high])),
            cure: BUILD,
        }),
    }
}

fn not_wasm(bytes: &[u8]) -> Mistake {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(64)).unwrap_or_default()).map(str::trim_start);
    let (found, cure) = match bytes {
        [] => ("the file is empty", COPY),
        [0x7f, b'E', b'L', b'F', ..] => {
            ("it is native code, perhaps a module that was compiled already", "give the WebAssembly component itself")
        }
        [0x1f, 0x8b, ..] => ("it is compressed by gzip", "unpack it"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("it is compressed by zstd", "unpack it"),
        _ if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) => ("it ends within its first four bytes", COPY),
        _ if text.is_ok_and(|text| text.starts_with("(component") || text.starts_with("(module")) => {
            ("it is WebAssembly as text", "translate it with `wasm-tools parse`")
        }
        _ => ("it is not WebAssembly", BUILD),
    };
    Mistake { found: found.to_owned(), cure }
}

fn truncated(bytes: usize) -> Mistake {
    Mistake { found: format!("it is truncated: it ends after {bytes} bytes, within a section"), cure: COPY }
}

/// Sections follow each other: one byte of kind, the size, so many bytes.
fn walk(mut rest: &[u8], bytes: usize) -> Result<Component<'_>, Mistake> {
    let mut version = None;
    while let Some((kind, after)) = rest.split_first() {
        let (size, after) = number(after).ok_or_else(|| truncated(bytes))?;
        let (section, after) = after.split_at_checked(size).ok_or_else(|| truncated(bytes))?;
        if *kind == 0
            && let Some(("version", text)) = custom(section)
        {
            version = Some(text);
        }
        rest = after;
    }
    Ok(Component { version })
}

/// A custom section: the length of its name, its name, its content. None when one of them is no text.
fn custom(section: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = number(section)?;
    let (name, content) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(content).ok()?))
}

/// An unsigned LEB128 number of at most 32 bits.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn found(bytes: &[u8]) -> String {
        inspect(bytes).unwrap_err().found
    }

    #[test]
    fn an_empty_file_is_named() {
        assert_eq!(found(b""), "the file is empty");
    }

    #[test]
    fn a_core_module_is_named() {
        assert_eq!(found(b"\0asm\x01\0\0\0"), "it is a core WebAssembly module, not a component");
    }

    #[test]
    fn text_is_named() {
        assert_eq!(found(b"\n  (component $x)"), "it is WebAssembly as text");
    }

    #[test]
    fn native_code_is_named() {
        assert_eq!(found(b"\x7fELF\x02\x01\x01"), "it is native code, perhaps a module that was compiled already");
    }

    #[test]
    fn anything_else_is_not_wasm() {
        assert_eq!(found(b"hello"), "it is not WebAssembly");
        assert_eq!(found(b"\0as"), "it ends within its first four bytes");
    }

    #[test]
    fn every_cut_of_a_section_is_truncated() {
        let mut whole = EMPTY_COMPONENT.to_vec();
        whole.extend(b"\0\x0a\x07versionab");
        for length in EMPTY_COMPONENT.len() + 1..whole.len() {
            assert!(found(&whole[..length]).starts_with("it is truncated"), "{length}");
        }
        assert_eq!(found(b"\0asm\x0d"), "it is truncated: it ends after 5 bytes, within a section");
    }

    #[test]
    fn the_version_of_the_author_is_found() {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        bytes.extend(b"\0\x0d\x07version1.2.3");
        assert_eq!(inspect(&bytes), Ok(Component { version: Some("1.2.3") }));
        assert_eq!(inspect(EMPTY_COMPONENT), Ok(Component { version: None }));
    }

    #[test]
    fn a_size_that_overflows_is_truncated() {
        let mut bytes = EMPTY_COMPONENT.to_vec();
        bytes.extend(b"\0\xff\xff\xff\xff\xff\xff");
        assert!(found(&bytes).starts_with("it is truncated"));
    }

    #[test]
    fn another_version_of_the_format_is_named() {
        assert_eq!(found(b"\0asm\x0c\0\x01\0"), "it is a component in version 12 of the format; this host reads version 13");
    }
}
