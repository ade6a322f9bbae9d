//! Numbers that parts count while they work and that the host shows. Plain atomics: whoever counts knows no metrics library.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl OutletMeter {
    /// Entries that are neither written nor refused nor dropped.
    pub fn held(&self) -> i64 {
        let gone = self.taken.get() + self.queue.dropped.get();
        let queued = i64::try_from(self.accepted.get().saturating_sub(gone)).unwrap_or(i64::MAX);
        let stored = self.store.get().map_or(0, |store| store.entries.get() + store.arriving.get());
        queued + self.in_hand.get() + stored
    }

    /// Of these, entries that survive the end of the program.
    pub fn stored(&self) -> i64 {
        self.store.get().map_or(0, |store| (store.entries.get() + store.in_hand.get() - store.unflushed.get()).max(0))
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it; a negative amount takes away.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The last words about something, for people.
#[derive(Debug, Default)]
pub struct Words(Mutex<Option<String>>);

impl Words {
    /// Puts others in their place.
    pub fn set(&self, words: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.into());
    }

    /// The words, if there were any.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    sum_nanos: AtomicU64,
}

/// Upper bounds of the buckets of [`Durations`].
pub const BOUNDS: [Duration; 14] = [
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

impl Durations {
    /// It took so long.
    pub fn observe(&self, duration: Duration) {
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if duration <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long altogether.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed))
    }

    /// For each of [`BOUNDS`], how often it took longer than the bound before and at most this one.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        BOUNDS.iter().zip(&self.buckets).map(|(bound, bucket)| (*bound, bucket.load(Ordering::Relaxed)))
    }
}

/// What a queue counts.
#[derive(Debug, Default)]
pub struct QueueMeter {
    /// Items that wait in it.
    pub length: Gauge,
    /// Roughly how many bytes they take.
    pub bytes: Gauge,
    /// Roughly how many bytes those take that were taken out of it and are in work. They count towards what it may hold.
    pub bytes_in_work: Gauge,
    /// Both together, as they are at one moment.
    pub bytes_held: Gauge,
    /// Bytes that it may hold.
    pub most_bytes: Gauge,
    /// Items that came to it which a full queue may drop, whether it did or not.
    pub offered: Counter,
    /// Of these, how many wait.
    pub droppable: Gauge,
    /// Of these, how many were in it when whoever takes them out went away.
    pub abandoned: Counter,
    /// Items dropped because it was full; of the queue of a sink, their entries.
    pub dropped: Counter,
}

/// What a source counts.
#[derive(Debug, Default)]
pub struct SourceMeter {
    /// Events handed on; a pod that is wanted in two forms counts once for each.
    pub events: Counter,
    /// 1 once everything that was there at the start has been told.
    pub listed: Gauge,
    /// 1 while the outside answers.
    pub connected: Gauge,
    /// Errors of the outside that led to another try.
    pub retries: Counter,
    /// Times that the whole list was read, the first included.
    pub lists: Counter,
    /// Objects that could not be understood and were left out.
    pub skipped: Counter,
    /// Objects remembered.
    pub cached_objects: Gauge,
    /// Roughly how many bytes they take.
    pub cached_bytes: Gauge,
    /// Objects that were not remembered because the cache was full: their vanishing while not watched goes unseen.
    pub uncached: Counter,
    /// Objects that are remembered on the disk as announced.
    pub announced_objects: Gauge,
    /// Objects announced before this run that were found as they were announced.
    pub found_unchanged: Counter,
    /// Such objects that had changed since.
    pub found_changed: Counter,
    /// Such objects that had gone since.
    pub found_gone: Counter,
    /// 1 for a source whose announcements are remembered, which the four before this are about.
    pub remembers: Gauge,
    /// Of a source that reads at times: how long each reading took.
    pub ticks: Durations,
    /// Times at which it should have read and had not finished the reading before.
    pub late_ticks: Counter,
    /// Subjects that it measures.
    pub subjects: Gauge,
    /// Things that it measures and does not tell, because it is not known yet what they are.
    pub nameless: Gauge,
    /// Times that the system could not tell what had come and gone, so that all was looked through.
    pub rescans: Counter,
    /// Values that could not be read, or were no numbers.
    pub unreadable: Counter,
    /// Things that it does not measure because there are more than it may.
    pub beyond_limit: Counter,
    /// Readings that waited for a name and were dropped because there was no room for more.
    pub waited_in_vain: Counter,
    /// Files that it holds open.
    pub open_files: Gauge,
    /// Files that it may hold open.
    pub most_open_files: Gauge,
    /// 1 for a source that reads at times, which all from `ticks` on are about.
    pub reads: Gauge,
}

