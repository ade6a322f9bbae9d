//! Where a collector keeps what survives it, for commands that look at it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::directories;
use crate::run::complain;
use crate::say::wrong;

const USUAL_CONFIG: &str = "/etc/sluicebox/sluicebox.yaml";

/// The state directory of a collector.
#[derive(Args, Debug)]
pub struct Place {
    /// The collector's state directory; without it the configuration says where
    #[arg(long, value_name = "DIR", global = true)]
    pub state_directory: Option<PathBuf>,
    /// The configuration whose `state-directory` is meant [default: /etc/sluicebox/sluicebox.yaml]
    #[arg(long, value_name = "FILE", env = "SLUICEBOX_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

impl Place {
    /// The state directory; says what is wrong when nothing says where `what` is.
    pub fn find(&self, what: &str) -> Option<PathBuf> {
        if let Some(directory) = &self.state_directory {
            return Some(directory.clone());
        }
        let config = self.config.as_deref().unwrap_or(Path::new(USUAL_CONFIG));
        let configured = if self.config.is_none() && !config.exists() {
            None
        } else {
            match load(config) {
                Checked { plan: Some(plan), problems, .. } if problems.is_empty() => plan.state_directory,
                Checked { mut problems, .. } => {
                    let text = format!("the configuration does not say where {what} are while something is wrong with it");
                    problems.push(Problem::whole(text).hint("mend it, or give `--state-directory`"));
                    complain(&config.display().to_string(), &problems);
                    return None;
                }
            }
        };
        let directory = directories::state(configured.as_deref());
        if directory.is_none() {
            wrong(format_args!(
                "nothing says where {what} are kept: {} has no `state-directory`, and none of $STATE_DIRECTORY, $XDG_STATE_HOME and \
             $HOME is set\nhint: give `--state-directory DIR`",
                config.display()
            ));
        }
        directory
    }
}
