//! What can be typed after `sluicebox module`.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use sluicebox_contract::TimeSpan;
use sluicebox_contract::quantity::ByteSize;

use crate::place::Place;

/// What a module's author wants to do. Warnings of a module stand on standard error; `RUST_LOG=debug` shows every line that it logs.
#[derive(Args, Debug)]
pub struct ModuleArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What a module's author wants to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a module that compiles and whose tests hold, to be changed
    ///
    /// The folder has the module's code, its cases, what its language needs, and a README with every
    /// command up to the module running in a collector. Nothing that is there already is written over.
    ///
    ///   sluicebox module new pod-greeter
    ///   sluicebox module new pod-greeter --sdk ../sluicebox/guest-sdk
    ///   sluicebox module new pod-lines --language python
    ///
    /// Exit codes: 0 made, 2 no good name, a folder that is there already, or no SDK.
    #[command(verbatim_doc_comment)]
    New(NewArguments),
    /// Run case files through a module: events in, entries expected
    ///
    /// A case is a JSON file that needs no Rust to write:
    ///
    ///   {
    ///     "about": "A new pod is greeted.",
    ///     "settings": {},
    ///     "steps": [
    ///       {"events": [{"pod": {"change": "added", "pod": {"uid": "u1", "name": "web"}}}],
    ///        "expect": [{"message": {"body": "hello web"}}]}
    ///     ]
    ///   }
    ///
    /// Steps are taken in order by one instance. Others than `events` are `tick` (samples), `report`
    /// (connections), `inventory`, `series`, `define`, `forget`, `restart` and `swap`; `expect-error`
    /// in place of `expect` is a refusal whose text contains this. guest-sdk/README.md says everything.
    /// Each difference is shown as lines: `-` was expected, `+` came, `^` marks the place.
    ///
    ///   sluicebox module test cases --module ./hello.wasm           every case of the folder
    ///   sluicebox module test cases --module ./hello.wasm --bless   what came is from now on expected
    ///   sluicebox module test modules/telemd --module telemd        a preset, with the cases beside it
    ///
    /// Exit codes: 0 everything came as expected, 1 something else came, 2 wrong command line, module
    /// or case.
    #[command(verbatim_doc_comment)]
    Test(TestArguments),
    /// Show what a component is made of, what it asks for, and what it would get
    ///
    /// Its handlers, everything that it exports and imports, size and digest, the interface version
    /// that it was made for, the language and the tools that made it, whether a signature is there and a
    /// backtrace would have names, and the limits of a lane that says nothing. Of a directory, which file it is. A component that would be refused is shown,
    /// too, with the reason.
    ///
    ///   sluicebox module inspect ./hello.wasm
    ///   sluicebox module inspect telemd json-lines
    ///
    /// Exit codes: 0 each would be accepted, 2 one would be refused or cannot be read.
    #[command(verbatim_doc_comment)]
    Inspect(InspectArguments),
    /// Measure how fast a module is and what it holds, and fail above a budget
    ///
    /// Without `--events` each handler is given one batch of its kind, as a busy node has them: 64
    /// objects, 700 samples of 50 pods and their containers, 1000 connections, 200 values of series.
    /// With it, the steps of the cases are taken again and again; what is refused does not count, and each
    /// such step is named on standard error. What is timed are the handlers with the border around them, in time of the processor, so that a
    /// busy machine does not count.
    ///
    ///   sluicebox module bench ./hello.wasm
    ///   sluicebox module bench ./hello.wasm --events cases --time 5s
    ///   sluicebox module bench ./hello.wasm --budget-ns-per-event 5000 --budget-memory 4MiB
    ///
    /// Exit codes: 0 within every budget, 1 above one, 2 wrong command line, module or case.
    #[command(verbatim_doc_comment)]
    Bench(BenchArguments),
    /// Record events of a running collector as a case
    ///
    /// All that a lane is given is recorded, until there are so many events, they weigh 8MiB, or the time is over. Where
    /// more comes in quick succession than is wanted, each event has the same chance to be recorded. Until
    /// others come, what the lane had last stands in for them, if what that is about is there still. None of it is slowed down. The file is
    /// readable by its owner alone. What `--redact` names is taken out before anything is written: every field of that name,
    /// every label, annotation or attribute, and every `value` beside such a `name`; in JSON that
    /// stands as text, too. The same text becomes the same word, an address another address, and where it
    /// stands within another text, such as a name in a path, it is taken out as well if it has four
    /// letters or more. Names of fields and labels stay, and so does what other fields say in words of
    /// their own, or in YAML, arguments and other texts that are no JSON, where a name that is followed by
    /// `:` or `=` is warned of: look at the file before you give it away.
    ///
    ///   sluicebox module record --lane galileo --number 50 --output cases/real.json
    ///   sluicebox module record --lane galileo --redact annotations,image --output cases/real.json
    ///
    /// Exit codes: 0 recorded, 1 nothing came, the collector runs no such lane, or none has answered, 2 wrong
    /// command line, or no place for the file.
    #[command(verbatim_doc_comment)]
    Record(RecordArguments),
    /// Push a component to an OCI registry, from which collectors pull it
    ///
    /// One layer of the type `application/wasm`, as `wkg oci push` and `oras push` make it. Whoever has
    /// logged in with `docker login`, `oras login` or `podman login` is known. A registry on this machine
    /// is asked without TLS, another one only with `--plain-http`; a password is told to another machine without
    /// TLS only with `--secrets-in-clear-text`, too. A signature beside the file goes along. What would be
    /// refused when it is loaded is not pushed. What is printed is what a configuration may say: it means
    /// this component, whatever becomes of the tag.
    ///
    ///   sluicebox module push ./hello.wasm oci://registry:5000/shop/hello:v1
    ///
    /// Exit codes: 0 pushed, 1 the registry did not take it, 2 wrong command line or component, or a password
    /// that could be read on its way.
    #[command(verbatim_doc_comment)]
    #[allow(clippy::doc_markdown, reason = "it is shown as it stands")]
    Push(PushArguments),
    /// Hand the events of cases to a module, and print what comes as JSON, an entry a line
    ///
    ///   sluicebox module replay cases/real.json --module ./hello.wasm | jq .message.body
    ///
    /// Exit codes: 0 all were shaped, 1 some were refused or stopped the module, 2 wrong command line,
    /// module or case.
    #[command(verbatim_doc_comment)]
    Replay(ReplayArguments),
    /// Make a key to sign components with
    ///
    /// The private key goes into NAME.pem, which nobody else may read, the public one into NAME.pub;
    /// what a collector's configuration needs is printed. Keys are ed25519, as PEM: those that
    /// `openssl genpkey -algorithm ed25519` makes are as good.
    ///
    ///   sluicebox module keygen ops
    ///
    /// Exit codes: 0 made, 1 no random bytes, 2 a file that is there already or cannot be written.
    #[command(verbatim_doc_comment)]
    Keygen(KeygenArguments),
    /// Sign components: the signature of FILE goes into FILE.sig
    ///
    /// It is the ed25519 signature of the file's bytes, in base64. `openssl` makes the same, without
    /// base64, which is taken as well:
    ///
    ///   sluicebox module sign --key ops.pem ./hello.wasm
    ///   openssl pkeyutl -sign -rawin -inkey ops.pem -in hello.wasm -out hello.wasm.sig
    ///
    /// A collector whose configuration says `signed-by: ops` takes the component then, and no other.
    /// What is no WebAssembly component is not signed.
    ///
    /// Exit codes: 0 each is signed, 2 no key that can be used, one that others may read, or a file that
    /// cannot be read or is no component.
    #[command(verbatim_doc_comment)]
    Sign(SignArguments),
    /// Say whether the signature beside each component is a key's
    ///
    ///   sluicebox module verify --key ops.pub ./hello.wasm
    ///   base64 -d hello.wasm.sig > raw
    ///   openssl pkeyutl -verify -rawin -pubin -inkey ops.pub -in hello.wasm -sigfile raw
    ///
    /// Exit codes: 0 each is, 1 one is not or cannot be read, 2 no key that can be used.
    #[command(verbatim_doc_comment)]
    Verify(VerifyArguments),
}

