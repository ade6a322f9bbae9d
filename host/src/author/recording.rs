//! What a collector needs to record for an author.

use serde_json::{Value, json};

use super::cases;
pub use super::recorded::Recorded;
use super::redact::Redactor;
pub use super::requests::{Answer, Asked, Request};

/// The recording as a case, redacted. The error says why it would be none.
pub fn finish(recorded: Recorded, settings: &Value, context: &Value, redact: &[String]) -> Answer {
    let steps = recorded.into_steps();
    if steps.is_empty() {
        return Err("nothing came to the lane in that time".to_owned());
    }
    let mut case =
        json!({"about": "Recorded from a running collector.", "context": context, "settings": settings, "steps": steps});
    Redactor::default().redact(&mut case, redact);
    let script = cases::read("recorded", &case.to_string()).and_then(|case| cases::script(&case));
    match script {
        Ok(_) => Ok(case),
        Err(error) if redact.is_empty() => Err(format!("what was recorded cannot be read as a case: {error}")),
        Err(error) => Err(format!("what was recorded is no case any more without these fields: {error}")),
    }
}
