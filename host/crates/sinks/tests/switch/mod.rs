//! An address that leads to another server when it is told to, as that of a service does after a fail-over.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Switch {
    address: SocketAddr,
    target: watch::Sender<String>,
}

impl Switch {
    pub(crate) async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (target, targets) = watch::channel(target.to_owned());
        #[expect(clippy::disallowed_methods, reason = "it forwards beside the test and ends with it")]
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = targets.borrow().clone();
                #[expect(clippy::disallowed_methods, reason = "one task for each connection, which ends with the test")]
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(&target).await else { return };
                    let _closed = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Ok(Self { address, target })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next connection on; those that there are stay where they are.
    pub(crate) fn lead_to(&self, target: &str) {
        self.target.send_replace(target.to_owned());
    }
}
