//! Maps for keys that are numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map for keys that are a few numbers, such as subject ids, ports and addresses. Some five times as fast as the standard library's hash,
/// which withstands keys that somebody has chosen to be slow; so keep it bounded, and take it for no texts from outside.
///
/// ```
/// use sluicebox_sdk::{FastMap, SubjectId};
///
/// let mut bytes: FastMap<(SubjectId, u16), u64> = FastMap::default();
/// *bytes.entry((7, 443)).or_default() += 3079;
/// *bytes.entry((7, 443)).or_default() += 79;
/// assert_eq!(bytes.get(&(7, 443)), Some(&3158));
/// ```
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// The hash of a [`FastMap`]: each number is mixed in by a rotation, an exclusive or, and a multiplication. The same everywhere, so
/// that what is made of it is the same natively and compiled.
#[derive(Clone, Copy, Debug, Default)]
pub struct FastHasher(u64);

// Odd, and without a pattern: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for FastHasher {
    #[inline]
    fn finish(&self) -> u64 {
        // A map looks at the lowest and the highest bits; a product has its best in the middle and above.
        self.0.rotate_left(26)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            self.write_u64(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(FACTOR);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::{BuildHasher, Hash};

    use super::*;

    fn hash(key: impl Hash) -> u64 {
        BuildHasherDefault::<FastHasher>::default().hash_one(key)
    }

    #[test]
    fn the_ports_of_one_address_fall_into_different_places() {
        let places: BTreeSet<u64> = (0..4096_u32).map(|port| hash((0xffff_0a00_0001_u64, port)) % 8192).collect();
        // Thrown by chance, 4096 keys would meet in about 3200 of 8192 places.
        assert!(places.len() > 2500, "only {} places", places.len());
    }

    #[test]
    fn high_bits_count_in_every_number() {
        assert_ne!(hash((1_u64 << 63, 0_u64)), hash((0_u64, 0_u64)));
        assert_ne!(hash((1_u64 << 63, 1_u64 << 63)), hash((0_u64, 0_u64)));
    }

    #[test]
    fn bytes_count_with_their_places() {
        assert_ne!(hash([1_u8, 2]), hash([2_u8, 1]));
        assert_ne!(hash("one text of some length"), hash("one text of same length"));
    }
}
