//! Damaged and invented bytes for everything that reads what comes from outside.
//!
//! ```no_run
//! # fn parse(_: &[u8]) -> Result<Vec<u64>, String> { Ok(Vec::new()) }
//! sluicebox_testkit::fuzz::Fuzz::of(["usage_usec 5\n"]).words(["max"]).run(|input, _dice| {
//!     if let Ok(numbers) = parse(input) {
//!         assert!(numbers.len() <= input.len());
//!     }
//! });
//! ```
//!
//! Each input has a seed and comes of it and of the samples alone: the first seeds are the samples as they are, the others damage them
//! (`damage.rs`). A test runs for a second, always from the first seed on, so that `cargo test` finds the same today and tomorrow.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SLUICEBOX_FUZZ_SECONDS` | how long each test goes on |
//! | `SLUICEBOX_FUZZ_FROM` | the first seed, for a long run that goes on where another one has ended |
//! | `SLUICEBOX_FUZZ_SEED` | only this one; a failure names it |

mod damage;
mod dice;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

pub use damage::Damage;
pub use dice::Dice;
use watch::Watch;

/// How long a test goes on unless the environment says otherwise.
const SHORT: Duration = Duration::from_secs(1);
/// An input is no longer than this unless a test says otherwise, in bytes.
const LONGEST: usize = 8 << 10;
/// What a single call may take of the processor.
const SLOWEST: Duration = Duration::from_secs(2);

/// A test that is run with many inputs.
pub struct Fuzz {
    damage: Damage,
    slowest: Duration,
}

impl Fuzz {
    /// Damages these samples, which should be what the parser is there for.
    pub fn of(samples: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let samples = samples.into_iter().map(|sample| sample.as_ref().to_vec()).collect();
        Self { damage: Damage::new(samples, LONGEST), slowest: SLOWEST }
    }

    /// Damages the files in this folder and the folders in it whose path ends like this.
    ///
    /// # Panics
    ///
    /// Where there are none: a test without samples proves nothing.
    pub fn of_files(folder: impl AsRef<Path>, end: &str) -> Self {
        let folder = folder.as_ref();
        let mut samples = Vec::new();
        gather(folder, end, &mut samples);
        assert!(!samples.is_empty(), "no file in {} ends with {end:?}", folder.display());
        samples.sort();
        Self::of(samples)
    }

    /// More samples.
    #[must_use]
    pub fn and(mut self, samples: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.damage.add(samples.into_iter().map(|sample| sample.as_ref().to_vec()));
        self
    }

    /// Words that mean something to the parser and stand in no sample.
    #[must_use]
    pub fn words(mut self, words: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        self.damage.know(words);
        self
    }

    /// Inputs are at most so many bytes long.
    #[must_use]
    pub fn longest(mut self, bytes: usize) -> Self {
        self.damage.longest = bytes;
        self
    }

    /// A single call may take so much of the processor.
    #[must_use]
    pub fn slowest(mut self, time: Duration) -> Self {
        self.slowest = time;
        self
    }

    /// Runs the test with one input after the other until the time is over. The dice are for whatever else it wants to vary, such as where the
    /// bytes are cut.
    ///
    /// # Panics
    ///
    /// When the test does, and when one call takes too long.
    pub fn run(&self, mut check: impl FnMut(&[u8], &mut Dice)) {
        let (begun, span) = (Instant::now(), number("SLUICEBOX_FUZZ_SECONDS").map_or(SHORT, Duration::from_secs));
        let only = number("SLUICEBOX_FUZZ_SEED");
        let first = only.or_else(|| number("SLUICEBOX_FUZZ_FROM")).unwrap_or(0);
        let mut watch = Watch::begin();
        for seed in first.. {
            let mut dice = Dice::new(seed);
            let input = self.damage.input(seed, &mut dice);
            let spent = watch.call(seed, &input, || check(&input, &mut dice));
            assert!(spent <= self.slowest, "it has taken {spent:?} of the processor, and {:?} are allowed", self.slowest);
            watch.done();
            if only.is_some() || begun.elapsed() >= span {
                watch.end(seed - first + 1, begun.elapsed());
                return;
            }
        }
    }
}

fn gather(folder: &Path, end: &str, samples: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, end, samples);
        } else if path.to_string_lossy().ends_with(end) {
            samples.extend(std::fs::read(&path));
        }
    }
}

/// A variable of the environment that is a number. Panics where it is none.
#[expect(clippy::panic, reason = "a wrong seed would silently test something else")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")))
}
