//! `sluicebox dead-letters` on a state directory that a collector has filled; a thread stands in for the collector.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use sluicebox_contract::{
    Change, DeadLetter, DeadLetters as _, Document, Entry, Event, Held, ModuleIdentity, ObjectEvent, ObjectKind, SubjectId,
    UnixNanos,
};
use sluicebox_store::{Id, LetterBounds, Letters};
use support::{Place, binary};

/// Escapes of a terminal in all their forms: ESC, CSI as one character, text that runs backwards, and a line of its own.
const EVIL: &str = "stopped\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nsecond line";

/// A place with a state directory, its letters (as the collector has them), and their ids.
struct Kept {
    place: Place,
    letters: Letters,
    ids: Vec<String>,
}

impl Kept {
    fn new() -> Self {
        let place = Place::new();
        let mut letters = Letters::open(&place.path("state"), LetterBounds::default()).unwrap();
        letters.keep(&letter("shop", EVIL, event())).unwrap();
        letters.keep(&letter("shop", "no such key", document())).unwrap();
        letters.keep(&letter("other", "too long", document())).unwrap();
        let ids = letters.list().unwrap().iter().map(|listed| listed.id.unwrap().to_string()).collect();
        Self { place, letters, ids }
    }

    fn state(&self) -> PathBuf {
        self.place.path("state")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let state = self.state();
        let mut all = vec!["--state-directory", state.to_str().unwrap()];
        all.extend(arguments);
        dead_letters(&all, &[])
    }

    fn left(&self) -> Vec<String> {
        self.letters.list().unwrap().iter().map(|listed| listed.id.unwrap().to_string()).collect()
    }

