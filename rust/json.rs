//! A strict, iterative, bounded JSON scanner (RFC 8259) over bytes that are already known to be UTF-8.
//!
//! It never recurses, never allocates on the good path and reads every byte once. Strings stay borrowed and escaped until
//! somebody asks; numbers stay exact. `docs/design/0006` records why it is ours.
#![forbid(unsafe_code)]

use crate::text::{Text, content, hex4};
use std::borrow::Cow;

/// How many containers may be open at once (D-03; the deepest legal PDU has six).
pub const MAX_DEPTH: u32 = 32;

/// Why a text is not JSON as we accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Not RFC 8259.
    Syntax,
    /// More than [`MAX_DEPTH`] containers.
    TooDeep,
}

pub(crate) const ONES: u64 = 0x0101_0101_0101_0101;
pub(crate) const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of the first byte of `word` that is a quote, a backslash or a control character is the lowest bit set.
#[inline(always)]
pub(crate) const fn string_stops(word: u64) -> u64 {
    let quote = word ^ (ONES.wrapping_mul(0x22));
    let backslash = word ^ (ONES.wrapping_mul(0x5c));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    (quote | backslash | control) & HIGHS
}

#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(bytes),
    }
}

/// The last bytes of a text.
#[inline(never)]
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[inline(never)]
fn behind_space(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// A cursor: what is left of the text. Two words, copied freely; the hot paths keep theirs in registers.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `text`.
    #[inline(always)]
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What is left.
    #[inline(always)]
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// What lies between `start`, an earlier rest, and the cursor.
    #[inline(always)]
    #[must_use]
    pub fn since(&self, start: &'a [u8]) -> &'a [u8] {
        start.get(..start.len().wrapping_sub(self.rest.len())).unwrap_or_default()
    }

    /// The byte under the cursor; 0, which no JSON text holds, at the end.
    #[inline(always)]
    #[must_use]
    pub const fn peek(&self) -> u8 {
        match self.rest {
            [byte, ..] => *byte,
            [] => 0,
        }
    }

    /// Move on by `count` bytes.
    #[inline(always)]
    pub fn advance(&mut self, count: usize) {
        // A branch, not a select: callers have seen these bytes, so it is never taken.
        if let Some(rest) = self.rest.get(count..) {
            self.rest = rest;
        }
    }

    /// Eight bytes at the cursor, little-endian; zeros behind the end.
    #[inline(always)]
    #[must_use]
    pub fn word(&self) -> u64 {
        word(self.rest)
    }

    /// Eight bytes at the cursor + `offset`.
    #[inline(always)]
    #[must_use]
    pub fn word_at(&self, offset: usize) -> u64 {
        match self.rest.get(offset..) {
            Some(rest) => word(rest),
            None => 0,
        }
    }

    /// Take `byte` when it is next.
    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Require `byte`.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.take(byte) { Ok(()) } else { Err(Broken::Syntax) }
    }

    /// Skip JSON white space.
    #[inline(always)]
    pub fn space(&mut self) {
        if self.peek() <= b' ' {
            self.rest = behind_space(self.rest);
        }
    }

    /// The byte under the cursor once white space is skipped.
    #[inline(always)]
    pub fn peek_token(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' {
            return byte;
        }
        self.rest = behind_space(self.rest);
        self.peek()
    }

    /// Only white space may follow.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(Broken::Syntax) }
    }

    /// A string whose opening quote is under the cursor.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Text<'a>, Broken> {
        let short = |raw, seen| Text { raw, shrinks: 0, ascii: seen & HIGHS == 0, nul: false };
        self.quoted(short, |start| Scanner::new(start).long_string())
    }

    /// The content of a string that has been accepted before, its opening quote under the cursor.
    #[inline(always)]
    pub fn content(&mut self) -> Result<Cow<'a, [u8]>, Broken> {
        self.quoted(|raw, _| Cow::Borrowed(raw), |start| Ok(content(start)))
    }

    /// A string: short ones without escapes are read in place, with all their bits or-ed together; any other by `long`,
    /// from behind its opening quote.
    #[inline(always)]
    fn quoted<T>(
        &mut self,
        short: impl FnOnce(&'a [u8], u64) -> T,
        long: impl FnOnce(&'a [u8]) -> Result<(T, &'a [u8]), Broken>,
    ) -> Result<T, Broken> {
        let [b'"', start @ ..] = self.rest else { return Err(Broken::Syntax) };
        let mut seen = 0_u64;
        let mut length = 0_usize;
        let mut ahead = start;
        for _ in 0..5 {
            let (word, after) = match ahead.split_first_chunk::<8>() {
                Some((chunk, after)) => (u64::from_le_bytes(*chunk), after),
                None => (short_word(ahead), ahead), // ends in zeros, which stop
            };
            let stops = string_stops(word);
            if stops == 0 {
                seen |= word;
                length = length.wrapping_add(8);
                ahead = after;
                continue;
            }
            // The lowest stop bit is bit 7 of its byte: everything below that byte belongs to the string.
            let below = stops.trailing_zeros() & 0x38;
            seen |= word & (1_u64.wrapping_shl(below)).wrapping_sub(1);
            length = length.wrapping_add(usize::try_from(below >> 3).unwrap_or(0));
            if let Some((raw, [b'"', rest @ ..])) = start.split_at_checked(length) {
                self.rest = rest;
                return Ok(short(raw, seen));
            }
            break;
        }
        let (text, rest) = long(start)?;
        self.rest = rest;
        Ok(text)
    }

    /// A string that is long, escaped, at the end of the text, or broken; its opening quote is behind the cursor.
    #[inline(never)]
    fn long_string(mut self) -> Result<(Text<'a>, &'a [u8]), Broken> {
        let start = self.rest;
        let mut shrinks = 0_usize;
        let mut nul = false;
        loop {
            let run = memchr::memchr2(b'"', b'\\', self.rest).ok_or(Broken::Syntax)?;
            self.advance(run);
            if self.peek() == b'"' {
                break;
            }
            shrinks = shrinks.wrapping_add(self.short_escapes());
            if self.peek() == b'\\' {
                let before = self.rest.len();
                nul |= self.escape()?;
                shrinks = shrinks.wrapping_add(before.wrapping_sub(self.rest.len())).wrapping_sub(1);
            }
        }
        let raw = self.since(start);
        self.advance(1);
        // Two loops without a branch: the compiler makes vectors of them.
        if raw.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ' {
            return Err(Broken::Syntax);
        }
        let ascii = raw.iter().fold(0, |seen, byte| seen | byte) < 0x80;
        Ok((Text { raw, shrinks, ascii, nul }, self.rest))
    }

    /// Escapes of two bytes that follow one another; how many there were.
    #[inline(always)]
    fn short_escapes(&mut self) -> usize {
        let mut count = 0_usize;
        while let [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] = self.rest {
            self.rest = rest;
            count = count.wrapping_add(1);
        }
        count
    }

    /// One escape, its backslash under the cursor; a surrogate must come as a pair. Whether it is U+0000.
    #[inline(always)]
    fn escape(&mut self) -> Result<bool, Broken> {
        self.advance(1);
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.advance(1);
                Ok(false)
            }
            b'u' => {
                let unit = self.hex_escape()?;
                if (0xdc00..0xe000).contains(&unit) {
                    return Err(Broken::Syntax);
                }
                if (0xd800..0xdc00).contains(&unit) {
                    self.expect(b'\\')?;
                    if !(0xdc00..0xe000).contains(&self.hex_escape()?) {
                        return Err(Broken::Syntax);
                    }
                }
                Ok(unit == 0)
            }
            _ => Err(Broken::Syntax),
        }
    }

    fn hex_escape(&mut self) -> Result<u32, Broken> {
        self.expect(b'u')?;
        let unit = hex4(self.rest).ok_or(Broken::Syntax)?;
        self.advance(4);
        Ok(unit)
    }

    /// The literal `true`, `false` or `null`.
    pub fn literal(&mut self, literal: &str) -> Result<(), Broken> {
        self.rest = self.rest.strip_prefix(literal.as_bytes()).ok_or(Broken::Syntax)?;
        Ok(())
    }

    /// A value that is no container.
    #[inline(always)]
    pub(crate) fn scalar(&mut self) -> Result<(), Broken> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.any_form(),
        }
    }

    /// A member name and its colon.
    #[inline(always)]
    pub fn name(&mut self) -> Result<Text<'a>, Broken> {
        self.space();
        let name = self.string()?;
        self.colon()?;
        Ok(name)
    }

    /// A colon and the white space around it.
    #[inline(always)]
    pub fn colon(&mut self) -> Result<(), Broken> {
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(())
    }

    /// Skip one value of any kind, iteratively, inside `depth` open containers.
    pub fn skip(&mut self, depth: u32) -> Result<(), Broken> {
        let mut scanner = *self;
        let mut objects = 0_u64; // one bit per open container: is it an object?
        let mut level = 0_u32;
        loop {
            while let [b'[', rest @ ..] = scanner.rest
                && rest.first() == Some(&b'[')
            {
                scanner.rest = rest;
                objects <<= 1;
                level = level.wrapping_add(1);
                if depth.wrapping_add(level) > MAX_DEPTH {
                    return Err(Broken::TooDeep);
                }
            }
            let byte = scanner.peek_token();
            // '{' and '[', '}' and ']' differ in one bit.
            if byte | 0x20 == b'{' {
                scanner.advance(1);
                if depth.wrapping_add(level) >= MAX_DEPTH {
                    return Err(Broken::TooDeep);
                }
                if scanner.peek_token() != byte.wrapping_add(2) {
                    let object = byte == b'{';
                    objects = (objects << 1) | u64::from(object);
                    level = level.wrapping_add(1);
                    if object {
                        scanner.name()?;
                    }
                    continue;
                }
                scanner.advance(1);
            } else {
                scanner.scalar()?;
            }
            if scanner.close(&mut objects, &mut level)? {
                *self = scanner;
                return Ok(());
            }
        }
    }

    /// Behind a value: close containers until one goes on with a comma (and, in an object, a name). Whether all are closed.
    #[inline(always)]
    fn close(&mut self, objects: &mut u64, level: &mut u32) -> Result<bool, Broken> {
        while *level > 0 {
            // ']' and '}' differ in the bit 0x20.
            let close = b']' | if *objects & 1 == 1 { 0x20 } else { 0 };
            match self.rest {
                [byte, rest @ ..] if *byte == close => {
                    self.rest = rest;
                    *objects >>= 1;
                    *level = level.wrapping_sub(1);
                }
                [b',', rest @ ..] => {
                    self.rest = rest;
                    if *objects & 1 == 1 {
                        self.name()?;
                    }
                    return Ok(false);
                }
                [b' ' | b'\n' | b'\r' | b'\t', ..] => self.space(),
                _ => return Err(Broken::Syntax),
            }
        }
        Ok(true)
    }

    /// Skip to behind the end of the object (or array) that is open, after one of its values.
    pub fn skip_rest(&mut self, object: bool, depth: u32) -> Result<(), Broken> {
        loop {
            self.space();
            if self.take(if object { b'}' } else { b']' }) {
                return Ok(());
            }
            self.expect(b',')?;
            if object {
                self.name()?;
            }
            self.skip(depth)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_with_escapes_is_unescaped_and_counted() {
        let text = Scanner::new(r#""a\u0041\ud83d\ude00\n\/\"\\é end of a longer string to cross blocks""#.as_bytes())
            .string();
        let text = text.map(|text| (text.to_text().into_owned(), text.characters(), text.ascii));
        let right = "aA\u{1f600}\n/\"\\é end of a longer string to cross blocks".to_owned();
        assert_eq!(text, Ok((right.clone(), right.chars().count(), false)));
    }

    #[test]
    fn string_stops_at_every_offset_of_a_block() {
        for length in 0..80 {
            let text = format!("\"{}\" ", "x".repeat(length));
            assert_eq!(Scanner::new(text.as_bytes()).string().map(|text| text.raw.len()), Ok(length));
            let broken = format!("\"{}\u{1f}\" ", "é".repeat(length));
            assert_eq!(Scanner::new(broken.as_bytes()).string().map(|text| text.raw.len()), Err(Broken::Syntax));
        }
    }
}
