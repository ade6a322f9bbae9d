//! What a collector needs to record for an author.

use std::fmt;

use serde_json::{Value, json};

use super::cases;
pub use super::recorded::Recorded;
use super::recorded::unfold;
use super::redact::Redactor;
pub use super::requests::{Answer, Asked, MOST_TIME, Request};

/// Why there is no recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// What was tried; says nothing of any event.
    pub reason: String,
    /// The cause, which may repeat what an event says: for nobody but whoever has asked.
    cause: String,
}

impl Unmade {
    /// For a reason that says everything.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: String::new() }
    }

    /// For a cause that an event has.
    pub fn of_events(reason: &str, cause: String) -> Self {
        Self { reason: reason.to_owned(), cause }
    }
}

impl fmt::Display for Unmade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, cause } = self;
        if cause.is_empty() { formatter.write_str(reason) } else { write!(formatter, "{reason}: {cause}") }
    }
}

/// The recording as a case, redacted.
pub fn finish(recorded: Recorded, settings: &Value, context: &Value, redact: &[String]) -> Result<Value, Unmade> {
    let steps = recorded.into_steps();
    if steps.is_empty() {
        let cause = "what it had last stands in only while what that is about is there; give more `--time`, or change something";
        return Err(Unmade { reason: "nothing came to the lane in that time".to_owned(), cause: cause.to_owned() });
    }
    let mut case =
        json!({"about": "Recorded from a running collector.", "context": context, "settings": settings, "steps": steps});
    Redactor::default().redact(&mut case, redact);
    if let Some(steps) = case.get_mut("steps").and_then(Value::as_array_mut) {
        unfold(steps);
    }
    let script = cases::read("recorded", &case.to_string()).and_then(|case| cases::script(&case));
    match script {
        Ok(_) => Ok(case),
        Err(error) if redact.is_empty() => Err(Unmade::of_events("what was recorded cannot be read as a case", error)),
        Err(error) => {
            let hint =
                "hint: leave out what the format has words of its own for, such as `phase`, `qos-class`, `direction` or `query`";
            Err(Unmade::of_events("what was recorded is no case any more without these fields", format!("{error}\n{hint}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluicebox_contract::Subject;

    use super::*;
    use crate::author::cases::{Script, Step};

    fn script(case: &Value) -> Script {
        cases::script(&cases::read("case", &case.to_string()).unwrap()).unwrap()
    }

    /// What these steps hand over, recorded; with its events as they are when the recording is read.
    fn recorded(steps: &Value, redact: &[&str]) -> (Value, Vec<Value>) {
        let mut recorded = Recorded::default();
        let mut subjects: Vec<Arc<Subject>> = Vec::new();
        for step in script(&json!({"about": "", "steps": steps})).steps {
            let Step::Batch { define, events, .. } = step else { panic!("a batch: {step:?}") };
            subjects.extend(define);
            recorded.take(events.iter().map(|event| (event, subjects.as_slice()))).unwrap();
        }
        let redact: Vec<String> = redact.iter().map(|name| (*name).to_owned()).collect();
        let case = finish(recorded, &json!({}), &json!({}), &redact).unwrap();
        let events = script(&case).steps.into_iter().filter_map(|step| match step {
            Step::Batch { events, .. } => Some(serde_json::to_value(events).unwrap()),
            _ => None,
        });
        let events = events.collect();
        (case, events)
    }

    fn last(case: &Value) -> &Value {
        case["steps"].as_array().unwrap().last().unwrap()
    }

    #[test]
    fn a_label_whose_text_is_an_object_is_read_back_as_it_was() {
        let metric = json!({"__name__": "x", "json": "{\"a\": [1]}", "object": "{\"json\":\"{}\"}", "list": "[1]"});
        let steps = json!([{"series": {"query": "x", "result": [{"metric": metric, "value": [1, "2"]}]}}]);
        for redact in [&[][..], &["team"]] {
            assert_eq!(last(&recorded(&steps, redact).0)["series"]["result"][0]["metric"], metric);
        }
        let (case, _) = recorded(&steps, &["json"]);
        assert_eq!(last(&case)["series"]["result"][0]["metric"]["json"], "redacted-1");
    }

    #[test]
    fn an_object_that_stands_as_text_is_redacted_too() {
        let steps = json!([{"events": [{"object": {"change": "added", "json": "{ \"metadata\": {\"name\": \"web\"} }"}}]}]);
        let (case, _) = recorded(&steps, &["name"]);
        assert_eq!(last(&case)["events"][0]["object"]["json"], json!({"metadata": {"name": "redacted-1"}}));
    }

    #[test]
    fn an_object_in_which_nothing_is_taken_out_stays_as_it_was() {
        // White space, another form of a number, and what would be an abbreviation.
        for text in [r#"{ "a": 1e3 }"#, r#"{"a":{"$like":"b"}}"#, r#"{"object":{"json":"{}"}}"#] {
            let steps = json!([{"events": [{"object": {"change": "added", "json": text}}]}]);
            for redact in [&[][..], &["team"]] {
                let (_, events) = recorded(&steps, redact);
                assert_eq!(events[0][0]["object"]["json"], text);
            }
        }
    }

    #[test]
    fn whoever_has_nothing_is_told_what_to_do() {
        let unmade = finish(Recorded::default(), &json!({}), &json!({}), &[]).unwrap_err();
        assert_eq!(unmade.reason, "nothing came to the lane in that time");
        assert!(unmade.to_string().contains("give more `--time`"), "{unmade}");
    }

    #[test]
    fn what_an_event_says_does_not_stand_in_the_reason() {
        let unmade = Unmade::of_events("cannot write an event", "its label is `secret`".to_owned());
        assert_eq!(unmade.reason, "cannot write an event");
        assert_eq!(unmade.to_string(), "cannot write an event: its label is `secret`");
        assert_eq!(Unmade::new("nothing came").to_string(), "nothing came");
    }
}
