//! Ranges of addresses that belong to the cluster, whoever has them at the moment. Pure.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;

/// Ranges, as often as they are named.
#[derive(Debug, Default)]
pub(super) struct Cidrs {
    /// By the number of bits that count, the ranges, and how often each is named.
    by_length: BTreeMap<u8, HashMap<u128, u32>>,
}

/// The bits of a range, and how many of them count; IPv4 as IPv4-mapped IPv6.
pub(in crate::tracer) fn parse(text: &str) -> Option<(u128, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let (most, more) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    (length <= most).then(|| (masked(bits(address), length + more), length + more))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(bits: u128, length: u8) -> u128 {
    let ignored = 128 - u32::from(length.min(128));
    bits.checked_shr(ignored).and_then(|kept| kept.checked_shl(ignored)).unwrap_or(0)
}

impl Cidrs {
    /// What is no range is passed over.
    pub(super) fn insert(&mut self, text: &str) {
        if let Some((bits, length)) = parse(text) {
            *self.by_length.entry(length).or_default().entry(bits).or_default() += 1;
        }
    }

    /// Takes back what was inserted once.
    pub(super) fn remove(&mut self, text: &str) {
        let Some((bits, length)) = parse(text) else { return };
        let Some(ranges) = self.by_length.get_mut(&length) else { return };
        if let Some(count) = ranges.get_mut(&bits) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                ranges.remove(&bits);
            }
        }
        if ranges.is_empty() {
            self.by_length.remove(&length);
        }
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.by_length.iter().any(|(length, ranges)| ranges.contains_key(&masked(bits, *length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(cidrs: &Cidrs, address: &str) -> bool {
        cidrs.contain(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_range_or_not() {
        let mut cidrs = Cidrs::default();
        for text in ["10.42.0.0/24", "10.96.0.0/12", "fd00:1::/64", "192.0.2.7/32"] {
            cidrs.insert(text);
        }
        for (address, expected) in [
            ("10.42.0.255", true),
            ("10.42.1.0", false),
            ("10.111.255.255", true),
            ("10.112.0.0", false),
            ("fd00:1::7", true),
            ("fd00:1:0:1::7", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(contain(&cidrs, address), expected, "{address}");
        }
    }

    #[test]
    fn a_range_is_there_as_long_as_somebody_names_it() {
        let mut cidrs = Cidrs::default();
        cidrs.insert("10.42.0.0/24");
        cidrs.insert("10.42.0.0/24");
        cidrs.remove("10.42.0.0/24");
        assert!(contain(&cidrs, "10.42.0.1"));
        cidrs.remove("10.42.0.0/24");
        cidrs.remove("10.42.0.0/24");
        assert!(!contain(&cidrs, "10.42.0.1"));
        assert!(cidrs.by_length.is_empty());
    }

    #[test]
    fn what_is_no_range_is_none() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(parse("0.0.0.0/0").is_some() && parse("::/0").is_some());
    }
}
