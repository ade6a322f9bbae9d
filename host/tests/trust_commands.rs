//! `sluicebox module keygen`, `sign` and `verify`, with openssl as the witness; and what `check` says of modules that may not run.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sluicebox_wasm::digest;
use support::author::{Said, run};
use support::small::small;
use support::{Place, module, sluicebox};

fn openssl(arguments: &[&str]) -> bool {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    output.status.success()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A component, and a key that was made for it.
struct Desk {
    place: Place,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { place: Place::new() };
        fs::write(desk.path("m.wasm"), fs::read(module("hostile")).unwrap()).unwrap();
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let paths: Vec<String> = arguments
            .iter()
            .map(|word| word.strip_prefix('@').map_or_else(|| (*word).to_owned(), |name| text(&self.path(name)).to_owned()))
            .collect();
        run(&paths.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What `check` says with this lane, and below it more.
    fn check(&self, lane: &str, more: &str) -> (Option<i32>, String) {
        let config = self.path("sluicebox.yaml");
        let rest = format!(
            "node-name: n1\nsources: {{pods: {{}}}}\nsinks: {{out: {{stdout: {{}}}}}}\nmodules:\n  a:\n    use: {}\n    to: [out]\n{lane}{more}",
            self.path("m.wasm").display()
        );
        fs::write(&config, rest).unwrap();
        let output = sluicebox(&["check", text(&config)]);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said.replace(text(&self.path("")), "DIR/"))
    }
}

#[test]
fn a_key_is_made_and_what_it_signs_is_verified_by_us_and_by_openssl() {
    let desk = Desk::new();
    let said = desk.run(&["keygen", "@ops"]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert_eq!(fs::metadata(desk.path("ops.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    let said = desk.run(&["sign", "--key", "@ops.pem", "@m.wasm"]);
    assert_eq!(said.code, 0, "{}", said.error);
    let found = digest(&fs::read(desk.path("m.wasm")).unwrap());
    assert!(said.out.contains(&format!("m.wasm.sig: signed sha256:{found}")), "{}", said.out);
    let said = desk.run(&["verify", "--key", "@ops.pub", "@m.wasm"]);
    assert_eq!((said.code, said.out.contains("m.wasm: signed by this key")), (0, true), "{}{}", said.out, said.error);

    let (signature, raw) = (desk.path("m.wasm.sig"), desk.path("raw"));
    assert!(openssl(&["base64", "-d", "-A", "-in", text(&signature), "-out", text(&raw)]));
    let (public, component) = (desk.path("ops.pub"), desk.path("m.wasm"));
    let verify =
        ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", text(&public), "-in", text(&component), "-sigfile", text(&raw)];
    assert!(openssl(&verify));
    fs::write(&component, b"another").unwrap();
    assert!(!openssl(&verify));
    let said = desk.run(&["verify", "--key", "@ops.pub", "@m.wasm"]);
    assert_eq!(said.code, 1);
    assert!(said.error.contains("m.wasm.sig does not fit it"), "{}", said.error);
}

#[test]
fn what_openssl_makes_and_signs_is_taken() {
    let desk = Desk::new();
    let (private, public) = (desk.path("o.pem"), desk.path("o.pub"));
    assert!(openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&private)]));
    assert!(openssl(&["pkey", "-in", text(&private), "-pubout", "-out", text(&public)]));
    let (component, signature) = (desk.path("m.wasm"), desk.path("m.wasm.sig"));
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", text(&private), "-in", text(&component), "-out", text(&signature)];
    assert!(openssl(&sign));
    assert_eq!(fs::metadata(&signature).unwrap().len(), 64);
    assert_eq!(desk.run(&["verify", "--key", "@o.pub", "@m.wasm"]).code, 0);
    let before = fs::read(&signature).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(desk.run(&["sign", "--key", "@o.pem", "@m.wasm"]).code, 0);
    // There is one signature of these bytes by this key.
    let raw = desk.path("raw");
    assert!(openssl(&["base64", "-d", "-A", "-in", text(&signature), "-out", text(&raw)]));
    assert_eq!(fs::read(&raw).unwrap(), before);
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_the_reason() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops.pem"]).code, 0);
    let again = desk.run(&["keygen", "@ops"]);
    assert_eq!(again.code, 2);
    assert!(again.error.contains("ops.pub is there already, and is not written over"), "{}", again.error);
    fs::remove_file(desk.path("ops.pub")).unwrap();
    let again = desk.run(&["keygen", "@ops"]);
    assert!(again.code == 2 && again.error.contains("ops.pem is there already"), "{}", again.error);

    fs::set_permissions(desk.path("ops.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let rsa = desk.path("rsa.pem");
    assert!(openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", text(&rsa)]));
    fs::set_permissions(&rsa, fs::Permissions::from_mode(0o600)).unwrap();
    let locked = desk.path("locked.pem");
    assert!(openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:words", "-out", text(&locked)]));
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(desk.path("words.pem"), "words").unwrap();
    fs::set_permissions(desk.path("words.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    for (key, reason) in [
        ("@ops.pem", "others may read the private key"),
        ("@rsa.pem", "rsa.pem cannot be used as a key: it is no ed25519 key\nhint: `sluicebox module keygen NAME`"),
        ("@locked.pem", "locked.pem cannot be used as a key: it is encrypted\nhint: `openssl pkey "),
        ("@words.pem", "it is no PEM: no line is `-----BEGIN PRIVATE KEY-----`"),
        ("@gone.pem", "gone.pem: No such file"),
    ] {
        let said = desk.run(&["sign", "--key", key, "@m.wasm"]);
        assert_eq!(said.code, 2, "{}", said.error);
        assert!(said.error.contains(reason), "{reason} is missing in {}", said.error);
    }
    assert!(!desk.path("m.wasm.sig").exists());
    let said = desk.run(&["verify", "--key", "@ops.pem", "@m.wasm"]);
    assert!(said.code == 2 && said.error.contains("it is a private key, which must stay with those who sign"), "{}", said.error);
}

#[test]
fn a_public_key_does_not_sign_and_is_not_called_a_private_one() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    let said = desk.run(&["sign", "--key", "@ops.pub", "@m.wasm"]);
    assert_eq!(said.code, 2, "{}", said.error);
    let words = format!("hint: give the private one; it may be {}\n", desk.path("ops.pem").display());
    assert!(said.error.contains("ops.pub is a public key, which verifies and cannot sign\n"), "{}", said.error);
    assert!(said.error.contains(&words) && !said.error.contains("chmod"), "{}", said.error);
    fs::remove_file(desk.path("ops.pem")).unwrap();
    let said = desk.run(&["sign", "--key", "@ops.pub", "@m.wasm"]);
    assert!(said.code == 2 && said.error.contains("as NAME.pem"), "{}", said.error);
}

#[test]
fn what_takes_files_says_so_of_a_module_in_a_registry_and_what_to_do() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    let module = "oci://registry:5000/shop/hello:v1";
    for (command, key, code, cure) in [
        ("sign", "@ops.pem", 2, "hint: sign the file, then `sluicebox module push` it"),
        ("verify", "@ops.pub", 1, "hint: `sluicebox module inspect` says whether it has a signature"),
    ] {
        let said = desk.run(&[command, "--key", key, module]);
        assert_eq!(said.code, code, "{}", said.error);
        let words = format!("error: {module} is in a registry, and this takes files\n{cure}");
        assert!(said.error.starts_with(&words), "{}", said.error);
    }
    let output = sluicebox(&["modules", module, "json-lines"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(" is in a registry, ") && said.contains("hint: `sluicebox module inspect` describes it"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("json-lines\n"));
}

#[test]
fn verify_says_what_is_wrong_with_each_file() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    fs::write(desk.path("n.wasm"), b"n").unwrap();
    fs::write(desk.path("n.wasm.sig"), b"hello!").unwrap();
    let said = desk.run(&["verify", "--key", "@ops.pub", "@m.wasm", "@n.wasm"]);
    assert_eq!(said.code, 1);
    for words in ["m.wasm: it is not signed: there is no ", "n.wasm.sig is no signature: it has 6 bytes that are no base64"] {
        assert!(said.error.contains(words), "{words} is missing in {}", said.error);
    }
}

#[test]
fn verify_goes_on_after_a_file_that_cannot_be_read() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    assert_eq!(desk.run(&["sign", "--key", "@ops.pem", "@m.wasm"]).code, 0);
    fs::copy(desk.path("m.wasm"), desk.path("n.wasm")).unwrap();
    let said = desk.run(&["verify", "--key", "@ops.pub", "@gone.wasm", "@m.wasm", "@n.wasm"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("m.wasm: signed by this key"), "{}", said.out);
    for words in ["gone.wasm: No such file", "n.wasm: it is not signed: there is no "] {
        assert!(said.error.contains(words), "{words} is missing in {}", said.error);
    }
}

#[test]
fn what_is_no_component_is_not_signed_and_the_others_are() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    let whole = fs::read(desk.path("m.wasm")).unwrap();
    for (name, bytes, words) in [
        ("empty.wasm", &b""[..], "empty.wasm is not signed: the file is empty\nhint: copy the file again, whole"),
        ("words.wasm", b"words", "words.wasm is not signed: it is not WebAssembly\nhint: "),
        ("core.wasm", b"\0asm\x01\0\0\0", "core.wasm is not signed: it is a core WebAssembly module, not a component\nhint: "),
        ("half.wasm", &whole[..whole.len() / 2], "half.wasm is not signed: it is truncated"),
    ] {
        fs::write(desk.path(name), bytes).unwrap();
        let said = desk.run(&["sign", "--key", "@ops.pem", &format!("@{name}"), "@m.wasm"]);
        assert!(said.code == 2 && said.error.contains(words), "{words} is missing in {}", said.error);
        assert!(!desk.path(&format!("{name}.sig")).exists());
        assert!(said.out.contains("m.wasm.sig: signed sha256:"), "{}", said.out);
    }
}

#[test]
fn a_directory_is_signed_by_the_component_in_it() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    fs::create_dir(desk.path("modules")).unwrap();
    fs::copy(desk.path("m.wasm"), desk.path("modules/m-1.wasm")).unwrap();
    let said = desk.run(&["sign", "--key", "@ops.pem", "@modules"]);
    assert!(said.code == 0 && said.out.contains("modules/m-1.wasm.sig: signed sha256:"), "{}{}", said.out, said.error);
    let said = desk.run(&["verify", "--key", "@ops.pub", "@modules"]);
    assert!(said.code == 0 && said.out.contains("modules/m-1.wasm: signed by this key"), "{}{}", said.out, said.error);
}

#[test]
fn half_of_a_key_does_not_stay() {
    let desk = Desk::new();
    // There is nothing, and nothing can be made: the place is taken by a link that leads nowhere.
    std::os::unix::fs::symlink("gone/ops.pub", desk.path("ops.pub")).unwrap();
    let said = desk.run(&["keygen", "@ops"]);
    assert!(said.code == 2 && said.error.contains("ops.pub is there already"), "{}", said.error);
    assert!(!desk.path("ops.pem").exists());
    fs::remove_file(desk.path("ops.pub")).unwrap();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
}

#[test]
fn check_says_what_a_module_may_do_and_why_it_is_trusted() {
    let desk = Desk::new();
    let printed = desk.run(&["keygen", "@ops"]).out;
    assert_eq!(desk.run(&["sign", "--key", "@ops.pem", "@m.wasm"]).code, 0);
    let found = digest(&fs::read(desk.path("m.wasm")).unwrap());
    // What `keygen` prints is a part of a configuration.
    let (code, said) = desk.check(&format!("    sha256: sha256:{found}\n"), &printed);
    assert_eq!(code, Some(0), "{said}");
    let line = format!(
        "  a: sha256:{found}, as pinned; signed by ops; imports sluicebox:module/log@0.2.0 (granted), sluicebox:module/types@0.2.0 (types)\n"
    );
    assert!(said.ends_with(&line), "{said}");
}

#[test]
fn check_refuses_what_may_not_run_with_line_cause_and_cure() {
    let desk = Desk::new();
    let keys = desk.run(&["keygen", "@ops"]).out;
    let found = digest(&fs::read(desk.path("m.wasm")).unwrap());
    let zeros = "ab".repeat(32);
    for (lane, more, mistake, cure) in [
        (
            format!("    sha256: {zeros}\n"),
            "",
            format!("line 8: `modules.a.sha256`: its sha256 is {found}, but the configuration pins {zeros}"),
            format!("pin it: `sha256: {found}`"),
        ),
        (
            "    signed-by: ops\n".to_owned(),
            &keys,
            "line 8: `modules.a.signed-by`: it must be signed by `ops`, but there is no DIR/m.wasm.sig".to_owned(),
            "`sluicebox module sign --key PRIVATE.pem FILE`".to_owned(),
        ),
        (String::new(), &keys, "`modules.a.signed-by`: it must be signed by `ops`".to_owned(), String::new()),
        (
            "    imports: []\n".to_owned(),
            "",
            "line 6: `modules.a.use`: it imports sluicebox:module/log@0.2.0; granted: nothing".to_owned(),
            "`imports: [log]`".to_owned(),
        ),
    ] {
        let (code, said) = desk.check(&lane, more);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&mistake) && said.contains(&cure), "{mistake} is missing in {said}");
    }
    // One module may be excepted.
    assert_eq!(desk.check("    signed-by: []\n", &keys).0, Some(0));
    // One that does not log needs no grant for it.
    fs::write(desk.path("m.wasm"), small(false, "quiet")).unwrap();
    assert_eq!(desk.check("    imports: []\n", "").0, Some(0));
}

#[test]
fn mistakes_about_trust_are_named() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    let private = fs::read_to_string(desk.path("ops.pem")).unwrap();
    let indented = format!("      {}\n", private.trim_end().replace('\n', "\n      "));
    let more = format!(
        "  b: {{use: json-lines, signed-by: ops, to: [out]}}\ntrust:\n  signed-by: boss\n  keys:\n    ops: |\n{indented}    short: MCow\n"
    );
    let lane = "    sha256: [abc]\n    signed-by: [ci]\n    imports: [logs, \"wasi:cli/stdout\"]\n";
    let (code, said) = desk.check(lane, &more);
    assert_eq!(code, Some(2), "{said}");
    for (mistake, cure) in [
        ("line 8: `modules.a.sha256.0`: no sha256: it has 3 characters", "`sha256sum FILE`"),
        ("line 9: `modules.a.signed-by.0`: there is no key `ci`", "`ops`, `short`"),
        ("line 10: `modules.a.imports.0`: there is no interface `logs` to grant", "`log`"),
        ("line 10: `modules.a.imports.1`: `wasi:cli/stdout` cannot be granted: no module is given WASI", "`log`"),
        ("line 11: `modules.b.signed-by`: a preset is a part of the program", "leave it out"),
        ("line 13: `trust.signed-by`: there is no key `boss`", "add it under `trust.keys`"),
        ("line 15: `trust.keys.ops`: it is a private key, which must stay with those who sign", "make a new key"),
        ("`trust.keys.short`: it is no PEM", "the whole text"),
    ] {
        assert!(said.contains(mistake) && said.contains(cure), "{mistake} is missing in {said}");
    }
    let secret = private.lines().nth(1).unwrap();
    assert!(!said.contains(secret), "{said}");
}

#[test]
fn what_a_template_has_made_of_nothing_is_a_mistake() {
    let desk = Desk::new();
    for (lane, mistake) in [
        ("    sha256: []\n", "line 8: `modules.a.sha256`: nothing is pinned: any component would do"),
        ("    sha256:\n", "line 8: `modules.a.sha256`: nothing is pinned: any component would do"),
        (
            "    signed-by:\n",
            "line 8: `modules.a.signed-by`: nothing stands there\n  hint: give `[]` for nobody, or leave it out",
        ),
        ("    imports:\n", "line 8: `modules.a.imports`: nothing stands there\n  hint: give `[]` for nothing, or leave it out"),
    ] {
        let (code, said) = desk.check(lane, "");
        assert!(code == Some(2) && said.contains(mistake), "{mistake} is missing in {said}");
    }
}

#[test]
fn the_name_of_a_new_key_is_one_that_the_configuration_takes() {
    let desk = Desk::new();
    for name in ["1", "true", "Off", "-", "a.b"] {
        let said = desk.run(&["keygen", &format!("@{name}")]);
        assert_eq!(said.code, 0, "{name}: {}", said.error);
        let (code, said) = desk.check("    signed-by: []\n", &said.out);
        assert_eq!(code, Some(0), "{name}: {said}");
    }
    for name in ["a,b", "a:b", "we ird: #x", ".hidden"] {
        let said = desk.run(&["keygen", &format!("@{name}")]);
        assert!(said.code == 2 && said.error.contains("is no usable name of a key\nhint: use 1 to 63"), "{name}: {}", said.error);
        assert!(!desk.path(&format!("{name}.pem")).exists());
    }
}

#[test]
fn the_example_in_the_authors_guide_is_right() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["keygen", "@ops"]).code, 0);
    assert_eq!(desk.run(&["sign", "--key", "@ops.pem", "@m.wasm"]).code, 0);
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk/README.md")).unwrap();
    let example = guide.split("```yaml\n").filter_map(|block| block.split("```").next()).find(|block| block.contains("trust:"));
    let mut example = example.unwrap().replace("/modules/pod-greeter.wasm", text(&desk.path("m.wasm")));
    let public = fs::read_to_string(desk.path("ops.pub")).unwrap();
    let word = |text: &str, begin: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(begin)).unwrap();
        line.trim().to_owned()
    };
    example = example.replace(&word(&example, "MCow"), &word(&public, "MCow"));
    let pin = format!("sha256: {}", digest(&fs::read(desk.path("m.wasm")).unwrap()));
    example = example.replace(&word(&example, "sha256: "), &pin);
    let config = desk.path("sluicebox.yaml");
    fs::write(&config, &example).unwrap();
    let output = sluicebox(&["check", text(&config)]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{example}\n{said}");
    assert!(said.contains(", as pinned; signed by ops; imports "), "{said}");
}
