//! A door between a source and an API server: closed, it cuts what is open and lets nobody in.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gate {
    #[allow(clippy::disallowed_methods, reason = "the gate runs beside the test and ends with it")]
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let open = watch::Sender::new(true);
        let task = tokio::spawn(take(listener, target, open.subscribe()));
        Self { address, open, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
        self.task.abort();
    }
}

#[allow(clippy::disallowed_methods, reason = "one task for each connection, which ends when the gate closes")]
async fn take(listener: TcpListener, target: SocketAddr, open: watch::Receiver<bool>) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let mut open = open.clone();
        if *open.borrow_and_update() {
            tokio::spawn(async move {
                let Ok(mut outside) = TcpStream::connect(target).await else {
                    return;
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    }
}
