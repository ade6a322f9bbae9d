//! What a component says of itself, read off its bytes: nothing is compiled, nothing is refused but what cannot be read.

use wasmparser::{KnownCustom, Parser, Payload};

use crate::text::readable;

/// Most characters of a name that is told.
const NAME: usize = 200;

/// The parts of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Names of everything that it exports.
    pub exports: Vec<String>,
    /// Names of everything that it imports.
    pub imports: Vec<String>,
    /// What it was written in and made by, each once.
    pub producers: Vec<Producer>,
    /// Bytes of machine-independent code.
    pub code_bytes: usize,
    /// Bytes of data that each instance begins with.
    pub data_bytes: usize,
    /// Bytes of the names of functions, without which a backtrace has numbers only.
    pub name_bytes: usize,
    /// Bytes of debug information.
    pub debug_bytes: usize,
}

/// A language, a tool or an SDK that a component was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Such as `Rust`.
    pub name: String,
    /// Its version; empty where none is told.
    pub version: String,
}

impl Anatomy {
    /// Reads a component. The error says what cannot be read.
    pub fn of(component: &[u8]) -> Result<Self, String> {
        let mut anatomy = Self::default();
        // A component holds core modules and other components; its own imports and exports stand on the outside.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            anatomy.take(payload, &mut depth).map_err(|error| readable(&error.to_string(), NAME))?;
        }
        Ok(anatomy)
    }

    fn take(&mut self, payload: wasmparser::Result<Payload<'_>>, depth: &mut usize) -> wasmparser::Result<()> {
        match payload? {
            Payload::Version { .. } => *depth += 1,
            Payload::End(_) => *depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if *depth == 1 => {
                for import in imports {
                    self.imports.push(readable(import?.name.name, NAME));
                }
            }
            Payload::ComponentExportSection(exports) if *depth == 1 => {
                for export in exports {
                    self.exports.push(readable(export?.name.name, NAME));
                }
            }
            Payload::CodeSectionStart { size, .. } => self.code_bytes += usize::try_from(size).unwrap_or(usize::MAX),
            Payload::DataSection(data) => self.data_bytes += length(&data.range()),
            Payload::CustomSection(section) => {
                let bytes = section.data().len();
                match section.as_known() {
                    KnownCustom::Producers(fields) => self.producers(fields)?,
                    KnownCustom::Name(_) => self.name_bytes += bytes,
                    _ if section.name().starts_with(".debug") => self.debug_bytes += bytes,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn producers(&mut self, fields: wasmparser::ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in fields {
            let field = field?;
            for value in field.values {
                let value = value?;
                let producer = Producer {
                    field: field.name.to_owned(),
                    name: readable(value.name, NAME),
                    version: readable(value.version, NAME),
                };
                if !self.producers.contains(&producer) {
                    self.producers.push(producer);
                }
            }
        }
        Ok(())
    }
}

fn length<T: Copy + Into<u64>>(range: &std::ops::Range<T>) -> usize {
    usize::try_from(range.end.into().saturating_sub(range.start.into())).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_and_exports_are_those_of_the_outside() {
        let component = wat::parse_str(
            r#"(component
                (import "a:b/outer@1.0.0" (instance))
                (component $inner (import "inner" (func)))
                (core module $code (func (export "f")) (memory 1) (data (i32.const 0) "hello"))
                (core instance $instance (instantiate $code))
                (func $f (canon lift (core func $instance "f")))
                (export "run" (func $f)))"#,
        )
        .unwrap();
        let anatomy = Anatomy::of(&component).unwrap();
        assert_eq!(anatomy.imports, ["a:b/outer@1.0.0"]);
        assert_eq!(anatomy.exports, ["run"]);
        assert!(anatomy.code_bytes > 0 && anatomy.data_bytes > 5, "{anatomy:?}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(Anatomy::of(b"hello").is_err());
        assert!(Anatomy::of(b"\0asm\x0d\0\x01\0\0\x7f").is_err());
    }
}
