use super::*;

const LIMITS: Limits = Limits { document: 4096, depth: 8, piece: 200 };

fn cut(text: &[u8], size: usize, limits: Limits) -> Result<Vec<String>, Broken> {
    let mut document = Document::new(limits);
    let mut rows = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let chunk = &rest[..size.min(rest.len())];
        match document.take(chunk, |row| rows.push(String::from_utf8_lossy(row).into_owned()))? {
            Taken::All => rest = &rest[chunk.len()..],
            Taken::Ended(used) => {
                assert!(rest[used..].iter().all(u8::is_ascii_whitespace), "{:?}", &rest[used..]);
                break;
            }
        }
    }
    document.end()?;
    Ok(rows)
}

/// However the bytes come, the same is found.
fn rows(text: &str) -> Result<Vec<String>, Broken> {
    let whole = cut(text.as_bytes(), usize::MAX, LIMITS);
    for size in 1..40 {
        assert_eq!(cut(text.as_bytes(), size, LIMITS), whole, "in pieces of {size}");
    }
    whole
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(rows(text).as_deref(), Ok(expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()), "{text}");
}

#[track_caller]
fn check_broken(text: &str, expected: Broken) {
    assert_eq!(rows(text), Err(expected), "{text}");
}

#[test]
fn each_connection_is_cut_out_as_it_stands() {
    check(r#"{"connections":[{"a":1},{"b":[{"c":"]}"}]}]}"#, &[r#"{"a":1}"#, r#"{"b":[{"c":"]}"}]}"#]);
    check(" {\n \"connections\" : [ {\"a\" : 1 } , {} ] }\n ", &["{\"a\" : 1 }", "{}"]);
}

#[test]
fn no_connections_are_no_mistake() {
    check(r#"{"connections":null}"#, &[]);
    check(r#"{"connections":[]}"#, &[]);
    check(r#"{"connections":[ ]}"#, &[]);
}

#[test]
fn what_stands_beside_is_passed_over() {
    check(r#"{"a":{"connections":[1]},"b":[[]],"connections":[{}],"c":"\"]}","d":-1.5e3}"#, &["{}"]);
}

#[test]
fn what_is_no_object_is_given_to_whoever_reads_connections() {
    check(r#"{"connections":[null,1 , "a" ,[],{}]}"#, &["null", "1", "\"a\"", "[]", "{}"]);
}

#[test]
fn a_document_without_connections_is_not_used() {
    for text in [
        "[]",
        "1",
        "\"connections\"",
        "{}",
        r#"{"connection":[]}"#,
        r#"{"connections":{}}"#,
        r#"{"connections":"x"}"#,
        r#"{"connections":5}"#,
    ] {
        assert_eq!(rows(&format!("{text} ")), Err(Broken::NoConnections), "{text}");
    }
}

#[test]
fn what_is_no_json_is_not_used() {
    for text in [
        r#"{"connections":[{}{}]}"#,
        r#"{"connections":[{},]}"#,
        r#"{"connections":[,{}]}"#,
        r#"{"connections" []}"#,
        r#"{"connections":[}"#,
        r#"{"connections":[{]]}"#,
        r#"{,"connections":[]}"#,
        r#"{"connections":[],}"#,
        r"{connections:[]}",
        "<html>",
        "{\"connections\":[\0]}",
        "{\"connections\":[{\"a\":\"\0\"}]}",
    ] {
        assert!(matches!(rows(text), Err(Broken::NotJson { .. } | Broken::NoConnections)), "{text}: {:?}", rows(text));
    }
}

#[test]
fn what_ends_in_the_middle_is_not_used() {
    let text = r#"{"connections":[{"a":"b"}]}"#;
    for end in 1..text.len() {
        check_broken(&text[..end], Broken::CutShort);
    }
}

#[test]
fn each_limit_is_kept() {
    let nested = format!(r#"{{"a":{}"#, "[".repeat(1000));
    check_broken(&nested, Broken::TooDeep(8));
    let long = "x".repeat(300);
    check_broken(&format!(r#"{{"connections":[{{"a":"{long}"}}]}}"#), Broken::PieceTooLong(200));
    check_broken(&format!(r#"{{"a":"{long}","connections":[]}}"#), Broken::PieceTooLong(200));
    check_broken(&format!(r#"{{"a":{},"connections":[]}}"#, "1".repeat(300)), Broken::PieceTooLong(200));
    check_broken(&format!(r#"{{"connections":[{{{}}}]}}"#, vec![r#""a":1"#; 60].join(",")), Broken::PieceTooLong(200));
    let limits = Limits { document: 30, ..LIMITS };
    assert_eq!(cut(r#"{"connections":[],"a":1,"b":2}"#.as_bytes(), 7, limits), Ok(vec![]));
    assert_eq!(cut(r#"{"connections":[],"a":1,"b":22}"#.as_bytes(), 7, limits), Err(Broken::TooLong(30)));
}

#[test]
fn one_document_ends_where_the_next_begins() {
    let mut document = Document::new(LIMITS);
    let text = br#"{"connections":[{}]}{"connections":[]}"#;
    let mut count = 0;
    assert_eq!(document.take(text, |_| count += 1), Ok(Taken::Ended(20)));
    assert_eq!(count, 1);
}

/// A generator of pseudo-random numbers that gives the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn value(&mut self, depth: u64) -> serde_json::Value {
        match self.roll(if depth > 3 { 4 } else { 6 }) {
            0 => serde_json::Value::Null,
            1 => self.roll(1000).into(),
            2 => ["", "a", "\"", "\\", "}]", "ü", "\n", "connections"][usize::try_from(self.roll(8)).unwrap()].into(),
            3 => (self.roll(2) == 0).into(),
            4 => (0..self.roll(4)).map(|_| self.value(depth + 1)).collect(),
            _ => (0..self.roll(4))
                .map(|number| (format!("k{number}\"\\"), self.value(depth + 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

#[test]
fn whatever_json_comes_its_connections_are_those_that_a_parser_finds() {
    let mut dice = Dice(1);
    for _ in 0..500 {
        let connections: Vec<serde_json::Value> = (0..dice.roll(5)).map(|_| dice.value(0)).collect();
        let document = serde_json::json!({"x": dice.value(0), "connections": connections, "y": dice.value(0)});
        let text = if dice.roll(2) == 0 { document.to_string() } else { serde_json::to_string_pretty(&document).unwrap() };
        let limits = Limits { document: 1 << 20, depth: 32, piece: 1 << 16 };
        let size = usize::try_from(dice.roll(30)).unwrap() + 1;
        let rows = cut(text.as_bytes(), size, limits).unwrap();
        let parsed: Vec<serde_json::Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(parsed, connections, "{text}");
    }
}

#[test]
fn no_bytes_make_it_panic_or_take_more_than_the_parser_would() {
    let mut dice = Dice(2);
    let text = r#"{"a":[1,{"b":null}],"connections":[{"pid":1,"source":"1.2.3.4"},{"pid":2}],"c":"d"}"#;
    for _ in 0..20_000 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=dice.roll(3) {
            let place = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
            bytes[place] = b"{}[]\",:\\ 1nx\0\xff"[usize::try_from(dice.roll(14)).unwrap()];
        }
        let size = usize::try_from(dice.roll(90)).unwrap() + 1;
        let mut document = Document::new(LIMITS);
        let mut rows = 0;
        let mut broken = false;
        for chunk in bytes.chunks(size) {
            match document.take(chunk, |_| rows += 1) {
                Ok(Taken::All) => {}
                Ok(Taken::Ended(_)) | Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        assert!(broken || document.end().is_err());
        assert!(rows < 20);
    }
}
