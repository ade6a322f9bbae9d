//! What is neither source, module nor sink: the API server, registries, and how changes are taken up.

use std::time::Duration;

use sluicebox_contract::TimeSpan;

use super::Check;
use crate::config::Config;
use crate::config::yaml::step;

impl Check<'_> {
    /// What is about changes while the program runs.
    pub(super) fn changes(&mut self, config: &Config) {
        let spans = [
            ("/reload/poll", config.reload.poll, Duration::from_millis(100), Duration::from_hours(1)),
            ("/reload/debounce", config.reload.debounce, Duration::from_millis(10), Duration::from_mins(1)),
            ("/reload/good-after", config.reload.good_after, Duration::from_millis(100), Duration::from_hours(24)),
            ("/compiler/deadline", config.compiler.deadline, Duration::from_secs(1), Duration::from_mins(30)),
        ];
        for (path, span, least, most) in spans {
            if span.0 < least || span.0 > most {
                let hint = format!("give {} to {}, or leave it out", TimeSpan(least), TimeSpan(most));
                self.problem(path, format!("{span} is of no use"), hint);
            }
        }
        if config.compiler.memory.0 < 64 << 20 {
            let text = format!("{} is too little for any module", config.compiler.memory);
            self.problem("/compiler/memory", text, "give at least `64MiB`, or leave it out");
        }
    }

    pub(super) fn registries(&mut self, config: &Config) {
        for (host, registry) in &config.registries {
            for problem in registry.problems(host) {
                self.problem(&step(&step("/registries", host), &problem.field), problem.cause, problem.cure);
            }
        }
        for problem in config.pull.problems() {
            self.problem(&step("/pull", &problem.field), problem.cause, problem.cure);
        }
    }

    pub(super) fn kubernetes(&mut self, config: &Config) {
        for problem in config.kubernetes.problems() {
            let path = format!("/kubernetes/{}", problem.field.replace('.', "/"));
            self.problem(&path, problem.cause, problem.cure);
        }
        for problem in config.lease.problems() {
            self.problem(&step("/lease", &problem.field), problem.cause, problem.cure);
        }
    }
}
