//! Whatever a tracer sends, in whatever pieces it comes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use sluicebox_testkit::fuzz::{Dice, Fuzz};

use super::document::{Broken, Document, Limits, Taken};
use super::report::{Reader, Reading, Report};
use super::row::{DirectionCodes, read};

const LONG: &str = r#"{"connections":[{"pid":14931,"type":1,"family":0,"net_ns":4026532528,"source":"172.17.0.2","dest":"172.17.0.5","sport":41515,"dport":53,"direction":2,"monotonic_sent_bytes":3079,"last_sent_bytes":0,"monotonic_recv_bytes":5849,"last_update_epoch":11457291007926789,"rollup_count":0,"conntrack":null},{"source":"fe80::1%eth0","dest":"::ffff:10.0.0.1","common_ports_by_pid":{"1":[2,3]}}]}"#;
const SHORT: &str = r#" {"a": {"connections": [1]}, "conn\"ections" : true, "connections" : [ {"pid":1,"src":"10.0.0.1","dst":"10.0.0.2","ns":7,"m_sent_b":5,"m_recv_b":6,"m_retr":1,"epoch":9} , null , 5 ,"x\\", [[]] ] , "z": -1.5e3 }"#;
const NONE: &str = r#"{"connections":null}"#;
const EMPTY: &str = "{\"connections\":[]}\n";

fn fuzz() -> Fuzz {
    let twice = format!("{EMPTY}{LONG}{NONE}");
    Fuzz::of([LONG, SHORT, NONE, EMPTY, &twice]).words([
        "\"connections\"",
        "{\"connections\":[",
        "]}",
        "\"source\":\"",
        "10.0.0.9",
    ])
}

fn reading(dice: &mut Dice) -> Reading {
    let small =
        Limits { document: 1 + dice.below(2000), depth: 2 + u8::try_from(dice.below(80)).unwrap(), piece: 1 + dice.below(300) };
    let limits = if dice.one_in(3) { small } else { Limits { document: 1 << 20, depth: 32, piece: 64 << 10 } };
    Reading { limits, codes: DirectionCodes::Datadog, max_connections: if dice.one_in(4) { dice.below(3) } else { 1000 } }
}

/// What comes of a stream of documents, one after the other, until one of them is broken or the bytes end.
fn stream(pieces: &[&[u8]], reading: Reading) -> (Vec<Report>, Option<Broken>) {
    let (mut reports, mut reader) = (Vec::new(), Reader::new(reading));
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match reader.take(rest) {
                Ok(Taken::All) => break,
                Ok(Taken::Ended(used)) => {
                    assert!((1..=rest.len()).contains(&used), "{used} of {}", rest.len());
                    let ended = std::mem::replace(&mut reader, Reader::new(reading));
                    reports.push(ended.end().expect("it has ended"));
                    rest = &rest[used..];
                }
                Err(broken) => return (reports, Some(broken)),
            }
        }
    }
    let broken = if reader.has_begun() { reader.end().err() } else { None };
    (reports, broken)
}

#[test]
fn reports_are_the_same_however_their_bytes_come() {
    fuzz().run(|input, dice| {
        let reading = reading(dice);
        let (whole, broken) = stream(&[input], reading);
        let (pieces, broken_too) = stream(&dice.pieces(input), reading);
        // Which of several reasons is found first depends on where the bytes are cut.
        assert_eq!((broken.is_some(), whole.len()), (broken_too.is_some(), pieces.len()), "{broken:?} {broken_too:?}");
        for (one, other) in whole.iter().zip(&pieces) {
            assert_eq!(one.rows, other.rows);
            assert_eq!((one.unreadable, one.beyond_limit), (other.unreadable, other.beyond_limit));
        }
        let rows: u64 = whole.iter().map(|report| report.rows.len() as u64 + report.unreadable + report.beyond_limit).sum();
        assert!(rows <= input.len() as u64, "{rows} out of {} bytes", input.len());
        assert!(whole.iter().all(|report| report.rows.len() <= reading.max_connections));
        assert!(broken.is_none_or(|broken| !broken.to_string().is_empty()));
    });
}

/// A parser that reads all JSON says where the document ends and how many connections it has.
#[test]
fn what_is_json_with_connections_is_read_to_its_end() {
    fuzz().run(|input, _| {
        let mut documents = serde_json::Deserializer::from_slice(input).into_iter::<Value>();
        let Some(Ok(value)) = documents.next() else { return };
        let end = documents.byte_offset();
        let count = input.windows(b"connections".len()).filter(|part| *part == b"connections").count();
        let escaped = input.windows(2).any(|part| part == b"\\u");
        let expected = match value.get("connections") {
            Some(Value::Array(list)) if count == 1 && !escaped => list.len(),
            Some(Value::Null) if count == 1 && !escaped => 0,
            None if value.is_object() && count == 0 && !escaped => {
                let mut document = Document::new(Limits { document: 1 << 20, depth: 32, piece: 64 << 10 });
                assert!(document.take(input, |_| {}).is_err(), "it has no connections");
                return;
            }
            _ => return,
        };
        let mut found = Vec::new();
        let mut document = Document::new(Limits { document: 1 << 20, depth: 63, piece: 64 << 10 });
        match document.take(input, |row| found.push(row.to_vec())) {
            Ok(Taken::Ended(at)) => assert_eq!((at, found.len()), (end, expected)),
            Err(Broken::TooDeep(_)) => {}
            other => panic!("{other:?}"),
        }
        for row in found {
            assert!(serde_json::from_slice::<Value>(&row).is_ok(), "{}", row.escape_ascii());
        }
    });
}

#[test]
fn a_row_that_is_written_is_read() {
    Fuzz::of([""]).run(|_, dice| {
        let address = |dice: &mut Dice| match dice.below(3) {
            0 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(dice.any()) << 64 | u128::from(dice.any()))),
            1 => IpAddr::V6(Ipv4Addr::from_bits(u32::try_from(dice.any() >> 32).unwrap()).to_ipv6_mapped()),
            _ => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(dice.any() >> 32).unwrap())),
        };
        let (source, destination) = (address(dice), address(dice));
        let (port, pid, sent) =
            (u16::try_from(dice.below(65_536)).unwrap(), u32::try_from(dice.any() >> 32).unwrap(), dice.any());
        let text = serde_json::json!({"source": source, "dest": destination, "sport": port, "pid": pid, "m_sent_b": sent});
        let row = read(text.to_string().as_bytes(), DirectionCodes::Datadog).expect("it is a connection");
        assert_eq!((row.source, row.destination), (source.to_canonical(), destination.to_canonical()));
        assert_eq!((row.source_port, row.pid, row.sent), (port, pid, sent));
    });
}

#[test]
fn rows_that_are_damaged_are_read_or_left_out() {
    let rows = [
        r#"{"pid":14931,"type":1,"net_ns":4026532528,"source":"172.17.0.2","dest":"172.17.0.5","sport":41515,"dport":53,"direction":2}"#,
        r#"{"src":"fe80::1%eth0","dst":"::ffff:10.0.0.1","m_sent_b":18446744073709551615,"epoch":1}"#,
    ];
    Fuzz::of(rows).run(|input, _| {
        if let Some(row) = read(input, DirectionCodes::Stackvista) {
            assert!(input.trim_ascii().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok());
            assert_eq!(row.source, row.source.to_canonical());
        }
    });
}
