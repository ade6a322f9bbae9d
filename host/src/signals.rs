//! When the operating system asks the program to stop, or to read its files again.

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

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
pub fn hangups() -> std::io::Result<Signals> {
    signal(SignalKind::hangup())
}

/// From now on a file that would become larger than the process may make one is an error to whoever writes it. The kernel would end the
/// process otherwise.
pub fn survive_large_files() -> std::io::Result<()> {
    // A handler stays when nobody listens.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}