/// What an election counts.
#[derive(Debug, Default)]
pub struct LeaseMeter {
    /// 1 while somebody here wants the lease.
    pub wanted: Gauge,
    /// 1 while it is held.
    pub held: Gauge,
    /// Terms of holding it.
    pub terms: Counter,
    /// Requests that failed.
    pub failures: Counter,
    /// Those that failed while it was held.
    pub renewal_failures: Counter,
}

/// What becomes of a lane's events, whatever module is at work. What its queue was offered and what was `divided` is exactly what the queue has
/// waiting, dropped and abandoned, and all the others here together.
#[derive(Debug, Default)]
pub struct FateMeter {
    /// Events that became two, because an event about many subjects was divided or only a part of it could be shaped.
    pub divided: Counter,
    /// The module has made entries of them, or none.
    pub shaped: Counter,
    /// The module refused them.
    pub refused: Counter,
    /// They stop the module, and became dead letters.
    pub dead_letters: Counter,
    /// They stop the module, and no dead letter is kept of them.
    pub left_out: Counter,
    /// They were taken out of a full queue while the lane waited.
    pub missed: Counter,
    /// They were there when the lane ended and its module did not work.
    pub unshaped: Counter,
    /// It is not known yet what becomes of them.
    pub in_work: Gauge,
    /// Entries that a sink was not given because it had ended, once for each such sink.
    pub unwanted_entries: Counter,
}

/// What a lane counts.
#[derive(Debug, Default)]
pub struct LaneMeter {
    /// Events taken from the queue.
    pub events: Counter,
    /// Entries that the module made.
    pub entries: Counter,
    /// Calls of a handler that returned.
    pub calls: Durations,
    /// Calls that ended in a trap, the deadline or a limit.
    pub traps: Counter,
    /// Instances started, the first included.
    pub instances: Counter,
    /// Events left out because the module refused them.
    pub refused: Counter,
    /// Events left out because they killed the instance when they were alone.
    pub deadly: Counter,
    /// Events left out because the queue was full while the lane rested after repeated faults or waited for its share of the processor,
    /// or because the host stopped meanwhile.
    pub missed: Counter,
    /// Its queue of events.
    pub queue: Arc<QueueMeter>,
    /// What becomes of its events.
    pub fates: Arc<FateMeter>,
    /// 1 while an instance is at work.
    pub ready: Gauge,
    /// 1 while the lane rests because its module fails again and again.
    pub resting: Gauge,
    /// Times that it has rested.
    pub rests: Counter,
    /// Why the last instance died or did not start.
    pub last_fault: Words,
    /// 1 while the lane waits because its module has used its share of the processor.
    pub throttled: Gauge,
    /// Instances that were replaced as planned: after so many calls, or above so much memory.
    pub recycles: Counter,
    /// Bytes of memory that the instance holds.
    pub memory_bytes: Gauge,
    /// Processor time that the lane's thread has used, nanoseconds.
    pub cpu_nanos: Counter,
    /// Time for which the lane has waited because its module had used its share of the processor, nanoseconds.
    pub throttled_nanos: Counter,
}

