//! A small seeded mutator: flips, splices, truncations, repeats, and other numbers, strings and names in their place.

use ocpphub::action::{ACTIONS, ENUMERATIONS, NAMES};

/// A xorshift generator: the same seed gives the same inputs on every machine.
pub struct Random(u64);

impl Random {
    /// From any seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is above 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// What stands in for a value.
const VALUES: [&str; 46] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.0",
    "1.5",
    "6e1",
    "1E+2",
    "1e-400",
    "1e400",
    "0.05",
    "16.25",
    "-0.1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "99999999999999999999",
    "01",
    "1.",
    ".5",
    "1e",
    "NaN",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\udc00\\ud83d\"",
    "\"\u{1f50c}\"",
    "\"12\"",
    "\"2024-02-30T00:00:00Z\"",
    "\"2024-01-01T00:00:00\"",
    "\"2016-12-31T23:59:60Z\"",
    "\"ftp://x\"",
    "\"x y:z\"",
    "[]",
    "{}",
    "[[]]",
    "{\"a\":{\"a\":1,\"a\":2}}",
    "\"\\/\\b\\f\\n\\r\\t\\\"\\\\\"",
];

/// What is inserted anywhere.
const PIECES: [&str; 23] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    " ",
    "\n",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{a0}",
    "\u{7f}",
    "é",
    "\u{feff}",
    "\\u0041",
    "\\u00",
    "e9",
    "-",
    ".",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// An input that comes from `seed` by some changes; `other` is what may be spliced in.
pub fn mutated(random: &mut Random, seed: &[u8], other: &[u8], longest: usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, other);
        bytes.truncate(longest);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(12) + 1);
    match random.below(13) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].repeat(1 + random.below(40));
            bytes.splice(at..at, part);
        }
        5 => {
            let start = random.below(other.len() + 1);
            bytes.splice(at.., other[start..].iter().copied());
        }
        6 => {
            let start = random.below(other.len() + 1);
            let stop = start + random.below((other.len() - start).min(40) + 1);
            bytes.splice(at..at, other[start..stop].iter().copied());
        }
        12 => repeat_member(bytes, at),
        7 => replace(bytes, at, random.pick(&PIECES).as_bytes(), 0),
        8 | 9 => swap_token(random, bytes, at, |random| (*random.pick(&VALUES)).into()),
        10 => swap_token(random, bytes, at, |random| format!("\"{}\"", random.pick(NAMES))),
        _ => swap_token(random, bytes, at, |random| {
            let enumeration = random.pick(ENUMERATIONS);
            let name = [random.pick(enumeration.values), random.pick(ACTIONS).name][random.below(2)];
            format!("\"{name}\"")
        }),
    }
}

/// Give an object the member after `at` twice.
fn repeat_member(bytes: &mut Vec<u8>, at: usize) {
    let next = |from: usize| bytes[from..].windows(2).position(|pair| pair == b",\"").map(|offset| from + offset);
    let Some(start) = next(at) else { return };
    let Some(end) = next(start + 1) else { return };
    let member = bytes[start..end].to_vec();
    bytes.splice(end..end, member);
}

fn replace(bytes: &mut Vec<u8>, at: usize, piece: &[u8], size: usize) {
    bytes.splice(at..at + size, piece.iter().copied());
}

/// Put another value in the place of the string or number at or after `at`.
fn swap_token(random: &mut Random, bytes: &mut Vec<u8>, at: usize, piece: impl Fn(&mut Random) -> String) {
    let is_start = |byte: &u8| *byte == b'"' || *byte == b'-' || byte.is_ascii_digit();
    let Some(start) = bytes[at..].iter().position(is_start).map(|offset| at + offset) else { return };
    let size = if bytes[start] == b'"' {
        bytes[start + 1..].iter().position(|byte| *byte == b'"').map_or(1, |length| length + 2)
    } else {
        bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count()
    };
    let piece = piece(random);
    replace(bytes, start, piece.as_bytes(), size);
}