/// What is made, and where.
#[derive(Args, Debug)]
pub struct NewArguments {
    /// The name of the module, or the path of its folder: small letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    pub language: Language,
    /// Where the SDK for Rust is: the folder `guest-sdk` of sluicebox's sources, or the git address of these. Without it, it is looked for in and
    /// beside the folders above
    #[arg(long, value_name = "PATH|URL")]
    pub sdk: Option<String>,
}

/// What a module may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With the SDK: a greeter of pods.
    Rust,
    /// By bindings that wit-bindgen makes, compiled by clang; as all below: lines of pods and of what containers use.
    C,
    /// In `QuickJS`, by `componentize-qjs`.
    Javascript,
    /// In `CPython`, by `componentize-py`.
    Python,
    /// By Go itself and bindings that wit-bindgen makes.
    Go,
}

/// Which cases, and which module.
#[derive(Args, Debug)]
pub struct TestArguments {
    /// Case files, folders of them, or folders that have a folder `cases`
    #[arg(value_name = "CASES|DIR", required = true)]
    pub cases: Vec<PathBuf>,
    /// A component file, a directory with one, a module in a registry (`oci://…`), or a preset by its name
    #[arg(long, short, value_name = "FILE|DIR|PRESET")]
    pub module: String,
    /// Write what came into the case files, in place of what they expect; the rest of their text stays as it is
    #[arg(long)]
    pub bless: bool,
    /// Memory that the module may have
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub memory: ByteSize,
}

