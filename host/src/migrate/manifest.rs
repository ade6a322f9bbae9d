//! Kubernetes manifests: the `env` and `args` of one container. Pure.

use serde_json::Value as Json;

use super::found::{Found, Value};
use crate::config::yaml::parse;

/// How the container of a program is known.
pub(super) struct Wanted<'names> {
    /// By what the user says.
    pub(super) container: Option<&'names str>,
    /// By its image or its own name.
    pub(super) image: &'names str,
    /// By its variables, and by its flags, which begin with two dashes.
    pub(super) has: &'names dyn Fn(&str) -> bool,
}

/// The objects that stand in a text.
pub(super) fn objects(text: &str) -> Result<Vec<Json>, String> {
    let parsed = documents(text).into_iter().map(|document| {
        // A manifest has no variables: what looks like one is text.
        parse(&document.replace('$', "$$"), &|_| None)
            .map(|(document, _)| document.value)
            .map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))
    });
    parsed.collect()
}

/// A container, and the object that it stands in.
#[derive(PartialEq)]
struct Container {
    /// `kind/name`, in small letters, behind the namespace where the object names one.
    of: String,
    namespace: String,
    spec: Json,
}

impl Container {
    fn name(&self) -> String {
        string(&self.spec, "/name")
    }

    /// By which only this one is meant.
    fn path(&self) -> String {
        format!("{}/{}", self.of, self.name())
    }

    /// Whether what a user says names it.
    fn is_called(&self, name: &str) -> bool {
        let (path, name) = (self.path().to_lowercase(), name.to_lowercase());
        path.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    }
}

/// Reads the settings of the container that is wanted.
pub(super) fn read(objects: &[Json], wanted: &Wanted<'_>) -> Result<Found, String> {
    let (mut containers, mut maps) = (Vec::new(), Vec::new());
    for object in objects {
        collect(object, &mut containers, &mut maps);
    }
    let is_alone = |one: &Container| containers.iter().filter(|other| other.name() == one.name()).count() == 1;
    let names = containers.iter().map(|one| format!("`{}`", if is_alone(one) { one.name() } else { one.path() }));
    let names = names.collect::<Vec<_>>().join(", ");
    let fits = |one: &&Container| match wanted.container {
        Some(name) => one.is_called(name),
        None => is_known(&one.spec, wanted),
    };
    let taken = |one: &Container| {
        // What a ConfigMap or a Secret sets may be the program's.
        let could_be = is_known(&one.spec, wanted) || !list(&one.spec, "/envFrom").is_empty();
        if could_be { Ok(settings(one, &maps)) } else { Err(stranger(&one.spec, wanted, &names)) }
    };
    let fitting: Vec<&Container> = containers.iter().filter(fits).collect();
    match (fitting.as_slice(), containers.as_slice(), wanted.container) {
        (_, [], _) => Err("there is no container in it: a Pod, Deployment, DaemonSet, StatefulSet, Job or CronJob has some\n\
                 hint: what a file of docker compose sets can be read as a file of variables (`--env-file`)"
            .to_owned()),
        ([one], ..) => taken(one),
        ([], [one], None) => taken(one),
        ([], _, Some(name)) => Err(format!("there is no container `{name}` in it; there are {names}")),
        ([], ..) => Err(format!("none of its containers is one of `{}`: {names}; name it with `--container`", wanted.image)),
        _ => Err(format!("several of its containers could be meant: {names}; name one with `--container`")),
    }
}

/// What is to be said of a container that is not the program's.
fn stranger(container: &Json, wanted: &Wanted<'_>, names: &str) -> String {
    format!(
        "the container `{}` is no `{}`: neither its image nor its name says so, and no setting of that is in it\n\
         hint: is it the right one? there are {names}; where all was left as it was by default, run this without `--manifest`",
        string(container, "/name"),
        wanted.image
    )
}

/// YAML's `---` begins another document where it begins a line.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents.retain(|document| document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')));
    documents
}

/// One that is given twice counts once.
fn collect(object: &Json, containers: &mut Vec<Container>, maps: &mut Vec<Json>) {
    for item in list(object, "/items") {
        collect(item, containers, maps);
    }
    if matches!(string(object, "/kind").as_str(), "ConfigMap" | "Secret") {
        maps.push(object.clone());
    }
    let namespace = string(object, "/metadata/namespace");
    let of = [namespace.as_str(), &string(object, "/kind").to_lowercase(), &string(object, "/metadata/name")];
    let of = of.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    for spec in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        for kind in ["containers", "initContainers"] {
            for spec in list(object, &format!("{spec}/{kind}")) {
                let one = Container { of: of.clone(), namespace: namespace.clone(), spec: spec.clone() };
                if !containers.contains(&one) {
                    containers.push(one);
                }
            }
        }
    }
}

fn is_known(container: &Json, wanted: &Wanted<'_>) -> bool {
    let named = string(container, "/image").contains(wanted.image) || string(container, "/name").contains(wanted.image);
    let flag = |word: &str| {
        let word = word.strip_prefix('-')?;
        let name = word.strip_prefix('-').unwrap_or(word).split('=').next().unwrap_or_default();
        Some(format!("--{name}"))
    };
    named
        || list(container, "/env").iter().any(|variable| (wanted.has)(&string(variable, "/name")))
        || words(container)
            .map(text)
            .any(|word| word.contains(wanted.image) || flag(&word).is_some_and(|name| (wanted.has)(&name)))
}

