//! What the WIT package looks like in Rust, one world for each handler, so that a module exports only what it wants.
//!
//! The worlds share the types of `started`. On the native side the types can be read from case files and written beside them, under
//! the names that the WIT gives them.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated: the calling convention of components needs raw pointers, and the code follows no style"
)]

/// Every module: how it starts, and what it may call.
pub mod started {
    wit_bindgen::generate!({
        path: "../wit",
        world: "started",
        generate_unused_types: true,
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/lifecycle@0.2.0/context": [#[derive(Default)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields, default))]],
            "sluicebox:module/types@0.2.0/change": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_started",
        default_bindings_module: "sluicebox_sdk::bindings::started",
    });
}

/// Modules that are told of subjects.
pub mod subjects {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-subjects",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/subjects@0.2.0/subject-kind": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/subjects@0.2.0/subject": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
        },
        additional_member_attributes: {
            "sluicebox:module/subjects@0.2.0/subject.attributes": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_subjects",
        default_bindings_module: "sluicebox_sdk::bindings::subjects",
    });
}

/// Modules that take their state from one instance to the next.
pub mod state {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-state",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_state",
        default_bindings_module: "sluicebox_sdk::bindings::state",
    });
}

/// Modules that are given typed pods.
pub mod pods {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-pods",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/pod-handler@0.2.0/pod-event": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/pod-handler@0.2.0/pod": [#[derive(Default)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields, default))]],
            "sluicebox:module/pod-handler@0.2.0/owner": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/pod-handler@0.2.0/qos-class": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/pod-handler@0.2.0/phase": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/pod-handler@0.2.0/container": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/pod-handler@0.2.0/container-kind": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/pod-handler@0.2.0/container-port": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/pod-handler@0.2.0/container-status": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/pod-handler@0.2.0/container-state": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/pod-handler@0.2.0/terminated": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
        },
        additional_member_attributes: {
            "sluicebox:module/pod-handler@0.2.0/owner.controller": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container.ports": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container.requests": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container.limits": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container-status.image-id": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container-status.ready": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/pod-handler@0.2.0/container-status.restart-count": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_pods",
        default_bindings_module: "sluicebox_sdk::bindings::pods",
    });
}

/// Modules that are given objects as the API's own JSON.
pub mod objects {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-objects",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/object-handler@0.2.0/object-kind": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/object-handler@0.2.0/object-event": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
        },
        additional_member_attributes: {
            "sluicebox:module/object-handler@0.2.0/object-event.namespace": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_objects",
        default_bindings_module: "sluicebox_sdk::bindings::objects",
    });
}

/// Modules that are given samples.
pub mod samples {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-samples",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_samples",
        default_bindings_module: "sluicebox_sdk::bindings::samples",
    });
}

/// Modules that are given typed services.
pub mod services {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-services",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/service-handler@0.2.0/service-event": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/service-handler@0.2.0/service": [#[derive(Default)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields, default))]],
            "sluicebox:module/service-handler@0.2.0/service-port": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_services",
        default_bindings_module: "sluicebox_sdk::bindings::services",
    });
}

/// Modules that are given typed nodes.
pub mod nodes {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-nodes",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/node-handler@0.2.0/node-event": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/node-handler@0.2.0/node": [#[derive(Default)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields, default))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_nodes",
        default_bindings_module: "sluicebox_sdk::bindings::nodes",
    });
}

/// Modules that are told who talks to whom.
pub mod connections {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-connections",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/connection-handler@0.2.0/protocol": [#[derive(Hash)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/connection-handler@0.2.0/direction": [#[derive(Hash)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_connections",
        default_bindings_module: "sluicebox_sdk::bindings::connections",
    });
}

/// Modules that are given inventories of this node.
pub mod inventory {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-inventory",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/inventory-handler@0.2.0/inventory": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/inventory-handler@0.2.0/workload": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-container": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-port": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case", deny_unknown_fields))]],
        },
        additional_member_attributes: {
            "sluicebox:module/inventory-handler@0.2.0/inventory.more": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory.pods": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node.addresses": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node.kernel-version": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node.labels": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node.allocatable": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-node.attributes": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod.pod-ips": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod.host-network": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod.owners": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod.containers": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-pod.attributes": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/workload.api-version": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/workload.uid": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-container.image": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-container.pids": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
            "sluicebox:module/inventory-handler@0.2.0/inventory-container.ports": [#[cfg_attr(not(target_family = "wasm"), serde(default))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_inventory",
        default_bindings_module: "sluicebox_sdk::bindings::inventory",
    });
}

/// Modules that are given time series.
pub mod series {
    wit_bindgen::generate!({
        path: "../wit",
        world: "with-series",
        with: { "sluicebox:module/types@0.2.0": crate::bindings::started::sluicebox::module::types },
        additional_derives: [PartialEq],
        additional_type_attributes: {
            "sluicebox:module/series-handler@0.2.0/origin": [#[derive(Hash)] #[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
            "sluicebox:module/series-handler@0.2.0/bounds": [#[cfg_attr(not(target_family = "wasm"), derive(serde::Deserialize), serde(rename_all = "kebab-case"))]],
        },
        pub_export_macro: true,
        export_macro_name: "export_series",
        default_bindings_module: "sluicebox_sdk::bindings::series",
    });
}
