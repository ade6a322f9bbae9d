//! What goes wrong in a scene, and how it is over.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluicebox_testkit::api_server::{ApiServer, RequestFault, RequestFaultKind};
use sluicebox_testkit::program::Program;
use sluicebox_testkit::wire::WireState;
use tokio::time::sleep;

use super::super::clock::now_milliseconds;
use super::super::disk;
use super::super::image::Image;
use super::super::plan::{Ending, Server, Step, Trouble};
use super::Scene;

/// How long a program that is killed while it starts may start, in milliseconds.
const STARTING: u64 = 120;
/// How long it may take until a program stands still that is told to.
const STILL_WITHIN: Duration = Duration::from_secs(10);

/// Whether no thread of this process runs, not even in the kernel.
fn is_still(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // Behind the name, which is in parentheses; one that has ended is still as well.
    states.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X'])))
}

impl Scene<'_> {
    pub(super) async fn begin(&mut self, step: Step) -> Result<()> {
        self.outcome.done.push(step.trouble.name());
        match step.trouble {
            Trouble::Kill => self.collector.kill()?,
            Trouble::KillAndDamage(damage) => {
                self.collector.kill()?;
                if let Some(broken) = disk::damage(&self.state.path, self.plan.seed, damage, &mut self.random)? {
                    self.is_damaged = true;
                    self.excused.extend(broken.lost);
                    self.outcome.notes.push(broken.what);
                }
            }
            Trouble::KillTwice => {
                self.collector.kill()?;
                self.collector.launch()?;
                sleep(Duration::from_millis(step.lasts.min(STARTING))).await;
                self.collector.kill()?;
            }
            Trouble::KillLater(milliseconds) => {
                sleep(Duration::from_millis(milliseconds)).await;
                self.collector.kill()?;
                self.start().await?;
            }
            Trouble::KillStarting(milliseconds) => {
                self.collector.kill()?;
                self.collector.launch()?;
                sleep(Duration::from_millis(milliseconds)).await;
                self.collector.kill()?;
                self.start().await?;
            }
            Trouble::Stop => {
                let (was_there, well) = (self.collector.is_there(), self.collector.stop().await?);
                if was_there && !well {
                    self.outcome.notes.push("it has ended and said that something was lost".to_owned());
                }
                self.start().await?;
            }
            Trouble::Freeze => {
                if let Some(program) = &self.collector.program {
                    program.pause()?;
                }
            }
            Trouble::Pause(Server::Api) => self.servers.pause_kubernetes(),
            Trouble::KillServer(Server::Api) => self.kill_kubernetes().await?,
            Trouble::Compact if self.plan.is_real => {
                self.kill_kubernetes().await?;
                self.servers.kubernetes().await?.compact().await?;
                self.restart_kubernetes().await?;
            }
            Trouble::ReadOnlyState(_) | Trouble::ReadOnlyOutput => self.break_down(step.trouble).await?,
            other => self.around(other)?,
        }
        Ok(())
    }

    /// The program stands still at that moment: of what is being forced onto a disk when the kernel finds the error, Linux may say that it is done
    /// though it is lost, and nobody can promise more than that.
    async fn break_down(&mut self, trouble: Trouble) -> Result<()> {
        let program = self.collector.program.as_ref();
        let frozen = program.filter(|program| !is_still(program.id()));
        if let Some(program) = frozen {
            program.pause()?;
            let begin = Instant::now();
            while !is_still(program.id()) {
                ensure!(begin.elapsed() < STILL_WITHIN, "the program does not stand still");
                sleep(Duration::from_millis(1)).await;
            }
        }
        let disk = if trouble == Trouble::ReadOnlyOutput { &self.output } else { &self.state };
        disk.image.iter().try_for_each(Image::break_down)?;
        frozen.map_or(Ok(()), Program::resume)
    }

    /// What happens to what the program stands on.
    fn around(&mut self, trouble: Trouble) -> Result<()> {
        let wire = |server| self.servers.wire(&self.api_wire, server);
        match trouble {
            Trouble::Pause(Server::Redis) => self.servers.redis.pause(),
            Trouble::Pause(_) => self.servers.broker.pause(),
            Trouble::KillServer(server) => {
                self.killed.push(server);
                match server {
                    Server::Redis => self.servers.redis.kill(),
                    _ => self.servers.broker.kill(),
                }
            }
            Trouble::Cut(server) => wire(server).cut(),
            Trouble::Refuse(server) => wire(server).set(WireState::Refused),
            Trouble::Hold(server) => wire(server).set(WireState::Held),
            Trouble::Slow(server, milliseconds) => wire(server).set(WireState::Slow(Duration::from_millis(milliseconds))),
            Trouble::BreakWatches | Trouble::Compact | Trouble::Refusals(_) => self.misbehave(trouble),
            Trouble::FullState => self.state.fill()?,
            Trouble::FullOutput => self.output.fill()?,
            Trouble::FullSpill => {
                self.spill_full.push((now_milliseconds(), i64::MAX));
                self.spill.fill()?;
            }
            // Those of the program itself.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn empty_spill(&mut self) {
        self.spill.empty();
        for (_, until) in self.spill_full.iter_mut().filter(|(_, until)| *until == i64::MAX) {
            *until = now_milliseconds();
        }
    }

    /// What only a played API server does.
    fn misbehave(&self, trouble: Trouble) {
        let Some(api) = self.api.as_played() else { return };
        match trouble {
            Trouble::Compact => api.compact(),
            Trouble::Refusals(code) => {
                api.fail(RequestFault { watches: None, times: 3, kind: RequestFaultKind::Status(code, None) });
            }
            _ => {}
        }
        api.break_watches();
    }

    /// Whoever changes pods is let to end what he does before, so that it is known what the server has.
    async fn kill_kubernetes(&mut self) -> Result<()> {
        if self.api_held.is_none() {
            self.servers.resume_kubernetes();
            self.api_held = self.api.hold().await;
            self.servers.kubernetes().await?.kill();
        }
        Ok(())
    }

    async fn restart_kubernetes(&mut self) -> Result<()> {
        if let Some(mut client) = self.api_held.take() {
            client.forget();
            self.servers.kubernetes().await?.restart().await?;
        }
        Ok(())
    }

    /// Everything around the program is as it should be, whatever was done to it.
    pub(super) async fn heal_servers(&mut self) -> Result<()> {
        self.servers.resume_kubernetes();
        self.restart_kubernetes().await?;
        self.servers.heal(&std::mem::take(&mut self.killed)).await
    }

    pub(super) async fn over(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Kill | Trouble::KillAndDamage(_) | Trouble::KillTwice => self.start().await?,
            Trouble::Freeze => {
                if let Some(program) = &self.collector.program {
                    program.resume()?;
                }
            }
            Trouble::Pause(Server::Redis) => self.servers.redis.resume(),
            Trouble::Pause(Server::Broker) => self.servers.broker.resume(),
            Trouble::Pause(Server::Api) => self.servers.resume_kubernetes(),
            Trouble::KillServer(Server::Api) => self.restart_kubernetes().await?,
            Trouble::KillServer(server) => {
                self.killed.retain(|killed| *killed != server);
                self.servers.restart(server).await?;
            }
            Trouble::Refuse(server) | Trouble::Hold(server) | Trouble::Slow(server, _) => {
                self.servers.wire(&self.api_wire, server).set(WireState::Whole);
            }
            Trouble::Refusals(_) => self.api.as_played().into_iter().for_each(ApiServer::heal),
            Trouble::FullState => self.state.empty(),
            Trouble::FullOutput => self.output.empty(),
            Trouble::FullSpill => self.empty_spill(),
            Trouble::ReadOnlyState(ending) => {
                if ending == Ending::Asked {
                    self.collector.stop().await?;
                }
                self.collector.kill()?;
                if let Some(image) = &self.state.image {
                    image.mend().await?;
                }
                self.start().await?;
            }
            Trouble::ReadOnlyOutput => {
                if let Some(image) = &self.output.image {
                    image.mend().await?;
                }
            }
            Trouble::Cut(_)
            | Trouble::BreakWatches
            | Trouble::Compact
            | Trouble::Stop
            | Trouble::KillLater(_)
            | Trouble::KillStarting(_) => {}
        }
        Ok(())
    }
}
