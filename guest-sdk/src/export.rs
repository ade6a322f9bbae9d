//! How a module's type becomes a component: the macro, and what it expands to.

#[cfg(target_family = "wasm")]
use std::cell::RefCell;

use crate::{
    ConnectionReport, Entries, Inventory, Metric, Module, NodeEvent, ObjectEvent, Payload, PodEvent, SeriesReport, ServiceEvent,
    Subject, SubjectId, Tick,
};

/// Makes a component of a module: `export!(Hello: pods, subjects, state);`, naming the handlers that it has: `pods`, `services`, `nodes`,
/// `objects`, `samples`, `connections`, `inventory`, `series`, `subjects`, `state`.
///
/// The named handlers are those that the host finds, and so decide which events the module is given. Stands once in a crate, which has
/// `crate-type = ["cdylib", "rlib"]`. In a native build nothing is exported; there the line tells the
/// [case runner](crate::cases) which handlers there are.
///
/// The functions that the host calls are `unsafe extern "C"` by nature. They stand in the expansion of this macro, where a crate's own
/// `#![forbid(unsafe_code)]` does not reach: an author can keep it.
#[macro_export]
macro_rules! export {
    ($module:ty $(: $($handler:ident),+ $(,)?)?) => {
        impl $crate::Exported for $module {
            $($($crate::__forward!($handler);)+)?
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static MODULE: ::std::cell::RefCell<::std::option::Option<$module>> = const { ::std::cell::RefCell::new(None) };
            }

            struct Component;

            impl $crate::bindings::started::exports::sluicebox::module::lifecycle::Guest for Component {
                fn start(settings: ::std::string::String, context: $crate::Context) -> ::std::result::Result<(), ::std::string::String> {
                    MODULE.with(|module| $crate::instance::start(module, &settings, &context))
                }
            }

            $crate::bindings::started::export_started!(Component);
            $($($crate::__component!($handler);)+)?
        };
    };
}

/// The handler as the case runner and the component find it.
#[doc(hidden)]
#[macro_export]
macro_rules! __forward {
    (pods) => {
        const PODS: bool = true;

        fn pods(
            &mut self,
            events: ::std::vec::Vec<$crate::PodEvent>,
        ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Pods::pods(self, events)
        }
    };
    (objects) => {
        const OBJECTS: bool = true;

        fn objects(
            &mut self,
            events: ::std::vec::Vec<$crate::ObjectEvent>,
        ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Objects::objects(self, events)
        }
    };
    (services) => {
        const SERVICES: bool = true;

        fn services(&mut self, events: ::std::vec::Vec<$crate::ServiceEvent>) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Services::services(self, events)
        }
    };
    (nodes) => {
        const NODES: bool = true;

        fn nodes(&mut self, events: ::std::vec::Vec<$crate::NodeEvent>) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Nodes::nodes(self, events)
        }
    };
    (connections) => {
        const CONNECTIONS: bool = true;

        fn connections(&mut self, report: $crate::ConnectionReport) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Connections::connections(self, report)
        }
    };
    (inventory) => {
        const INVENTORY: bool = true;

        fn inventory(&mut self, inventory: $crate::Inventory) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Inventories::inventory(self, inventory)
        }
    };
    (series) => {
        const SERIES: bool = true;

        fn series(&mut self, report: $crate::SeriesReport) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Series::series(self, report)
        }
    };
    (samples) => {
        const SAMPLES: bool = true;

        fn metrics(&mut self, metrics: ::std::vec::Vec<$crate::Metric>) {
            $crate::Samples::metrics(self, metrics);
        }

        fn samples(&mut self, tick: $crate::Tick) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
            $crate::Samples::samples(self, tick)
        }
    };
    (subjects) => {
        const SUBJECTS: bool = true;

        fn define(&mut self, subjects: ::std::vec::Vec<$crate::Subject>) {
            $crate::Subjects::define(self, subjects);
        }

        fn forget(&mut self, subjects: &[$crate::SubjectId]) {
            $crate::Subjects::forget(self, subjects);
        }
    };
    (state) => {
        const STATE: bool = true;

        fn save(&self) -> ::std::result::Result<(u32, $crate::Payload), ::std::string::String> {
            ::std::result::Result::Ok((<Self as $crate::State>::VERSION, $crate::State::save(self)?))
        }

        fn restore(&mut self, version: u32, data: $crate::Payload) -> ::std::result::Result<(), ::std::string::String> {
            $crate::State::restore(self, version, data)
        }
    };
    ($other:ident) => {
        ::std::compile_error!("unknown handler: `pods`, `services`, `nodes`, `objects`, `samples`, `connections`, `inventory`, `series`, `subjects` and `state` can be exported");
    };
}