/// What is run: the image's own words are not there.
fn words(container: &Json) -> impl Iterator<Item = &Json> {
    ["/command", "/args"].into_iter().flat_map(|part| list(container, part))
}

/// The settings of a container. `maps` are the `ConfigMap`s and Secrets beside it: of several of one name that of its namespace counts, else one
/// that names no namespace, which is wherever it is applied.
fn settings(container: &Container, maps: &[Json]) -> Found {
    let Container { namespace, spec: container, .. } = container;
    let mut found = Found::default();
    // Before `env`, which counts where both set a variable.
    for source in list(container, "/envFrom") {
        let (kind, reference) = match source.pointer("/secretRef") {
            Some(_) => ("Secret", "/secretRef/name"),
            None => ("ConfigMap", "/configMapRef/name"),
        };
        let called = string(source, reference);
        let is_it = |map: &&Json| string(map, "/kind") == kind && string(map, "/metadata/name") == called;
        let home = |map: &Json| string(map, "/metadata/namespace");
        let own = maps.iter().filter(is_it).find(|map| home(map) == *namespace);
        let any = || maps.iter().filter(is_it).find(|map| namespace.is_empty() || home(map).is_empty());
        let Some(map) = own.or_else(any) else {
            found.warnings.push(elsewhere(kind, &called));
            continue;
        };
        // Of a Secret, too, no more than the names.
        let data = ["/data", "/stringData"].into_iter().filter_map(|part| map.pointer(part).and_then(Json::as_object));
        for name in data.flat_map(|data| data.keys()).map(|key| format!("{}{key}", string(source, "/prefix"))) {
            let value = Value::elsewhere(&name, format!("the {kind} `{called}`"));
            found.variables.insert(name, value);
        }
    }
    for variable in list(container, "/env") {
        let name = string(variable, "/name");
        let value = match variable.pointer("/valueFrom") {
            Some(reference) => Value::elsewhere(&name, whence(reference)),
            None => found.expanded(&string(variable, "/value")),
        };
        found.variables.insert(name, value);
    }
    found.arguments = words(container).map(|word| found.expanded(&text(word))).collect();
    found
}

/// What is to be said of variables that stand in an object that is not there.
fn elsewhere(kind: &str, name: &str) -> String {
    let command = format!("kubectl get {} {name} -o yaml > {name}.yaml", kind.to_lowercase());
    format!(
        "`envFrom` takes variables from the {kind} `{name}`, which is in no file that was given: what is set there and means something is \
         not in this configuration\nhint: `{command}`, in the namespace of the pod, and add `--manifest {name}.yaml`"
    )
}

/// What a `valueFrom` refers to.
fn whence(reference: &Json) -> String {
    for (kind, called) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
        if reference.get(kind).is_some() {
            let (name, key) = (string(reference, &format!("/{kind}/name")), string(reference, &format!("/{kind}/key")));
            return format!("the {called} `{name}`, key `{key}`");
        }
    }
    if reference.get("fieldRef").is_some() {
        return format!("the pod's field `{}`", string(reference, "/fieldRef/fieldPath"));
    }
    "a reference".to_owned()
}

