//! The servers of one worker: a Redis, a broker, each behind a wire, and who reads what is in the topic.

use anyhow::{Context as _, Result, bail};
use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, KubeApiServer, RedisOptions, RedisServer, Reply};
use sluicebox_testkit::wire::{Wire, WireState};

use super::plan::Server;
use super::reader::Reader;

pub(super) const TOPIC: &str = "chaos";
const PARTITIONS: u32 = 2;

pub(super) struct Servers {
    pub(super) redis: RedisServer,
    pub(super) broker: KafkaServer,
    pub(super) redis_wire: Wire,
    pub(super) broker_wire: Wire,
    pub(super) reader: Reader,
    /// Started by the first who needs it.
    kubernetes: Option<KubeApiServer>,
}

impl Servers {
    pub(super) async fn start() -> Result<Self> {
        // What was acknowledged survives that the server is killed.
        let configuration = vec!["appendonly yes".to_owned(), "appendfsync no".to_owned()];
        let redis = RedisServer::start(RedisOptions { configuration, ..RedisOptions::default() }).await?;
        let redis_wire = Wire::start().await?;
        redis_wire.lead_to(&redis.address())?;
        let broker_wire = Wire::start().await?;
        let topics = vec![(TOPIC.to_owned(), PARTITIONS)];
        let advertised = Some(broker_wire.port());
        let broker = KafkaServer::start(KafkaOptions { topics, advertised, ..KafkaOptions::default() }).await?;
        broker_wire.lead_to(&broker.behind())?;
        let reader = Reader::start(&broker_wire.address(), TOPIC, PARTITIONS)?;
        Ok(Self { redis, broker, redis_wire, broker_wire, reader, kubernetes: None })
    }

    /// The real API server.
    pub(super) async fn kubernetes(&mut self) -> Result<&mut KubeApiServer> {
        if self.kubernetes.is_none() {
            self.kubernetes = Some(KubeApiServer::start().await.context("cannot start kube-apiserver")?);
        }
        self.kubernetes.as_mut().context("there is no kube-apiserver")
    }

    pub(super) fn pause_kubernetes(&self) {
        self.kubernetes.iter().for_each(KubeApiServer::pause);
    }

    pub(super) fn resume_kubernetes(&self) {
        self.kubernetes.iter().for_each(KubeApiServer::resume);
    }

    pub(super) fn wire<'a>(&'a self, api: &'a Wire, server: Server) -> &'a Wire {
        match server {
            Server::Redis => &self.redis_wire,
            Server::Broker => &self.broker_wire,
            Server::Api => api,
        }
    }

    /// Everything is as it should be, for whatever was done before.
    pub(super) async fn heal(&mut self, killed: &[Server]) -> Result<()> {
        for wire in [&self.redis_wire, &self.broker_wire] {
            wire.set(WireState::Whole);
        }
        self.redis.resume();
        self.broker.resume();
        for server in killed {
            self.restart(*server).await?;
        }
        Ok(())
    }

    /// Starts a server again that was killed.
    pub(super) async fn restart(&mut self, server: Server) -> Result<()> {
        match server {
            Server::Redis => self.redis.restart().await,
            Server::Broker => self.broker.restart().await,
            Server::Api => Ok(()),
        }
    }

    /// The fields of a hash.
    pub(super) async fn hash(&self, name: &str) -> Result<std::collections::BTreeMap<String, String>> {
        let Reply::List(items) = self.redis.command(&["HGETALL", name]).await.context("cannot read a hash")? else {
            bail!("{name} is no hash");
        };
        let text = |reply: Option<&Reply>| reply.and_then(Reply::text).unwrap_or_default().to_owned();
        Ok(items.chunks(2).map(|pair| (text(pair.first()), text(pair.get(1)))).collect())
    }
}