/// The handler's own world, exported.
#[doc(hidden)]
#[macro_export]
macro_rules! __component {
    (pods) => {
        impl $crate::bindings::pods::exports::sluicebox::module::pod_handler::Guest for Component {
            fn handle(
                events: ::std::vec::Vec<$crate::PodEvent>,
            ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Pods::pods(module, events)))
            }
        }
        $crate::bindings::pods::export_pods!(Component);
    };
    (objects) => {
        impl $crate::bindings::objects::exports::sluicebox::module::object_handler::Guest for Component {
            fn handle(
                events: ::std::vec::Vec<$crate::ObjectEvent>,
            ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Objects::objects(module, events)))
            }
        }
        $crate::bindings::objects::export_objects!(Component);
    };
    (services) => {
        impl $crate::bindings::services::exports::sluicebox::module::service_handler::Guest for Component {
            fn handle(
                events: ::std::vec::Vec<$crate::ServiceEvent>,
            ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Services::services(module, events)))
            }
        }
        $crate::bindings::services::export_services!(Component);
    };
    (nodes) => {
        impl $crate::bindings::nodes::exports::sluicebox::module::node_handler::Guest for Component {
            fn handle(
                events: ::std::vec::Vec<$crate::NodeEvent>,
            ) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Nodes::nodes(module, events)))
            }
        }
        $crate::bindings::nodes::export_nodes!(Component);
    };
    (connections) => {
        impl $crate::bindings::connections::exports::sluicebox::module::connection_handler::Guest for Component {
            fn handle(report: $crate::ConnectionReport) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Connections::connections(module, report)))
            }
        }
        $crate::bindings::connections::export_connections!(Component);
    };
    (inventory) => {
        impl $crate::bindings::inventory::exports::sluicebox::module::inventory_handler::Guest for Component {
            fn handle(inventory: $crate::Inventory) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Inventories::inventory(module, inventory)))
            }
        }
        $crate::bindings::inventory::export_inventory!(Component);
    };
    (series) => {
        impl $crate::bindings::series::exports::sluicebox::module::series_handler::Guest for Component {
            fn handle(report: $crate::SeriesReport) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Series::series(module, report)))
            }
        }
        $crate::bindings::series::export_series!(Component);
    };
    (samples) => {
        impl $crate::bindings::samples::exports::sluicebox::module::sample_handler::Guest for Component {
            fn metrics(metrics: ::std::vec::Vec<$crate::Metric>) {
                MODULE.with(|module| $crate::instance::tell(module, |module| $crate::Samples::metrics(module, metrics)));
            }

            fn handle(tick: $crate::Tick) -> ::std::result::Result<$crate::Entries, ::std::string::String> {
                MODULE.with(|module| $crate::instance::call(module, |module| $crate::Samples::samples(module, tick)))
            }
        }
        $crate::bindings::samples::export_samples!(Component);
    };
    (subjects) => {
        impl $crate::bindings::subjects::exports::sluicebox::module::subjects::Guest for Component {
            fn define(subjects: ::std::vec::Vec<$crate::Subject>) {
                MODULE.with(|module| $crate::instance::tell(module, |module| $crate::Subjects::define(module, subjects)));
            }

            fn forget(subjects: ::std::vec::Vec<$crate::SubjectId>) {
                MODULE.with(|module| $crate::instance::tell(module, |module| $crate::Subjects::forget(module, &subjects)));
            }
        }
        $crate::bindings::subjects::export_subjects!(Component);
    };
    (state) => {
        impl $crate::bindings::state::exports::sluicebox::module::state::Guest for Component {
            fn save()
            -> ::std::result::Result<$crate::bindings::state::exports::sluicebox::module::state::Saved, ::std::string::String>
            {
                let (version, data) =
                    MODULE.with(|module| $crate::instance::call(module, |module| $crate::Exported::save(module)))?;
                ::std::result::Result::Ok($crate::bindings::state::exports::sluicebox::module::state::Saved { version, data })
            }

            fn restore(
                saved: $crate::bindings::state::exports::sluicebox::module::state::Saved,
            ) -> ::std::result::Result<(), ::std::string::String> {
                MODULE.with(|module| {
                    $crate::instance::call(module, |module| $crate::State::restore(module, saved.version, saved.data))
                })
            }
        }
        $crate::bindings::state::export_state!(Component);
    };
}

