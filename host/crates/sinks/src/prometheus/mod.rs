//! Prometheus: documents are pieces of a page of metrics that is there to be scraped.

mod config;
mod document;
mod family;
#[cfg(test)]
mod fuzz;
mod keeper;
mod page;
mod registry;
mod sample;
mod server;
mod shelf;

use std::future::pending;
use std::sync::Arc;

use sluicebox_contract::{Entry, Fault, Outcome, Sink};
use tokio::time::{Instant, sleep_until};

pub use config::Config;

use crate::aside::Aside;
use keeper::Keeper;

/// The sink.
#[derive(Debug)]
pub struct Prometheus {
    keeper: Aside<Keeper>,
}

impl Prometheus {
    /// Touches nothing: the first write or the first upkeep begins to listen.
    pub fn new(name: Arc<str>, config: &Config) -> Self {
        Self { keeper: Aside::new(Keeper::new(name, config.clone())) }
    }
}

/// Nothing is left of an earlier run, so there is nothing to do when all is settled.
impl Sink for Prometheus {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        // A copy: the work goes on beside us when we are dropped.
        let batch = batch.to_vec();
        let now = Instant::now();
        let written = self.keeper.call(move |keeper| keeper.write(batch, now));
        written.await.unwrap_or_else(|fault| Outcome::stopped_at(0, fault))
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        let keeper = self.keeper.worker().await?;
        if keeper.is_listening() {
            let (due, ended) = (keeper.next_due(), keeper.end());
            let wait = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            // What answers scrapes ends by a defect only; it is started again at once.
            tokio::select! {
                () = wait => {}
                () = ended => {}
            }
        }
        let now = Instant::now();
        self.keeper.call(move |keeper| keeper.upkeep(now)).await?
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::server::Server;
    use super::*;

    #[tokio::test]
    async fn what_answers_scrapes_is_started_again_although_nothing_is_due() {
        let config = Config { listen: "127.0.0.1:0".parse().expect("an address"), ..Config::default() };
        let mut keeper = Keeper::new("page".into(), config);
        let (server, end) = Server::short_lived();
        keeper.answer_with(server);
        let mut sink = Prometheus { keeper: Aside::new(keeper) };
        timeout(Duration::from_millis(50), sink.upkeep()).await.expect_err("there is nothing to do");
        end.send(()).expect("it lives");
        timeout(Duration::from_secs(20), sink.upkeep()).await.expect("it is noticed").expect("it is mended");
        assert!(sink.keeper.worker().await.expect("a keeper").is_listening());
        timeout(Duration::from_millis(50), sink.upkeep()).await.expect_err("the new one goes on");
    }
}
