//! When the operating system asks the program to stop, or to read its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ready at the `count`th SIGTERM, SIGINT or SIGQUIT. The handlers stand from the call on, not from the first poll.
pub fn asked(count: usize) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        for _ in 0..count {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
        }
    })
}

/// Each SIGHUP: files are to be read again now.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