/// A module with the handlers that it exports. Implemented by [`export!`](crate::export), not by hand.
#[doc(hidden)]
pub trait Exported: Module {
    const PODS: bool = false;
    const OBJECTS: bool = false;
    const SAMPLES: bool = false;
    const SERVICES: bool = false;
    const NODES: bool = false;
    const CONNECTIONS: bool = false;
    const INVENTORY: bool = false;
    const SERIES: bool = false;
    const SUBJECTS: bool = false;
    const STATE: bool = false;

    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        let _ = events;
        Err("the module does not export `pods`".to_owned())
    }

    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let _ = events;
        Err("the module does not export `objects`".to_owned())
    }

    fn metrics(&mut self, metrics: Vec<Metric>) {
        let _ = metrics;
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        let _ = tick;
        Err("the module does not export `samples`".to_owned())
    }

    fn services(&mut self, events: Vec<ServiceEvent>) -> Result<Entries, String> {
        let _ = events;
        Err("the module does not export `services`".to_owned())
    }

    fn nodes(&mut self, events: Vec<NodeEvent>) -> Result<Entries, String> {
        let _ = events;
        Err("the module does not export `nodes`".to_owned())
    }

    fn connections(&mut self, report: ConnectionReport) -> Result<Entries, String> {
        let _ = report;
        Err("the module does not export `connections`".to_owned())
    }

    fn inventory(&mut self, inventory: Inventory) -> Result<Entries, String> {
        let _ = inventory;
        Err("the module does not export `inventory`".to_owned())
    }

    fn series(&mut self, report: SeriesReport) -> Result<Entries, String> {
        let _ = report;
        Err("the module does not export `series`".to_owned())
    }

    fn define(&mut self, subjects: Vec<Subject>) {
        let _ = subjects;
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        let _ = subjects;
    }

    fn save(&self) -> Result<(u32, Payload), String> {
        Err("the module does not export `state`".to_owned())
    }

    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String> {
        let _ = (version, data);
        Err("the module does not export `state`".to_owned())
    }
}

/// What the exported functions do with the one instance that a component holds.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod instance {
    use super::RefCell;
    use crate::{Context, Module};

    pub fn start<M: Module>(instance: &RefCell<Option<M>>, settings: &str, context: &Context) -> Result<(), String> {
        crate::log::panics();
        let module = M::start(crate::settings(settings)?, context)?;
        instance.replace(Some(module));
        Ok(())
    }

    pub fn call<M, T>(instance: &RefCell<Option<M>>, handle: impl FnOnce(&mut M) -> Result<T, String>) -> Result<T, String> {
        instance.borrow_mut().as_mut().map_or_else(|| Err("called before `start` had succeeded".to_owned()), handle)
    }

    pub fn tell<M>(instance: &RefCell<Option<M>>, tell: impl FnOnce(&mut M)) {
        if let Some(module) = instance.borrow_mut().as_mut() {
            tell(module);
        }
    }
}
