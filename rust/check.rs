//! One line of the socket as strict JSON: depth, duplicate members, number range (rpc.md, "Rules").
#![forbid(unsafe_code)]

use crate::json::{MAX_DEPTH, Scanner};
use crate::number::Number;
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// The names of one open object; few are compared, many are hashed, so that the whole stays linear.
///
/// The set holds hashes alone: names in it would outgrow the caches, and be read again whenever it grows.
#[derive(Default)]
struct Names<'a> {
    all: Vec<Cow<'a, [u8]>>,
    many: HashSet<u64, BuildHasherDefault<Hashed>>,
    key: RandomState,
}

impl<'a> Names<'a> {
    /// Whether the name is new.
    fn add(&mut self, name: Cow<'a, [u8]>) -> bool {
        const FEW: usize = 12;
        if self.all.len() == FEW {
            self.many = self.all.iter().map(|each| self.key.hash_one(each)).collect();
        }
        let may_be_known = self.all.len() < FEW || !self.many.insert(self.key.hash_one(&name));
        if may_be_known && self.all.contains(&name) {
            return false;
        }
        self.all.push(name);
        true
    }
}

/// A hash is its own hash.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Whether `bytes` is one strict JSON text for the socket: depth 32, no duplicate members, integers of 64 bits, finite
/// numbers (rpc.md, "Rules"). Returns what is wrong and the byte at which it shows.
pub fn check(bytes: &[u8]) -> Result<(), (&'static str, usize)> {
    std::str::from_utf8(bytes).map_err(|error| ("not valid UTF-8", error.valid_up_to()))?;
    let mut scanner = Scanner::new(bytes);
    check_value(&mut scanner).map_err(|wrong| (wrong, bytes.len().saturating_sub(scanner.rest().len())))
}

/// [`check`] on a cursor. An open array has no names.
fn check_value<'a>(scanner: &mut Scanner<'a>) -> Result<(), &'static str> {
    const SYNTAX: &str = "not valid JSON";
    let mut open: Vec<Option<Names<'a>>> = Vec::new();
    loop {
        scanner.space();
        let byte = scanner.peek();
        if matches!(byte, b'{' | b'[') {
            scanner.advance(1);
            if open.len() >= usize::try_from(MAX_DEPTH).unwrap_or(0) {
                return Err("nested more than 32 containers deep");
            }
            scanner.space();
            if !scanner.take(if byte == b'{' { b'}' } else { b']' }) {
                let mut names = (byte == b'{').then(Names::default);
                check_name(scanner, names.as_mut())?;
                open.push(names);
                continue;
            }
        } else if matches!(byte, b'-' | b'0'..=b'9') {
            let number = scanner.number().map_err(|_| SYNTAX)?;
            check_number(number)?;
        } else {
            scanner.scalar().map_err(|_| SYNTAX)?;
        }
        loop {
            let Some(names) = open.last_mut() else { return scanner.end().map_err(|_| SYNTAX) };
            scanner.space();
            if scanner.take(b',') {
                check_name(scanner, names.as_mut())?;
                break;
            }
            scanner.expect(if names.is_some() { b'}' } else { b']' }).map_err(|_| SYNTAX)?;
            open.pop();
        }
    }
}

fn check_name<'a>(scanner: &mut Scanner<'a>, names: Option<&mut Names<'a>>) -> Result<(), &'static str> {
    let Some(names) = names else { return Ok(()) };
    let name = scanner.name().map_err(|_| "not valid JSON")?;
    if names.add(name.unescaped()) { Ok(()) } else { Err("a member occurs twice in one object") }
}

fn check_number(number: Number<'_>) -> Result<(), &'static str> {
    let Number::Other(raw) = number else { return Ok(()) };
    let text = std::str::from_utf8(raw).unwrap_or_default();
    let fits =
        if number.is_plain() { text.parse::<i64>().is_ok() } else { text.parse::<f64>().is_ok_and(f64::is_finite) };
    if fits { Ok(()) } else { Err("a number does not fit 64 bits") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_refuses_what_the_socket_refuses() {
        // req: T07
        for good in ["1", "[]", "{\"a\":1,\"b\":{\"a\":2}}", "-9223372036854775808", "[1.5e300,null,true]", " \"x\" "] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        let deep = "[".repeat(33) + &"]".repeat(33);
        let many: String = (0..40).map(|index| format!("\"k{}\":0,", index % 39)).collect();
        let many = format!("{{{}\"z\":1}}", many);
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "9223372036854775808",
            "1e400",
            "NaN",
            "\"\\ud800\"",
            "[1] x",
            "01",
            &deep,
            &many,
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }
}
