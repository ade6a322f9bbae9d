//! How Fluent Bit looks for a container's image and its hash in a pod's status: pure.

use serde_json::Value;

/// What was found of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) image: Option<&'a str>,
    pub(super) hash: Option<&'a str>,
}

/// Goes through the keys of the status and of each container in the order in which they are written, once. What stands before a `name` is
/// taken before it is known whose it is, and goes to the next container that has none of its own: whoever sorts keys makes that happen.
pub(super) fn search<'a>(status: &'a Value, container: &str) -> Found<'a> {
    let mut found = Found::default();
    let lists = status.as_object().into_iter().flatten();
    let lists = lists.filter(|(key, _)| matches!(key.as_str(), "containerStatuses" | "initContainerStatuses"));
    for fields in lists.filter_map(|(_, list)| list.as_array()).flatten().filter_map(Value::as_object) {
        let mut is_it = false;
        for (key, value) in fields {
            let value = value.as_str().unwrap_or_default();
            match key.as_str() {
                "name" if value == container => is_it = true,
                "name" => break,
                "imageID" => found.hash = hash(value).or(found.hash),
                "image" => found.image = Some(value),
                _ => {}
            }
        }
        if is_it {
            found.image = found.image.filter(|image| !image.is_empty());
            return found;
        }
    }
    Found::default()
}

/// What follows `scheme://`, or all of it; nothing without a colon.
fn hash(image_id: &str) -> Option<&str> {
    let (_, rest) = image_id.split_once(':')?;
    let hash = if rest.starts_with('/') { rest.trim_start_matches('/') } else { image_id };
    (image_id.len() > 1 && !hash.is_empty()).then_some(hash)
}
