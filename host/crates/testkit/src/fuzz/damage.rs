//! How inputs come about: samples that are damaged, put together anew, or replaced by noise.

use super::dice::Dice;

/// What means something to one parser or another. Long numbers and deep brackets are made besides.
const WORDS: [&str; 62] = [
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"",
    "'",
    "\\",
    "/",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ":",
    ",",
    ";",
    "=",
    "#",
    "%",
    "&",
    "*",
    "!",
    "|",
    ">",
    "-",
    "+",
    ".",
    "..",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e-999",
    "1e-400",
    "NaN",
    "+Inf",
    "-Inf",
    "null",
    "true",
    "false",
    "max",
    "0x10",
    "127",
    "255",
    "256",
    "32768",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "\u{feff}",
    "\u{2028}",
    "é",
    "\\u0000",
    "\\ud800",
    "\u{1f600}",
];
/// What is no UTF-8.
const NO_TEXT: [&[u8]; 6] = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"];
const OPENERS: [&[u8]; 7] = [b"[", b"{", b"(", b"{\"a\":", b"- ", b"\n ", b"<"];
/// More words are not taken out of the samples.
const MOST_WORDS: usize = 4096;

/// Makes inputs.
pub struct Damage {
    samples: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    pub(super) longest: usize,
}

impl Damage {
    /// Damages these, to at most so many bytes.
    pub fn new(samples: Vec<Vec<u8>>, longest: usize) -> Self {
        let mut damage = Self { samples: Vec::new(), words: Vec::new(), longest };
        damage.know(WORDS);
        damage.add(samples);
        damage
    }

    pub(super) fn add(&mut self, samples: impl IntoIterator<Item = Vec<u8>>) {
        for sample in samples {
            self.know(words(&sample));
            self.samples.push(sample);
        }
    }

    pub(super) fn know(&mut self, words: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for word in words {
            let word = word.as_ref();
            if self.words.len() < MOST_WORDS && !self.words.iter().any(|known| known == word) {
                self.words.push(word.to_vec());
            }
        }
    }

    /// The input of this seed: a sample as it is for the first ones, then damaged ones.
    pub fn input(&self, seed: u64, dice: &mut Dice) -> Vec<u8> {
        if let Some(sample) = usize::try_from(seed).ok().and_then(|index| self.samples.get(index)) {
            return sample.clone();
        }
        let mut input = match dice.below(20) {
            0 => {
                let length = dice.below(256);
                dice.bytes(length)
            }
            1 | 2 => self.sentence(dice),
            _ => dice.pick(&self.samples).cloned().unwrap_or_default(),
        };
        // Most often little: what is wrong everywhere is refused at its first byte.
        let times = if dice.one_in(8) { 1 + dice.below(24) } else { 1 + dice.below(3) };
        for _ in 0..times {
            self.damage(&mut input, dice);
        }
        input.truncate(self.longest);
        input
    }

    /// This, damaged once.
    pub fn damage(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        match dice.below(16) {
            0 | 1 => flip(input, dice),
            2 => {
                let range = dice.range(input.len());
                input.drain(range);
            }
            3 => {
                let length = dice.below(input.len() + 1);
                input.truncate(length);
            }
            4 => self.repeat(input, dice),
            5 => self.splice(input, dice),
            6 | 7 => {
                let word = dice.pick(&self.words).cloned().unwrap_or_default();
                put(input, &word, dice);
            }
            8 => {
                let word = dice.pick(&self.words).cloned().unwrap_or_default();
                exchange_word(input, &word, dice);
            }
            9 => exchange_number(input, dice),
            10 => {
                let opener = dice.pick(&OPENERS).copied().unwrap_or_default();
                let depth = if dice.one_in(3) { dice.below(self.longest) } else { dice.below(200) };
                put(input, &opener.repeat(depth / opener.len().max(1)), dice);
            }
            11 => {
                let bytes = dice.pick(&NO_TEXT).copied().unwrap_or_default();
                put(input, bytes, dice);
            }
            12 => {
                let most = if dice.one_in(4) { self.longest } else { 64 };
                let (length, byte) = (dice.below(most), dice.byte());
                put(input, &vec![byte; length], dice);
            }
            13 => lines(input, dice),
            14 => {
                let bytes = dice.below(16);
                let bytes = dice.bytes(bytes);
                put(input, &bytes, dice);
            }
            _ => swap(input, dice),
        }
        input.truncate(self.longest.saturating_mul(2));
    }

