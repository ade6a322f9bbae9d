//! Short texts of letters, digits and signs, written byte by byte into a place that is there already: a connection has a dozen numbers,
//! and to append each to a `String` costs a component more than to write its digits.

use sluicebox_sdk::Address;

/// A text of at most `ROOM` bytes; what does not fit is left out.
pub(crate) struct Ascii<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

/// Begins an IPv4 address that is told as an IPv6 one: what lies above its 32 bits.
const MAPPED: u64 = 0xffff;

impl<const ROOM: usize> Ascii<ROOM> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + text.len()) {
            place.copy_from_slice(text.as_bytes());
            self.length += text.len();
        }
    }

    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a digit is less than ten, and a small number fits")]
    pub(crate) fn number(&mut self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        let Some(place) = self.bytes.get_mut(self.length..self.length + digits) else { return };
        self.length += digits;
        if let Ok(mut number) = u32::try_from(number) {
            for byte in place.iter_mut().rev() {
                *byte = b'0' + (number % 10) as u8;
                number /= 10;
            }
        } else {
            let mut number = number;
            for byte in place.iter_mut().rev() {
                *byte = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }

    /// An address in its usual form, with `colon` in place of the colons of an IPv6 one.
    pub(crate) fn address(&mut self, address: Address, colon: u8) {
        if address.high == 0 && address.low >> 32 == MAPPED {
            for (index, shift) in [24_u32, 16, 8, 0].into_iter().enumerate() {
                if index > 0 {
                    self.byte(b'.');
                }
                self.octet(address.low >> shift & 0xff);
            }
        } else {
            for byte in address.ip().to_string().bytes() {
                self.byte(if byte == b':' { colon } else { byte });
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "each is a digit")]
    fn octet(&mut self, octet: u64) {
        let octet = octet as u8;
        if octet >= 100 {
            self.byte(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.byte(b'0' + octet / 10 % 10);
        }
        self.byte(b'0' + octet % 10);
    }

    pub(crate) fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// A copy without room to spare: one with some would be copied again on its way to the host.
    pub(crate) fn to_exact(&self) -> String {
        self.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Ascii<48>), expected: &str) {
        let mut text = Ascii::new();
        write(&mut text);
        assert_eq!(text.as_str(), expected);
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for number in [0, 9, 10, 99, 100, 4_294_967_295, 4_294_967_296, 9_999_999_999_999_999_999, u64::MAX] {
            check(|text| text.number(number), &number.to_string());
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for address in ["0.0.0.0", "255.255.255.255", "10.96.0.1", "172.31.14.185", "::", "::1", "2001:db8::8:800:200c:417a"] {
            let ip: IpAddr = address.parse().unwrap();
            check(|text| text.address(ip.into(), b':'), &ip.to_string());
        }
    }

    #[test]
    fn colons_become_what_keys_may_have() {
        let ip: IpAddr = "fe80::1".parse().unwrap();
        check(|text| text.address(ip.into(), b'_'), "fe80__1");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut text = Ascii::<4>::new();
        text.text("abc");
        text.number(77);
        text.text("d");
        text.byte(b'e');
        assert_eq!(text.as_str(), "abcd");
        text.clear();
        assert_eq!(text.to_exact(), "");
    }
}
