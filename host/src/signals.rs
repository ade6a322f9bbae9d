//! When the operating system asks the program to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ready at the first SIGTERM or SIGINT. The handlers stand from the call on, not from the first poll.
pub fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
