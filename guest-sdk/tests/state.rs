//! State as the case runner and the host see it: saved by one instance, restored in the next.

use sluicebox_sdk::cases::{read, run};
use sluicebox_sdk::{Context, Entries, Exported as _, Message, Module, NoSettings, Payload, PodEvent, Pods, State};

/// Counts pods.
struct Counter {
    seen: u64,
}

impl Module for Counter {
    type Settings = NoSettings;

    fn start(_: NoSettings, context: &Context) -> Result<Self, String> {
        if context.host_version.is_empty() { Err("the host does not say its version".to_owned()) } else { Ok(Self { seen: 0 }) }
    }
}

impl Pods for Counter {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        self.seen += events.len() as u64;
        Ok([Message::new(self.seen.to_string())].into_iter().collect())
    }
}

impl State for Counter {
    const VERSION: u32 = 3;

    fn save(&self) -> Result<Payload, String> {
        if self.seen > 2 { Err("cannot save more than 2".to_owned()) } else { Ok(self.seen.to_string().into()) }
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        if version != Self::VERSION {
            return Err(format!("cannot restore form {version}"));
        }
        self.seen = data.as_text().and_then(|text| text.parse().ok()).ok_or("cannot restore: it is no number")?;
        Ok(())
    }
}

sluicebox_sdk::export!(Counter: pods, state);

/// The same without state.
struct Forgetful(Counter);

impl Module for Forgetful {
    type Settings = NoSettings;

    fn start(settings: NoSettings, context: &Context) -> Result<Self, String> {
        Counter::start(settings, context).map(Self)
    }
}

impl Pods for Forgetful {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        Pods::pods(&mut self.0, events)
    }
}

sluicebox_sdk::export!(Forgetful: pods);

fn case(steps: &str) -> String {
    let event = r#"{"events":[{"pod":{"change":"added","pod":{"uid":"u"}}}],"expect":[{"message":{"body":"#;
    let steps = steps.replace("say ", event).replace(" said", "}}]}");
    format!(r#"{{"about":"","steps":[{steps}]}}"#)
}

#[test]
fn a_swap_keeps_the_state_and_a_restart_loses_it() {
    let steps = r#"say "1" said,{"swap":true},say "2" said,{"restart":true},say "1" said"#;
    assert_eq!(run::<Counter>(&read("case", &case(steps)).unwrap()), Ok(()));
}

#[test]
fn a_module_without_state_begins_anew() {
    let steps = r#"say "1" said,{"swap":true},say "1" said"#;
    assert_eq!(run::<Forgetful>(&read("case", &case(steps)).unwrap()), Ok(()));
    const { assert!(!Forgetful::STATE && Counter::STATE) };
}

#[test]
fn a_refusal_to_save_is_what_the_case_tells() {
    let steps = r#"say "1" said,say "2" said,say "3" said,{"swap":true}"#;
    let error = run::<Counter>(&read("case", &case(steps)).unwrap());
    assert_eq!(error, Err("step 4: cannot save more than 2".to_owned()));
}

#[test]
fn a_payload_is_read_as_text_or_as_bytes() {
    let (text, bytes) = (Payload::from("ü"), Payload::from(vec![0xff]));
    assert_eq!((text.as_text(), text.as_bytes()), (Some("ü"), "ü".as_bytes()));
    assert_eq!((bytes.as_text(), bytes.as_bytes()), (None, [0xff].as_slice()));
}
