//! What stands in the files of a cgroup becomes numbers. Pure, on bytes, without a copy; whatever is not as the kernel writes it is bad.

/// What was found under a name or on a line.
pub(crate) type Number = Result<u64, Bad>;

/// Something stands there that is no number up to 2^64 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad;

/// How much something may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So much.
    Set(u64),
    /// As much as there is.
    Unset,
}

/// A file that holds one number, with white space around it.
pub(crate) fn single(text: &[u8]) -> Number {
    digits(text.trim_ascii())
}

/// A file that holds one number or `max`.
pub(crate) fn limit(text: &[u8]) -> Result<Limit, Bad> {
    match text.trim_ascii() {
        b"max" => Ok(Limit::Unset),
        number => digits(number).map(Limit::Set),
    }
}

/// Version 1 writes the largest number of bytes that it can count when no limit is set: 2^63 - 1, rounded down to a page. Pages have up to
/// a mebibyte somewhere; nobody sets a limit so near to that.
pub(crate) fn limit_of_version_1(text: &[u8]) -> Result<Limit, Bad> {
    const NONE: u64 = (1 << 63) - (1 << 20);
    let number = single(text)?;
    Ok(if number >= NONE { Limit::Unset } else { Limit::Set(number) })
}

/// Every line `<name> <value>`.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(text).filter_map(|line| split(line, b' '))
}

/// The value of such a line.
pub(crate) fn digits(text: &[u8]) -> Number {
    if text.is_empty() {
        return Err(Bad);
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Bad);
        }
        number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit))).ok_or(Bad)
    })
}

/// The two totals of a file of pressure, none where its line or its total is not there: microseconds.
pub(crate) fn pressure(text: &[u8]) -> (Option<Number>, Option<Number>) {
    let (mut some, mut full) = (None, None);
    for (name, fields) in pairs(text) {
        let total = || fields.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(b"total=")).map(digits);
        match name {
            b"some" if some.is_none() => some = total(),
            b"full" if full.is_none() => full = total(),
            _ => {}
        }
    }
    (some, full)
}

/// Every field `<name>=<value>` of every line of an `io.stat`. The numbers of the devices stand before, on some kernels several on a line.
pub(crate) fn fields(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(text).flat_map(|line| line.split(|byte| *byte == b' ')).filter_map(|field| split(field, b'='))
}

/// Whether every line of an `io.stat` begins with the number of a device. Anything else would be taken for a cgroup that has used none.
pub(crate) fn are_devices(text: &[u8]) -> bool {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let device = |line: &[u8]| {
        let first = split(line, b' ').map_or(line, |(first, _)| first);
        split(first, b':').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
    };
    lines(text).filter(|line| !line.is_empty()).all(device)
}

/// What was read and what was written, over all devices: lines `8:0 Read 4096`, in the end `Total 12288`. None for an empty file; a file
/// with the last line alone is that of a cgroup that has not used a device yet.
pub(crate) fn throttle(text: &[u8]) -> Option<(Number, Number)> {
    let (mut read, mut written, mut any) = (Ok(0), Ok(0), false);
    for line in lines(text) {
        let mut words = line.split(|byte| *byte == b' ');
        match (words.next(), words.next(), words.next()) {
            (Some(_), Some(b"Read"), Some(value)) => add(&mut read, digits(value)),
            (Some(_), Some(b"Write"), Some(value)) => add(&mut written, digits(value)),
            (Some(_), Some(_), Some(_)) | (Some(b"Total"), Some(_), None) => {}
            _ => continue,
        }
        any = true;
    }
    any.then_some((read, written))
}

/// Adds to a sum, which is bad as soon as a part is, or does not fit.
pub(crate) fn add(sum: &mut Number, part: Number) {
    *sum = match (*sum, part) {
        (Ok(sum), Ok(part)) => sum.checked_add(part).ok_or(Bad),
        _ => Err(Bad),
    };
}

/// Every line, without its end; the last need not have one.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (name, value) = text.split_at_checked(memchr::memchr(at, text)?)?;
    Some((name, value.get(1..)?))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