    /// Does what a collector does, until it is dropped.
    fn collector(&self, react: impl Fn(&Letters, Id, DeadLetter) + Send + 'static) -> Collector {
        let (letters, stop) = (self.letters.clone(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                for asked in letters.asked().unwrap() {
                    match asked.letter {
                        Ok(letter) => react(&letters, asked.id, letter),
                        Err(_) => letters.withdraw(asked.id).unwrap(),
                    }
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        Collector { stop, thread: Some(thread) }
    }
}

struct Collector {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Said {
    code: i32,
    out: String,
    error: String,
}

/// Nothing of this machine's own settings is to be seen.
fn dead_letters(arguments: &[&str], environment: &[(&str, &Path)]) -> Said {
    let mut command = Command::new(binary());
    command.arg("dead-letters").args(arguments).current_dir("/").env_clear().envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

fn letter(lane: &str, reason: &str, held: Held) -> DeadLetter {
    let module = ModuleIdentity { name: "./shape.wasm".to_owned(), version: "1.2.3+abcd".to_owned(), digest: "ab".repeat(32) };
    DeadLetter { at: UnixNanos::now(), lane: lane.to_owned(), module, reason: reason.to_owned(), replays: 0, held }
}

fn event() -> Held {
    let event = ObjectEvent {
        subject: SubjectId(1),
        kind: ObjectKind::Pod,
        change: Change::Modified,
        observed_at: UnixNanos(5),
        uid: "u".into(),
        namespace: "shop".into(),
        name: "web-1\u{1b}[31m".into(),
        json: None,
    };
    Held::Event { subject: None, event: Event::Object(event) }
}

fn document() -> Held {
    let document = Document { collection: None, name: "web-1.json".to_owned(), body: vec![0xff, 0x1b] };
    Held::Entry { sink: "out".to_owned(), observed_at: UnixNanos(5), entry: Entry::Document(document) }
}

#[test]
fn a_list_is_a_table_that_no_text_from_outside_can_break() {
    let kept = Kept::new();
    let said = kept.run(&["list"]);
    assert_eq!((said.code, said.error.as_str()), (0, ""));
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.out);
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["ID", "AGE", "LANE", "VERSION", "WHAT", "REASON"]);
    for (line, id) in lines[1..].iter().zip(&kept.ids) {
        assert!(line.starts_with(id.as_str()), "{line}");
        assert_eq!(line.find("1.2.3+abcd"), lines[0].find("VERSION"), "columns stand below each other:\n{}", said.out);
    }
    let evil = r"event pod shop/web-1\u{1b}[31m modified  stopped\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nsecond line";
    assert!(lines[1].ends_with(evil), "{}", lines[1]);
    assert!(lines[2].contains("document web-1.json to out  ") && lines[2].ends_with("no such key"), "{}", lines[2]);
    assert!(!said.out.chars().any(|character| character.is_control() && character != '\n'));
}

#[test]
fn a_list_can_be_of_one_lane_and_for_programs() {
    let kept = Kept::new();
    let said = kept.run(&["list", "--lane", "shop", "--json"]);
    let letters: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["id"], kept.ids[0]);
    assert_eq!(letters[0]["reason"], EVIL);
    assert_eq!(letters[0]["about"]["event"]["name"], "web-1\u{1b}[31m");
    assert_eq!(letters[1]["about"], json!({"entry": {"sink": "out", "kind": "document", "name": "web-1.json"}}));
    assert!(!said.out.chars().any(|character| character.is_control() && character != '\n'));
    assert_eq!(kept.run(&["list", "--lane", "none"]).out, "no dead letters\n");
}

#[test]
fn what_cannot_be_read_is_listed_and_can_be_dropped() {
    let kept = Kept::new();
    fs::write(kept.state().join("dead-letters/0000000000000001-0000.json"), "{").unwrap();
    let listed = kept.run(&["list"]);
    assert!(listed.out.lines().nth(1).unwrap().contains("unreadable"), "{}", listed.out);
    let shown = kept.run(&["show", "0000"]);
    assert!(shown.code == 2 && shown.error.contains("it is no dead letter"), "{}", shown.error);
    let replayed = kept.run(&["replay", "--all", "--wait", "0s"]);
    assert_eq!(replayed.out.lines().count(), 3);
    assert!(replayed.error.starts_with("0000000000000001-0000 passed over"), "{}", replayed.error);
    assert_eq!(kept.run(&["drop", "0000"]).out, "0000000000000001-0000 dropped\n");
    assert_eq!(kept.left(), kept.ids);
}

#[test]
fn a_letter_is_shown_whole_and_harmless() {
    let kept = Kept::new();
    let said = kept.run(&["show", &kept.ids[0]]);
    assert_eq!(said.code, 0, "{}", said.error);
    let shown: DeadLetter = serde_json::from_str(&said.out).unwrap();
    assert_eq!(format!("{shown:?}"), format!("{:?}", kept.letters.read(kept.ids[0].parse().unwrap()).unwrap()));
    assert!(!said.out.chars().any(|character| (character.is_control() && character != '\n') || character == '\u{202e}'));
    assert_eq!(kept.run(&["show", &kept.ids[1], &kept.ids[2]]).out.matches("\"lane\"").count(), 2);
}

#[test]
fn only_what_is_meant_is_dropped() {
    let kept = Kept::new();
    let said = kept.run(&["drop", &kept.ids[1]]);
    assert_eq!((said.code, said.out), (0, format!("{} dropped\n", kept.ids[1])));
    assert_eq!(kept.left(), [kept.ids[0].clone(), kept.ids[2].clone()]);
    kept.run(&["drop", "--all", "--lane", "shop"]);
    assert_eq!(kept.left(), [kept.ids[2].clone()]);
    assert_eq!(kept.run(&["drop", "--all"]).code, 0);
    assert_eq!(kept.run(&["list"]).out, "no dead letters\n");
    assert_eq!(kept.run(&["drop", "--all"]).out, "no dead letters\n");
}

#[test]
fn nothing_is_done_when_one_of_the_ids_is_wrong() {
    let kept = Kept::new();
    let check = |arguments: &[&str], word: &str| {
        let said = kept.run(arguments);
        assert_eq!(said.code, 2, "{} {}", said.out, said.error);
        assert!(said.error.contains(word) && said.out.is_empty(), "{} {}", said.out, said.error);
    };
    let good = kept.ids[0].as_str();
    check(&["drop", good, "0000000000000000-0000"], "there is no dead letter 0000000000000000-0000");
    check(&["drop", good, "../../x\u{1b}"], "`../../x\\u{1b}` names no dead letter");
    check(&["replay", good, "1"], "begin with `1`");
    check(&["show", "nothing"], "names no dead letter");
    check(&["drop"], "<ID>");
    check(&["drop", good, "--all"], "cannot be used with");
    check(&["drop", good, "--lane", "shop"], "cannot be used with");
    check(&["drop", "--lane", "shop"], "--all");
    check(&["replay", good, "--wait", "soon"], "soon");
    assert_eq!(kept.left(), kept.ids);
}

#[test]
fn a_replay_says_for_each_letter_what_became_of_it() {
    let kept = Kept::new();
    let collector = kept.collector(|letters, id, mut letter| {
        if letter.lane == "other" {
            letter.reason = format!("again: {EVIL}");
            letter.replays += 1;
            letters.returned(id, &letter).unwrap();
        } else {
            letters.replayed(id).unwrap();
        }
    });
    let said = kept.run(&["replay", "--all", "--lane", "shop"]);
    assert_eq!((said.code, said.error.as_str()), (0, ""));
    let mut lines: Vec<&str> = said.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("{} replayed", kept.ids[0]), format!("{} replayed", kept.ids[1])]);
    let said = kept.run(&["replay", &kept.ids[2][..12]]);
    drop(collector);
    assert_eq!(said.code, 1, "{}", said.error);
    let reason = r"again: stopped\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nsecond line";
    assert_eq!(said.out, format!("{} dead again: {reason}\n", kept.ids[2]));
    assert_eq!(kept.left(), [kept.ids[2].clone()]);
    assert_eq!(kept.letters.read(kept.ids[2].parse().unwrap()).unwrap().replays, 1);
}

