//! The seccomp profile that a runtime takes for `RuntimeDefault`: the one that Debian ships for its container tools, in the form that runc reads.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::workspace::list;

/// Reads the profile for a container without any capability.
pub(super) fn read(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let profile: Value = serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(for_runc(&profile, machine()))
}

/// As the profile names this machine.
fn machine() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Rules that only a capability or another machine brings are left out.
fn for_runc(profile: &Value, machine: &str) -> Value {
    let architectures =
        if machine == "arm64" { ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"] } else { ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] };
    let rules: Vec<Value> = list(profile, "syscalls").filter(|rule| applies(rule, machine)).map(rule).collect();
    let mut made = json!({"defaultAction": profile.get("defaultAction"), "architectures": architectures, "syscalls": rules});
    if let (Some(number), Some(made)) = (profile.get("defaultErrnoRet"), made.as_object_mut()) {
        made.insert("defaultErrnoRet".to_owned(), number.clone());
    }
    made
}

fn applies(rule: &Value, machine: &str) -> bool {
    let named = |pointer: &str| rule.pointer(pointer).and_then(Value::as_array).filter(|names| !names.is_empty());
    let has = |names: &Vec<Value>| names.iter().any(|name| name == machine);
    named("/includes/caps").is_none() && named("/includes/arches").is_none_or(has) && !named("/excludes/arches").is_some_and(has)
}

fn rule(rule: &Value) -> Value {
    let mut made = Map::new();
    for name in ["names", "action"] {
        made.insert(name.to_owned(), rule.get(name).cloned().unwrap_or_default());
    }
    if rule.get("action").is_some_and(|action| action == "SCMP_ACT_ERRNO")
        && let Some(number) = rule.get("errnoRet").filter(|number| number.is_number())
    {
        made.insert("errnoRet".to_owned(), number.clone());
    }
    let arguments: Vec<&Value> = list(rule, "args").collect();
    if !arguments.is_empty() {
        made.insert("args".to_owned(), json!(arguments));
    }
    Value::Object(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_capability_brings_is_left_out() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        ]});
        let made = for_runc(&profile, "arm64");
        assert_eq!(made["syscalls"], json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]));
        assert_eq!(made["defaultErrnoRet"], 38);
    }
}
