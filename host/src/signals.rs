//! When the operating system asks the program to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ready at the `count`th SIGTERM, SIGINT, SIGQUIT or SIGHUP. The handlers stand from the call on, not from the first poll.
pub fn asked(count: usize) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        for _ in 0..count {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
                _ = hangup.recv() => {}
            }
        }
    })
}