    /// Words in a row.
    fn sentence(&self, dice: &mut Dice) -> Vec<u8> {
        let length = 1 + dice.below(48);
        (0..length).flat_map(|_| dice.pick(&self.words).cloned().unwrap_or_default()).collect()
    }

    fn repeat(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let range = dice.range(input.len());
        let part = input.get(range.clone()).unwrap_or_default().to_vec();
        let most = self.longest / part.len().max(1);
        let few = if dice.one_in(4) { most } else { most.min(3) };
        let times = dice.below(few + 1);
        input.splice(range.end..range.end, part.repeat(times));
    }

    /// A part of a sample takes the place of a part of the input.
    fn splice(&self, input: &mut Vec<u8>, dice: &mut Dice) {
        let Some(other) = dice.pick(&self.samples) else { return };
        let part = other.get(dice.range(other.len())).unwrap_or_default().to_vec();
        let range = if dice.one_in(2) { dice.range(input.len()) } else { dice.below(input.len() + 1)..input.len() };
        input.splice(range, part);
    }
}

fn flip(input: &mut [u8], dice: &mut Dice) {
    let (at, bit) = (dice.below(input.len()), dice.below(8));
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn put(input: &mut Vec<u8>, bytes: &[u8], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    input.splice(at..at, bytes.iter().copied());
}

fn swap(input: &mut [u8], dice: &mut Dice) {
    let range = dice.range(input.len());
    if let Some(part) = input.get_mut(range) {
        part.reverse();
    }
}

fn lines(input: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<Vec<u8>> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(3) {
        0 => lines.swap(one, other),
        1 => drop(lines.remove(one)),
        _ => {
            let line = lines.get(one).cloned().unwrap_or_default();
            lines.insert(other, line);
        }
    }
    *input = lines.join(&b'\n');
}

/// The stretch of such bytes that begins at the first one after here.
fn stretch(input: &[u8], from: usize, belongs: impl Fn(&u8) -> bool) -> std::ops::Range<usize> {
    let rest = input.get(from..).unwrap_or_default();
    let begin = from + rest.iter().position(&belongs).unwrap_or(rest.len());
    let after = input.get(begin..).unwrap_or_default();
    begin..begin + after.iter().position(|byte| !belongs(byte)).unwrap_or(after.len())
}

fn exchange_word(input: &mut Vec<u8>, word: &[u8], dice: &mut Dice) {
    let range = stretch(input, dice.below(input.len()), |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    input.splice(range, word.iter().copied());
}

fn exchange_number(input: &mut Vec<u8>, dice: &mut Dice) {
    let range = stretch(input, dice.below(input.len()), u8::is_ascii_digit);
    let number = match dice.below(8) {
        0 => u64::MAX.to_string(),
        1 => i64::MIN.to_string(),
        2 => "0".to_owned(),
        3 => "9".repeat(1 + dice.below(400)),
        4 => format!("{}.{}e{}", dice.below(10), dice.any(), dice.below(700)),
        5 => (1_u128 << dice.below(127)).to_string(),
        6 => format!("-{}", dice.any()),
        _ => dice.any().to_string(),
    };
    input.splice(range, number.into_bytes());
}

/// What looks like words and marks in a sample.
fn words(sample: &[u8]) -> Vec<Vec<u8>> {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let words = sample.chunk_by(|one, other| belongs(one) && belongs(other));
    words.filter(|word| word.len() <= 64).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Vec<Vec<u8>> {
        let damage = Damage::new(vec![b"usage_usec 5\nuser_usec 3\n".to_vec(), b"max\n".to_vec()], 100);
        (0..2000).map(|seed| damage.input(seed, &mut Dice::new(seed))).collect()
    }

    #[test]
    fn a_seed_always_makes_the_same_and_the_first_ones_are_the_samples() {
        let inputs = inputs();
        assert_eq!(inputs, self::inputs());
        assert_eq!(inputs[..2], [b"usage_usec 5\nuser_usec 3\n".to_vec(), b"max\n".to_vec()]);
    }

    #[test]
    fn inputs_are_bounded_and_most_are_different() {
        let inputs = inputs();
        assert!(inputs.iter().all(|input| input.len() <= 100));
        let different: std::collections::BTreeSet<&Vec<u8>> = inputs.iter().collect();
        assert!(different.len() > 1500, "{}", different.len());
        assert!(inputs.iter().any(|input| std::str::from_utf8(input).is_err()));
        let with_word = inputs.iter().filter(|input| input.windows(10).any(|part| part == b"usage_usec")).count();
        assert!(with_word > 350, "much of a sample stays often: {with_word}");
    }
}
