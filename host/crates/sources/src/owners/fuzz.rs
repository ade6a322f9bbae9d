//! Whatever the API server says of those who control others.

use sluicebox_contract::pod::Owner;
use sluicebox_testkit::fuzz::Fuzz;

use super::parse::{controller, kinds, kinds_path, object_path};

#[test]
fn what_is_said_of_owners_is_read_or_refused_and_leads_nowhere_else() {
    let list = r#"{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment"},{"name":"deployments/scale","namespaced":true,"kind":"Scale"}]}"#;
    let object = r#"{"metadata":{"uid":"u","name":"a","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"d","uid":"x","controller":true}]}}"#;
    Fuzz::of([list, object]).words(["apps/v1", "..", "/", "?", "#", "%2e"]).run(|input, dice| {
        let words = |words: &String| (1..4000).contains(&words.len());
        let owner = match controller(input, "u") {
            Ok(owner) => owner,
            Err(cause) => return assert!(words(&cause), "{cause}"),
        };
        let text: String = String::from_utf8_lossy(input).chars().skip(dice.below(60)).take(dice.below(40)).collect();
        let owner = owner.unwrap_or(Owner {
            api_version: text.clone(),
            kind: "Deployment".to_owned(),
            name: text,
            uid: "x".to_owned(),
            controller: true,
        });
        let found = kinds(input).inspect_err(|cause| assert!(words(cause), "{cause}")).unwrap_or_default();
        let resources = found.values().filter_map(|resource| object_path(&owner, resource, &owner.name));
        for path in resources.chain(kinds_path(&owner.api_version)) {
            assert!(path.starts_with("/api") && !path.split('/').any(|part| matches!(part, "." | "..")), "{path}");
            assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'\\')), "{path}");
        }
    });
}
