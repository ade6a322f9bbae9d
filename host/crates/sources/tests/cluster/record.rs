//! What a source has told, as lines that a test can compare.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::{Change, Closed, Event, Feed, Notice, ObjectEvent, PodEvent, SubjectId};
use tokio::sync::Semaphore;
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Recorder {
    notices: Arc<Mutex<Vec<Notice>>>,
    told: watch::Sender<usize>,
    /// One for each notice that may still be taken.
    room: Arc<Semaphore>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::with_room(1 << 20)
    }
}

impl Feed for Recorder {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.room.acquire().await.map_err(|_| Closed)?.forget();
        self.notices.lock().expect("the record").push(notice);
        self.told.send_modify(|number| *number += 1);
        Ok(())
    }
}

impl Recorder {
    /// One that waits when so many notices were taken.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { notices: Arc::default(), told: watch::Sender::new(0), room: Arc::new(Semaphore::new(room)) }
    }

    pub(crate) fn make_room(&self, room: usize) {
        self.room.add_permits(room);
    }

    /// From now on nobody listens.
    pub(crate) fn close(&self) {
        self.room.close();
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().expect("the record").clone()
    }

    /// Such as `define a`, `listed a Pending`, `modified a Running, was Pending`, `deleted a json`, `forget a`, `complete`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut names: HashMap<SubjectId, String> = HashMap::new();
        let mut lines = Vec::new();
        for notice in self.notices() {
            let name = |id: SubjectId| names.get(&id).cloned().unwrap_or_else(|| format!("undefined {}", id.0));
            lines.push(match notice {
                Notice::Defined(subject) => {
                    let pairs = subject.attributes.iter().map(|(name, value)| format!("{name}={value}"));
                    let words: Vec<String> = std::iter::once(subject.name.clone()).chain(pairs).collect();
                    let known = names.insert(subject.id, subject.name.clone());
                    assert!(known.is_none_or(|known| known == subject.name), "a subject id is used twice");
                    format!("define {}", words.join(" "))
                }
                Notice::Forgotten(id) => format!("forget {}", name(id)),
                Notice::Listed => "complete".to_owned(),
                Notice::Tracked(..) => panic!("nobody remembers what is announced here"),
                Notice::Event(Event::Object(event)) => {
                    format!(
                        "{} {} json{}",
                        word(event.change),
                        name(event.subject),
                        if event.json.is_none() { " none" } else { "" }
                    )
                }
                Notice::Event(Event::Tick(tick)) => format!("tick {}", tick.samples.len()),
                Notice::Event(Event::Service(event)) => format!("{} {} service", word(event.change), name(event.subject)),
                Notice::Event(Event::Node(event)) => format!("{} {} node", word(event.change), name(event.subject)),
                Notice::Event(Event::Inventory(inventory)) => format!("inventory {}", inventory.pods.len()),
                Notice::Event(Event::Connections(report)) => format!("connections {}", report.connections.len()),
                Notice::Event(Event::Series(report)) => format!("series {}", report.items()),
                Notice::Event(Event::Pod(event)) => {
                    let phase =
                        |pod: &sluicebox_contract::Pod| pod.phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"));
                    let previous = event.previous.as_ref().map(|pod| format!(", was {}", phase(pod))).unwrap_or_default();
                    format!("{} {} {}{previous}", word(event.change), name(event.subject), phase(&event.pod))
                }
            });
        }
        lines
    }

    pub(crate) fn pods(&self) -> Vec<PodEvent> {
        let events = self.notices().into_iter().filter_map(|notice| match notice {
            Notice::Event(Event::Pod(event)) => Some(event),
            _ => None,
        });
        events.collect()
    }

    pub(crate) fn objects(&self) -> Vec<ObjectEvent> {
        let events = self.notices().into_iter().filter_map(|notice| match notice {
            Notice::Event(Event::Object(event)) => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// Waits until the lines are as expected somewhere; shows them when that takes too long.
    pub(crate) async fn until(&self, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut told = self.told.subscribe();
        let wait = async {
            loop {
                told.mark_unchanged();
                let lines = self.lines();
                if holds(&lines) {
                    return lines;
                }
                told.changed().await.expect("the recorder lives");
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(40), wait).await;
        waited.unwrap_or_else(|_| panic!("waited in vain; told was: {:#?}", self.lines()))
    }

    /// Waits until this line has come.
    pub(crate) async fn until_line(&self, expected: &str) -> Vec<String> {
        self.until(|lines| lines.iter().any(|line| line == expected)).await
    }

    /// Waits until everything that was there has been told.
    pub(crate) async fn until_complete(&self) -> Vec<String> {
        self.until_line("complete").await
    }

    pub(crate) fn count(&self, expected: &str) -> usize {
        self.lines().iter().filter(|line| *line == expected).count()
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Listed => "listed",
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    }
}