#[test]
fn a_replay_without_a_collector_is_said_and_stays_asked_for() {
    let kept = Kept::new();
    let said = kept.run(&["replay", &kept.ids[0], "--wait", "200ms"]);
    assert_eq!((said.code, said.out), (1, format!("{} not taken yet\n", kept.ids[0])));
    assert!(said.error.contains("no collector seems to run with the state directory"), "{}", said.error);
    assert!(kept.run(&["list"]).out.contains("waits for replay; stopped"));
    let said = kept.run(&["replay", &kept.ids[1], "--wait", "0s"]);
    assert_eq!((said.code, said.out), (0, format!("asked for {}\n", kept.ids[1])));
    let asked: Vec<String> = kept.letters.asked().unwrap().iter().map(|asked| asked.id.to_string()).collect();
    assert_eq!(asked, kept.ids[..2]);
}

#[test]
fn the_directory_is_that_of_the_configuration_or_the_usual_one() {
    let kept = Kept::new();
    let config = kept.place.path("sluicebox.yaml");
    let flow = "sources: {pods: }\nmodules: {a: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: }}\n";
    fs::write(&config, format!("state-directory: {}\n{flow}", kept.state().display())).unwrap();
    let lists = |arguments: &[&str], environment: &[(&str, &Path)]| {
        let said = dead_letters(arguments, environment);
        assert_eq!((said.code, said.out.lines().count()), (0, 4), "{}", said.error);
    };
    lists(&["list", "--config", config.to_str().unwrap()], &[]);
    lists(&["list"], &[("SLUICEBOX_CONFIG", &config)]);
    lists(&["list"], &[("STATE_DIRECTORY", &kept.state())]);
    std::os::unix::fs::symlink(kept.state(), kept.place.path("sluicebox")).unwrap();
    lists(&["list"], &[("XDG_STATE_HOME", &kept.place.path(""))]);
}

#[test]
fn a_directory_that_is_not_found_is_named_with_the_cure() {
    let place = Place::new();
    let check = |arguments: &[&str], environment: &[(&str, &Path)], words: &[&str]| {
        let said = dead_letters(arguments, environment);
        assert_eq!(said.code, 2, "{} {}", said.out, said.error);
        for word in words {
            assert!(said.error.contains(word), "`{word}` is not in {}", said.error);
        }
    };
    check(&["list"], &[], &["nothing says where dead letters are kept", "give `--state-directory DIR`"]);
    let (nowhere, home) = (place.path("nowhere"), place.path("home"));
    let nowhere = nowhere.to_str().unwrap();
    check(&["list", "--state-directory", nowhere], &[], &[nowhere, "no directory `dead-letters`", "--state-directory"]);
    assert!(!Path::new(nowhere).exists(), "looking makes nothing");
    check(&["list"], &[("HOME", &home)], &["home/.local/state/sluicebox"]);
    check(&["list", "--config", nowhere], &[], &["cannot read the configuration", "--state-directory"]);
    let config = place.path("bad.yaml");
    fs::write(&config, "state-directori: /x\n").unwrap();
    check(&["list"], &[("SLUICEBOX_CONFIG", &config)], &["unknown field", "or give `--state-directory`"]);
}