fn list<'json>(object: &'json Json, path: &str) -> &'json [Json] {
    object.pointer(path).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn string(object: &Json, path: &str) -> String {
    object.pointer(path).map_or_else(String::new, text)
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: ServiceAccount\n---\nkind: DaemonSet\nspec:\n  template:\n    spec:\n      containers:\n      \
                       - {name: other, image: nginx}\n      - name: exporter\n        image: x/pod-meta-exporter:latest\n        args: \
                       [--node-name=$(NODE), \"--retention-period=5m\"]\n        env:\n        - {name: NODE, valueFrom: {fieldRef: \
                       {fieldPath: spec.nodeName}}}\n        - {name: A, value: \"$$x-$(NODE)\"}\n        - {name: B, valueFrom: \
                       {secretKeyRef: {name: s, key: k}}}\n        envFrom: [{configMapRef: {name: more}}]\n";

    fn read(text: &str, wanted: &Wanted<'_>) -> Result<Found, String> {
        super::read(&objects(text).unwrap(), wanted)
    }

    fn wanted(container: Option<&str>) -> Wanted<'_> {
        Wanted { container, image: "pod-meta-exporter", has: &|name| name.starts_with("EXPORTER_") }
    }

    #[test]
    fn the_container_is_found_with_what_it_refers_to() {
        let found = read(TWO, &wanted(None)).unwrap();
        let written: Vec<String> = found.variables.iter().map(|(name, value)| format!("{name}={}", value.written)).collect();
        assert_eq!(written, ["A=$$x-${NODE}", "B=${B}", "NODE=${NODE}"]);
        assert_eq!(found.variables["B"].whence.as_deref(), Some("the Secret `s`, key `k`"));
        assert_eq!(
            found.arguments.iter().map(|value| value.written.as_str()).collect::<Vec<_>>(),
            ["--node-name=${NODE}", "--retention-period=5m"]
        );
        assert!(found.warnings[0].contains("the ConfigMap `more`"), "{:?}", found.warnings);
    }

    #[test]
    fn a_config_map_that_is_there_says_which_variables_it_sets() {
        let map = "kind: ConfigMap\nmetadata: {name: more}\ndata: {A: of the map, EXPORTER_NODE_NAME: x}\n---\n";
        let found = read(&format!("{map}{TWO}"), &wanted(None)).unwrap();
        assert_eq!(found.warnings, Vec::<String>::new());
        assert_eq!(found.variables["EXPORTER_NODE_NAME"].written, "${EXPORTER_NODE_NAME}");
        assert_eq!(found.variables["A"].written, "$$x-${NODE}", "what `env` sets counts");
    }

    #[test]
    fn a_secret_that_is_there_says_which_variables_it_sets_and_nothing_else() {
        let secret = "kind: Secret\nmetadata: {name: more}\ndata: {EXPORTER_NODE_NAME: aGlkZGVu}\nstringData: {P: hidden}\n---\n";
        let text = format!("{secret}{}", TWO.replace("configMapRef: {name: more}", "secretRef: {name: more}, prefix: X_"));
        let found = read(&text, &wanted(None)).unwrap();
        assert_eq!(found.warnings, Vec::<String>::new());
        assert_eq!(found.variables["X_EXPORTER_NODE_NAME"].whence.as_deref(), Some("the Secret `more`"));
        assert!(found.variables.contains_key("X_P") && !format!("{found:?}").contains("hidden"));
        let other = read(&format!("{secret}{TWO}"), &wanted(None)).unwrap();
        assert!(other.warnings[0].contains("`kubectl get configmap more -o yaml > more.yaml`"), "{:?}", other.warnings);
    }

    #[test]
    fn a_container_that_is_not_plain_is_asked_for() {
        let several = TWO.replace("nginx", "pod-meta-exporter");
        assert_eq!(
            read(&several, &wanted(None)).unwrap_err(),
            "several of its containers could be meant: `other`, `exporter`; name one with `--container`"
        );
        assert!(read(&several, &wanted(Some("exporter"))).is_ok());
        assert_eq!(
            read(&several, &wanted(Some("x"))).unwrap_err(),
            "there is no container `x` in it; there are `other`, `exporter`"
        );
        assert!(read("kind: Service\n", &wanted(None)).unwrap_err().contains("no container"));
    }

    #[test]
    fn of_several_config_maps_that_of_the_own_namespace_counts() {
        let map = |place: &str, variable: &str| {
            format!("kind: ConfigMap\nmetadata: {{name: more{place}}}\ndata: {{{variable}: x}}\n---\n")
        };
        let found = |maps: &str, own: &str| {
            let text = TWO.replace("kind: DaemonSet\n", &format!("kind: DaemonSet\nmetadata: {{name: d{own}}}\n"));
            let found = read(&format!("{maps}{text}"), &wanted(None)).unwrap();
            let names = ["C", "D", "E"].into_iter().filter(|name| found.variables.contains_key(*name));
            (names.collect::<String>(), found.warnings.len())
        };
        let all = map(", namespace: staging", "C") + &map(", namespace: prod", "D") + &map("", "E");
        assert_eq!(found(&all, ", namespace: prod"), ("D".to_owned(), 0));
        assert_eq!(found(&all, ", namespace: other"), ("E".to_owned(), 0), "it goes wherever it is applied");
        assert_eq!(found(&all, ""), ("E".to_owned(), 0));
        assert_eq!(found(&map(", namespace: staging", "C"), ", namespace: prod"), (String::new(), 1), "it is another's");
        assert_eq!(found(&map(", namespace: staging", "C"), ""), ("C".to_owned(), 0));
    }

    #[test]
    fn containers_of_one_name_are_told_apart_by_what_they_stand_in() {
        let of = |namespace: &str, flag: &str| {
            format!(
                "kind: Deployment\nmetadata: {{name: old, namespace: {namespace}}}\nspec: {{template: {{spec: {{containers: [{{name: main, image: \
                 pod-meta-exporter, args: [--{flag}]}}]}}}}}}\n---\n"
            )
        };
        let both = of("prod", "one") + &of("staging", "two");
        assert_eq!(
            read(&both, &wanted(None)).unwrap_err(),
            "several of its containers could be meant: `prod/deployment/old/main`, `staging/deployment/old/main`; name one with `--container`"
        );
        let found = read(&both, &wanted(Some("staging/Deployment/old/main"))).unwrap();
        assert_eq!(found.arguments[0].written, "--two");
        assert!(read(&both, &wanted(Some("old/main"))).unwrap_err().contains("several"));
        assert!(read(&both, &wanted(Some("ain"))).unwrap_err().contains("no container `ain`"));
        assert!(read(&(of("prod", "one") + &of("prod", "one")), &wanted(None)).is_ok(), "the same one twice");
    }
}
