//! The smallest module that tells something: the name of each object, without a language around it. It imports what a test wants.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::version_of;

/// The component; one that logs calls `log` at each batch, and so imports it. `version` is nothing but a mark in it.
pub fn small(logs: bool, version: &str) -> Vec<u8> {
    let (import, call) = if logs {
        (
            r#"(import "sluicebox:module/log@0.2.0" "line" (func $line (param i32 i32 i32)))"#,
            "(call $line (i32.const 2) (i32.const 1024) (i32.const 5))",
        )
    } else {
        ("", "")
    };
    let mut module = wat::parse_str(CODE.replace(";; IMPORT", import).replace(";; CALL", call)).unwrap();
    let mut wit = Resolve::default();
    wit.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
    let package = wit.push_str("small.wit", WORLD).unwrap();
    let world = wit.select_world(&[package], None).unwrap();
    embed_component_metadata(&mut module, &wit, world, StringEncoding::UTF8, false).unwrap();
    // What the code does not call is left out of the imports.
    let component = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
    version_of(&component, version)
}

const WORLD: &str = "package test:small@0.1.0;
world small {
    import sluicebox:module/log@0.2.0;
    export sluicebox:module/lifecycle@0.2.0;
    export sluicebox:module/object-handler@0.2.0;
}";

/// Layouts are those of the canonical ABI: an event has 56 bytes with its name at 32; an entry 56, of which the body of a message is at 40.
const CODE: &str = r#"(module
    ;; IMPORT
    (memory (export "memory") 64)
    (data (i32.const 1024) "hello")
    (global $heap (mut i32) (i32.const 65536))
    (func $allocate (param $bytes i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
        (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
        (local.get $at))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $allocate (local.get 3)))
    ;; ok
    (func (export "sluicebox:module/lifecycle@0.2.0#start") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0))
        (global.set $heap (i32.const 65536))
        (i32.const 16))
    (func (export "sluicebox:module/object-handler@0.2.0#handle") (param $event i32) (param $count i32) (result i32)
        (local $entry i32) (local $left i32)
        ;; CALL
        (local.set $entry (call $allocate (i32.mul (local.get $count) (i32.const 56))))
        (memory.fill (local.get $entry) (i32.const 0) (i32.mul (local.get $count) (i32.const 56)))
        ;; ok(plain(entries))
        (i32.store8 (i32.const 32) (i32.const 0))
        (i32.store8 (i32.const 36) (i32.const 0))
        (i32.store (i32.const 40) (local.get $entry))
        (i32.store (i32.const 44) (local.get $count))
        (local.set $left (local.get $count))
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $left)))
            (i32.store offset=44 (local.get $entry) (i32.load offset=32 (local.get $event)))
            (i32.store offset=48 (local.get $entry) (i32.load offset=36 (local.get $event)))
            (local.set $event (i32.add (local.get $event) (i32.const 56)))
            (local.set $entry (i32.add (local.get $entry) (i32.const 56)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $next)))
        (i32.const 32))
    (func (export "cabi_post_sluicebox:module/object-handler@0.2.0#handle") (param i32)
        (global.set $heap (i32.const 65536))))"#;
