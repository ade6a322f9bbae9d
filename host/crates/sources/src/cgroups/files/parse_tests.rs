//! What kernels write, and what they never would.

use super::*;

const BAD: [&[u8]; 14] = [
    b"",
    b"\n",
    b"-1\n",
    b"+1\n",
    b"42.5\n",
    b"1e3",
    b"0x10",
    b"18446744073709551616",
    b"99999999999999999999999",
    b"1 2",
    b"MAX",
    b"1_000",
    b"\x00\xff\xfe",
    "１".as_bytes(),
];

#[test]
fn a_file_of_one_number_is_trimmed() {
    for (text, number) in
        [("1234\n", 1234), ("0", 0), (" 7 \r\n", 7), ("18446744073709551615\n", u64::MAX), ("0000000000000000000000001", 1)]
    {
        assert_eq!(single(text.as_bytes()), Ok(number), "{text:?}");
    }
}

#[test]
fn what_is_no_number_is_bad() {
    for text in BAD {
        assert_eq!(single(text), Err(Bad), "{}", text.escape_ascii());
        assert_eq!(limit(text), Err(Bad), "{}", text.escape_ascii());
        assert_eq!(limit_of_version_1(text), Err(Bad), "{}", text.escape_ascii());
    }
    assert_eq!(single(b"max"), Err(Bad), "only limits may be that");
}

#[test]
fn a_limit_may_be_unset() {
    assert_eq!(limit(b"max\n"), Ok(Limit::Unset));
    assert_eq!(limit(b"536870912\n"), Ok(Limit::Set(536_870_912)));
    assert_eq!(limit(b"18446744073709551615\n"), Ok(Limit::Set(u64::MAX)), "of version 2 that is a number as others");
}

#[test]
fn version_1_has_a_number_for_no_limit_that_depends_on_the_size_of_a_page() {
    for page in [1_u64 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20] {
        let text = (i64::MAX.cast_unsigned() / page * page).to_string();
        assert_eq!(limit_of_version_1(text.as_bytes()), Ok(Limit::Unset), "{page}");
    }
    assert_eq!(limit_of_version_1(b"9223372036854771712\n"), Ok(Limit::Unset));
    assert_eq!(limit_of_version_1(b"9223372036854775807\n"), Ok(Limit::Unset), "older kernels do not round");
    assert_eq!(limit_of_version_1(b"18446744073709551615\n"), Ok(Limit::Unset), "the oldest count further");
    assert_eq!(limit_of_version_1(b"419430400\n"), Ok(Limit::Set(419_430_400)));
}

#[test]
fn a_name_ends_at_the_first_space() {
    let found: Vec<_> = pairs(b"usage_usec 579\nodd line here\nalone\n\nuser_usec 123").collect();
    assert_eq!(found, [(&b"usage_usec"[..], &b"579"[..]), (b"odd", b"line here"), (b"user_usec", b"123")]);
    assert_eq!(digits(b" 579"), Err(Bad), "two spaces");
}

#[test]
fn pressure_is_two_totals() {
    let check = |text: &str, some, full| assert_eq!(pressure(text.as_bytes()), (some, full), "{text:?}");
    let both = "some avg10=0.00 avg60=0.00 avg300=0.00 total=91487491\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=84675542\n";
    check(both, Some(Ok(91_487_491)), Some(Ok(84_675_542)));
    check(&both.replace('\n', "\r\n"), Some(Ok(91_487_491)), Some(Ok(84_675_542)));
    check("full avg10=0.00 avg60=0.00 avg300=0.00 total=67890", None, Some(Ok(67890)));
    check("some total=5 avg10=0.00 avg300=0.00\n", Some(Ok(5)), None);
    check("some avg10=0.00 total=not_a_number\nfull total=1\n", Some(Err(Bad)), Some(Ok(1)));
    check("some avg10=0.00 avg60=0.00\n", None, None);
    check("some total=\n", Some(Err(Bad)), None);
    check("some subtotal=1\n", None, None);
    check("", None, None);
    check("\u{0}\u{1}\nsome\nfull\n", None, None);
}

#[test]
fn fields_of_devices_are_found_by_their_name() {
    let text = b"8:16 rbytes=1 wios=2\n8:0 8:32 wios=3\n253:0 \n=5 x= y\n";
    let found: Vec<_> = fields(text).map(|(name, value)| (name.escape_ascii().to_string(), digits(value))).collect();
    let expected = [("rbytes", Ok(1)), ("wios", Ok(2)), ("wios", Ok(3)), ("", Ok(5)), ("x", Err(Bad))];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn lines_of_devices_begin_with_their_number() {
    for text in ["", "\n", "8:0 rbytes=1\n259:1 \n", "8:16 8:0 rbytes=1", "7:7"] {
        assert!(are_devices(text.as_bytes()), "{text:?}");
    }
    for text in ["8 rbytes=1", "rbytes=1", "8:0 rbytes=1\n:\n", "8: rbytes=1", ":0 x", "a:b", "\u{0}", "42.5\n"] {
        assert!(!are_devices(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn reads_and_writes_are_added_up_over_devices() {
    let text = b"8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\n8:16 Write 2\n8:16 Read 1\nTotal 12291\n";
    assert_eq!(throttle(text), Some((Ok(4097), Ok(8194))));
    assert_eq!(throttle(b"Total 0\n"), Some((Ok(0), Ok(0))));
    assert_eq!(throttle(b""), None);
    assert_eq!(throttle(b"rubbish\n"), None);
    assert_eq!(throttle(b"8:0 Read x\n8:0 Write 2\n"), Some((Err(Bad), Ok(2))));
    assert_eq!(throttle(b"8:0 Read 18446744073709551615\n8:16 Read 1\n"), Some((Err(Bad), Ok(0))), "the sum does not fit");
}

#[test]
fn a_million_lines_are_read_once() {
    let text = b"anon 1\n".repeat(1_000_000);
    assert_eq!(pairs(&text).filter(|(_, value)| digits(value) == Ok(1)).count(), 1_000_000);
    assert_eq!(digits(&vec![b'7'; 1 << 20]), Err(Bad));
}