/// What becomes of new versions of a lane's module. Outlives them.
#[derive(Debug, Default)]
pub struct SwapMeter {
    /// How long events have waited for a swap: from the end of one batch to when the next could begin.
    pub pauses: Durations,
    /// From the moment that a change was seen until the new version was in place.
    pub reloads: Durations,
    /// New versions that were put in place.
    pub swapped: Counter,
    /// New versions that were refused; the old one went on.
    pub failed: Counter,
    /// Times that the last good version was put back.
    pub rolled_back: Counter,
}

/// What dead letters count.
#[derive(Debug, Default)]
pub struct DeadLetterMeter {
    /// Letters kept.
    pub kept: Counter,
    /// Letters that could not be kept.
    pub lost: Counter,
    /// What waits to be written to disk.
    pub queue: Arc<QueueMeter>,
}

/// What the clients of a Kafka sink, one after the other, tell of themselves from time to time.
#[derive(Debug, Default)]
pub struct KafkaMeter {
    /// Brokers that it is connected to.
    pub brokers_up: Gauge,
    /// Messages that wait in the client.
    pub queued_messages: Gauge,
    /// Bytes that wait in the client.
    pub queued_bytes: Gauge,
    /// Messages sent to brokers.
    pub sent_messages: Counter,
    /// Bytes of messages sent to brokers.
    pub sent_bytes: Counter,
    /// Requests sent again.
    pub request_retries: Counter,
    /// Requests that failed.
    pub request_errors: Counter,
    /// The slowest broker's mean time to answer, microseconds.
    pub round_trip_micros: Gauge,
}

/// What an outlet counts of its store on the disk.
#[derive(Debug, Default)]
pub struct StoreMeter {
    /// Entries that wait in it.
    pub entries: Gauge,
    /// Entries on their way into it.
    pub arriving: Gauge,
    /// Entries that are in it and in hand, too.
    pub in_hand: Gauge,
    /// Of all these, entries that the disk has not taken: they are lost if the program ends.
    pub unflushed: Gauge,
    /// Bytes that it takes.
    pub bytes: Gauge,
    /// Entries that were in it when the program began.
    pub recovered: Counter,
    /// Entries put into it.
    pub stored: Counter,
    /// Entries dropped for lack of room.
    pub dropped: Counter,
    /// Entries dropped because one alone is larger than may be.
    pub too_large: Counter,
    /// Entries lost because what the disk gave back was not what was written.
    pub damaged: Counter,
    /// Times that the disk refused something.
    pub failures: Counter,
}

/// What an outlet counts. What was handed over and what was in the store at the start is written, refused, dropped for one of the reasons
/// or still held.
#[derive(Debug, Default)]
pub struct OutletMeter {
    /// Entries that lanes have handed over.
    pub accepted: Counter,
    /// Of these, entries taken from the queue.
    pub taken: Counter,
    /// Entries in hand: taken, and neither written nor refused nor in the store.
    pub in_hand: Gauge,
    /// Entries handed over after the sink had ended: nobody writes them.
    pub undelivered: Counter,
    /// Entries written.
    pub written: Counter,
    /// Entries that the sink refused for good.
    pub refused: Counter,
    /// Tries that failed and were made again.
    pub retries: Counter,
    /// Time for one call of the sink.
    pub writes: Durations,
    /// Time from the observation of an event to its entries being written. Without those that are tried once more.
    pub delay: Durations,
    /// Its queue of entries, as the lanes hand them over: one item for each batch shaped.
    pub queue: Arc<QueueMeter>,
    /// 1 unless the last write failed.
    pub ready: Gauge,
    /// 1 while so many tries in a row have failed that only single entries are tried.
    pub circuit_open: Gauge,
    /// What its store counts, where it has one.
    pub store: OnceLock<Arc<StoreMeter>>,
    /// Of a Kafka sink: what its client tells.
    pub kafka: OnceLock<Arc<KafkaMeter>>,
}
