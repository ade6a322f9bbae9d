//! Which rights there are in manifests, and how they are without one of them: pure.

use serde_json::{Value, json};

use crate::workspace::{list, text};

/// A verb that may be used on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: String,
    pub(super) resource: String,
}

/// Every right of the roles among the objects, each once.
pub(super) fn all(objects: &[Value]) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in roles(objects).flat_map(|role| list(role, "rules")) {
        for resource in list(rule, "resources").filter_map(Value::as_str) {
            for verb in list(rule, "verbs").filter_map(Value::as_str) {
                let right = Right { verb: verb.to_owned(), resource: resource.to_owned() };
                if !rights.contains(&right) {
                    rights.push(right);
                }
            }
        }
    }
    rights
}

/// The roles among the objects, without that right; what the server says of versions is left out.
pub(super) fn without(objects: &[Value], right: &Right) -> Vec<Value> {
    roles(objects).map(|role| role_without(role, right)).collect()
}

fn roles(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| matches!(text(object, "kind"), "Role" | "ClusterRole"))
}

fn role_without(role: &Value, right: &Right) -> Value {
    let rules: Vec<Value> = list(role, "rules").flat_map(|rule| rule_without(rule, right)).collect();
    let metadata =
        ["name", "namespace", "labels"].map(|name| (name.to_owned(), role.pointer(&format!("/metadata/{name}")).cloned()));
    let metadata: serde_json::Map<_, _> = metadata.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    json!({"apiVersion": role.get("apiVersion"), "kind": role.get("kind"), "metadata": metadata, "rules": rules})
}

/// A rule for the resource that loses the verb, and one for the others.
fn rule_without(rule: &Value, right: &Right) -> Vec<Value> {
    let resources =
        |ours: bool| list(rule, "resources").filter(move |name| (*name == &right.resource) == ours).cloned().collect::<Vec<_>>();
    let verbs: Vec<Value> = list(rule, "verbs").filter(|verb| *verb != &right.verb).cloned().collect();
    let with = |resources: Vec<Value>, verbs: Option<&Vec<Value>>| {
        let mut rule = rule.clone();
        if let Some(rule) = rule.as_object_mut() {
            rule.insert("resources".to_owned(), Value::Array(resources));
            if let Some(verbs) = verbs {
                rule.insert("verbs".to_owned(), Value::Array(verbs.clone()));
            }
        }
        rule
    };
    let mut rules = Vec::new();
    if !resources(false).is_empty() {
        rules.push(with(resources(false), None));
    }
    if !resources(true).is_empty() && !verbs.is_empty() {
        rules.push(with(resources(true), Some(&verbs)));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Vec<Value> {
        let rule = json!({"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["list", "watch"]});
        vec![
            json!({"apiVersion": "v", "kind": "ClusterRole", "metadata": {"name": "a", "uid": "u"}, "rules": [rule]}),
            json!({"kind": "Pod"}),
        ]
    }

    #[test]
    fn one_right_less_leaves_all_others() {
        let gone = Right { verb: "list".to_owned(), resource: "nodes".to_owned() };
        let left = without(&role(), &gone);
        let expected: Vec<Right> = all(&role()).into_iter().filter(|right| *right != gone).collect();
        assert_eq!((all(&left), left.len()), (expected, 1));
        assert_eq!(left[0]["metadata"], json!({"name": "a"}));
    }
}
