//! What a component says of itself, read off its bytes: nothing is compiled, nothing is refused but what cannot be read.

use wasmparser::{Encoding, KnownCustom, Parser, Payload};

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
    /// What it was written in and made by, each once: as its largest core module says, and the component around it. Small modules, by which tools
    /// join the parts, come from elsewhere.
    pub producers: Vec<Producer>,
    /// Bytes of machine-independent code.
    pub code_bytes: usize,
    /// Bytes of data that each instance begins with.
    pub data_bytes: usize,
    /// Bytes of the names of functions, wherever they are.
    pub name_bytes: usize,
    /// Whether its largest core module has names of functions, without which a backtrace has numbers only.
    pub is_named: bool,
    /// Bytes of debug information.
    pub debug_bytes: usize,
}

/// One of the modules and components of which it is made, while it is read.
#[derive(Debug)]
struct Part {
    is_component: bool,
    code_bytes: usize,
    is_named: bool,
    producers: Vec<Producer>,
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
        let (mut within, mut ended) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(component) {
            anatomy.take(payload, &mut within, &mut ended).map_err(|error| readable(&error.to_string(), NAME))?;
        }
        anatomy.conclude(ended);
        Ok(anatomy)
    }

    fn take(
        &mut self,
        payload: wasmparser::Result<Payload<'_>>,
        within: &mut Vec<Part>,
        ended: &mut Vec<Part>,
    ) -> wasmparser::Result<()> {
        match payload? {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == Encoding::Component;
                within.push(Part { is_component, code_bytes: 0, is_named: false, producers: Vec::new() });
            }
            Payload::End(_) => ended.extend(within.pop()),
            Payload::ComponentImportSection(imports) if within.len() == 1 => {
                for import in imports {
                    self.imports.push(readable(import?.name.name, NAME));
                }
            }
            Payload::ComponentExportSection(exports) if within.len() == 1 => {
                for export in exports {
                    self.exports.push(readable(export?.name.name, NAME));
                }
            }
            Payload::CodeSectionStart { size, .. } => {
                let bytes = usize::try_from(size).unwrap_or(usize::MAX);
                self.code_bytes += bytes;
                if let Some(part) = within.last_mut() {
                    part.code_bytes += bytes;
                }
            }
            Payload::DataSection(data) => self.data_bytes += length(&data.range()),
            Payload::CustomSection(section) => {
                let bytes = section.data().len();
                match (section.as_known(), within.last_mut()) {
                    (KnownCustom::Producers(fields), Some(part)) => part.producers.extend(producers(fields)?),
                    (KnownCustom::Name(_), Some(part)) => {
                        self.name_bytes += bytes;
                        part.is_named = true;
                    }
                    _ if section.name().starts_with(".debug") => self.debug_bytes += bytes,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes over what the parts say that tell of the whole.
    fn conclude(&mut self, parts: Vec<Part>) {
        let (components, modules): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.is_component);
        // The first one of those that have as much.
        let largest = modules.into_iter().rev().max_by_key(|module| module.code_bytes);
        self.is_named = largest.as_ref().is_some_and(|module| module.is_named);
        for producer in largest.into_iter().chain(components).flat_map(|part| part.producers) {
            if !self.producers.contains(&producer) {
                self.producers.push(producer);
            }
        }
    }
}

fn producers(fields: wasmparser::ProducersSectionReader<'_>) -> wasmparser::Result<Vec<Producer>> {
    let mut producers = Vec::new();
    for field in fields {
        let field = field?;
        for value in field.values {
            let value = value?;
            producers.push(Producer {
                field: field.name.to_owned(),
                name: readable(value.name, NAME),
                version: readable(value.version, NAME),
            });
        }
    }
    Ok(producers)
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
    fn the_module_with_the_most_code_says_what_it_is_written_in() {
        let component = wat::parse_str(
            r#"(component
                (core module
                    (@producers (language "Rust" "1") (processed-by "rustc" "1"))
                    (func $named))
                (core module
                    (@producers (language "Go" "2") (processed-by "go" "2"))
                    (func (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)))))"#,
        )
        .unwrap();
        let anatomy = Anatomy::of(&component).unwrap();
        let told: Vec<&str> = anatomy.producers.iter().map(|producer| producer.name.as_str()).collect();
        assert_eq!(told, ["Go", "go"]);
        assert!(anatomy.name_bytes > 0 && !anatomy.is_named, "{anatomy:?}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(Anatomy::of(b"hello").is_err());
        assert!(Anatomy::of(b"\0asm\x0d\0\x01\0\0\x7f").is_err());
    }
}