/// What is recorded, and where it goes.
#[derive(Args, Debug)]
pub struct RecordArguments {
    /// Which collector.
    #[command(flatten)]
    pub place: Place,
    /// The lane: a name under `modules` in the collector's configuration
    #[arg(long)]
    pub lane: String,
    /// The case file that is written; it must not be there yet
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Events, at most: objects, samples, connections, values; a tick, a report or the series of a query is taken whole
    #[arg(long, value_name = "N", default_value = "20", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub number: usize,
    /// How long to wait for them, an hour at most
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub time: TimeSpan,
    /// A field, a label, an annotation or an attribute whose text is taken out; several with commas between, or given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = redacted)]
    pub redact: Vec<String>,
}

/// What is handed over, and to which module.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// Case files, folders of them, or folders that have a folder `cases`
    #[arg(value_name = "CASES|DIR", required = true)]
    pub cases: Vec<PathBuf>,
    /// A component file, a directory with one, a module in a registry (`oci://…`), or a preset by its name
    #[arg(long, short, value_name = "FILE|DIR|PRESET")]
    pub module: String,
    /// Memory that the module may have
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub memory: ByteSize,
}

/// Which key is made.
#[derive(Args, Debug)]
pub struct KeygenArguments {
    /// The name of the key, or the path of its files without their endings
    #[arg(value_name = "NAME")]
    pub key: PathBuf,
}

/// What is signed, and with what.
#[derive(Args, Debug)]
pub struct SignArguments {
    /// The private key: PEM, in a file that nobody else may read
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Component files, or directories with one each
    #[arg(value_name = "FILE|DIR", required = true)]
    pub components: Vec<PathBuf>,
}

/// What is verified, and with what.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// The public key: PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Component files, or directories with one each
    #[arg(value_name = "FILE|DIR", required = true)]
    pub components: Vec<PathBuf>,
}

/// Which components.
#[derive(Args, Debug)]
pub struct InspectArguments {
    /// Component files, directories with one each, modules in registries (`oci://…`), or presets by their names
    #[arg(value_name = "FILE|DIR|PRESET", required = true)]
    pub modules: Vec<String>,
}

/// What is measured, and what it may come to.
#[derive(Args, Debug)]
pub struct BenchArguments {
    /// A component file, a directory with one, a module in a registry (`oci://…`), or a preset by its name
    #[arg(value_name = "FILE|DIR|PRESET")]
    pub module: String,
    /// Case files, or folders of them, whose events are used
    #[arg(long, value_name = "CASES|DIR", num_args = 1..)]
    pub events: Vec<PathBuf>,
    /// What the module is started with, where `--events` does not say it
    #[arg(long, value_name = "JSON", default_value = "{}", conflicts_with = "events")]
    pub settings: String,
    /// How long each kind of event, or each case, is measured
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub time: TimeSpan,
    /// Nanoseconds that an event may take, in the middle of all rounds
    #[arg(long, value_name = "N", value_parser = budget)]
    pub budget_ns_per_event: Option<f64>,
    /// Linear memory that the instance may hold at the end
    #[arg(long, value_name = "SIZE")]
    pub budget_memory: Option<ByteSize>,
    /// How large the component may be
    #[arg(long, value_name = "SIZE")]
    pub budget_size: Option<ByteSize>,
    /// Memory that the module may have
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub memory: ByteSize,
}

/// What is pushed, and where to.
#[derive(Args, Debug)]
pub struct PushArguments {
    /// The component, or a directory with one
    #[arg(value_name = "FILE|DIR")]
    pub component: PathBuf,
    /// Registry, name and tag, such as `oci://registry:5000/shop/hello:v1`
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// Ask the registry without TLS, though it is another machine; whoever is logged in there has to add `--secrets-in-clear-text`
    #[arg(long)]
    pub plain_http: bool,
    /// Tell another machine the password without TLS, where anybody between here and there can read it: for networks that encrypt
    #[arg(long)]
    pub secrets_in_clear_text: bool,
    /// Give up when it takes longer
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub deadline: TimeSpan,
}

/// A name that something may have: an empty one, such as a variable that is not set has left, would take nothing out.
fn redacted(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("a name is missing: nothing would be taken out for it".to_owned()) } else { Ok(name.to_owned()) }
}

/// A number that something can be above.
fn budget(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("give a number above 0".to_owned()) }
}
