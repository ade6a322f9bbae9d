//! Work for a new version, on a thread of low priority: events that flow go before it, also where there are few processors.

use tokio::sync::oneshot;

/// A tenth of the weight of others; less would let calls of a slow module run into their deadlines on a busy machine.
const NICE: i32 = 10;

/// Has work done on a thread of its own. The error says why there is no result.
pub(super) async fn quietly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("candidate".to_owned()).spawn(move || {
        // On Linux this is about the calling thread. Where it is not allowed, the work is done all the same.
        let _refused = rustix::process::setpriority_process(None, NICE);
        // Whoever waited may have given up.
        let _given_up = done.send(work());
    });
    spawned.map_err(|error| format!("no thread can be started: {error}"))?;
    result.await.map_err(|_| "the thread has panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_nice_and_nobody_else_is() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(quietly(nice).await, Ok(NICE.max(before)));
        assert_eq!(nice(), before);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let panics: Result<(), String> = quietly(|| panic!("on purpose")).await;
        assert!(panics.unwrap_err().contains("panicked"));
    }
}
