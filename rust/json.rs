//! A strict, iterative, bounded JSON scanner (RFC 8259) over bytes that are already known to be UTF-8.
//!
//! It never recurses, never allocates on the good path and reads every byte once. Strings stay borrowed and escaped until
//! somebody asks; numbers stay exact. `docs/design/0006` records why it is ours.
#![forbid(unsafe_code)]

use crate::number::Number;
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

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The bytes between the quotes, escapes untouched.
    pub raw: &'a [u8],
    /// How many characters shorter it is without its escapes; 0 where there are none.
    pub shrinks: usize,
    /// Whether every raw byte is ASCII.
    pub ascii: bool,
    /// Whether U+0000 is in it; a raw one is a syntax error, so only an escape can bring it.
    pub nul: bool,
}

impl<'a> Text<'a> {
    /// A text that has no escapes to undo.
    #[must_use]
    pub const fn plain(raw: &'a [u8]) -> Self {
        Self { raw, shrinks: 0, ascii: false, nul: false }
    }

    /// Number of characters after unescaping.
    #[inline(always)]
    #[must_use]
    pub fn characters(&self) -> usize {
        let raw = if self.ascii { self.raw.len() } else { characters(self.raw) };
        raw.wrapping_sub(self.shrinks)
    }

    /// The text itself, in bytes.
    #[inline(always)]
    #[must_use]
    pub fn unescaped(&self) -> Cow<'a, [u8]> {
        if self.shrinks == 0 { Cow::Borrowed(self.raw) } else { Cow::Owned(unescape(self.raw)) }
    }

    /// The text itself.
    #[must_use]
    pub fn to_text(&self) -> Cow<'a, str> {
        match self.unescaped() {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// Whether the text is `other`.
    #[inline(always)]
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.shrinks == 0 { self.raw == other.as_bytes() } else { *self.unescaped() == *other.as_bytes() }
    }
}

/// Characters in UTF-8: every byte but the continuing ones.
#[cold]
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Undo the escapes of a string that the scanner has accepted.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        let (plain, escape) = rest.split_at_checked(run).unwrap_or_default();
        text.extend_from_slice(plain);
        let Some(kind) = escape.get(1).copied() else { return text };
        let mut length = 2;
        match kind {
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let unit = |at: usize| escape.get(at..).and_then(hex4).unwrap_or_default();
                let mut code = unit(2);
                length = 6;
                if (0xd800..0xdc00).contains(&code) {
                    code = 0x10000_u32.wrapping_add((code & 0x3ff) << 10).wrapping_add(unit(8) & 0x3ff);
                    length = 12;
                }
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            same => text.push(same),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
}

/// Four hexadecimal digits at the start of `bytes`.
fn hex4(bytes: &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for byte in bytes.first_chunk::<4>()? {
        value = (value << 4) | char::from(*byte).to_digit(16)?;
    }
    Some(value)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The high bit of the first byte of `word` that is a quote, a backslash or a control character is the lowest bit set.
#[inline(always)]
const fn string_stops(word: u64) -> u64 {
    let quote = word ^ (ONES.wrapping_mul(0x22));
    let backslash = word ^ (ONES.wrapping_mul(0x5c));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    (quote | backslash | control) & HIGHS
}

/// The value of up to eight ASCII digits at the start of a little-endian word, and how many they are.
#[inline(always)]
fn leading_digits(word: u64) -> (u64, u32) {
    let digits = word ^ ONES.wrapping_mul(0x30);
    let others = (digits.wrapping_add(ONES.wrapping_mul(0x76)) | digits) & HIGHS;
    let count = if others == 0 { 8 } else { others.trailing_zeros() >> 3 };
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the high bytes, so that zeros lead; then pairs, fours and eights are joined.
    let digits = digits.wrapping_shl(64_u32.wrapping_sub(count.wrapping_mul(8)));
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, count)
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
    rest: &'a [u8],
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

    /// A string whose opening quote is under the cursor. Short ones without escapes are read in place.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.expect(b'"')?;
        let start = self.rest;
        let mut seen = 0_u64;
        for _ in 0..5 {
            let word = self.word();
            let stops = string_stops(word);
            if stops == 0 {
                seen |= word;
                self.advance(8);
                continue;
            }
            // The lowest stop bit is bit 7 of its byte: everything below that byte belongs to the string.
            let below = stops.trailing_zeros() & 0x38;
            seen |= word & (1_u64.wrapping_shl(below)).wrapping_sub(1);
            self.advance(usize::try_from(below >> 3).unwrap_or(0));
            if word.wrapping_shr(below) & 0xff == u64::from(b'"') {
                let raw = self.since(start);
                self.advance(1);
                return Ok(Text { raw, shrinks: 0, ascii: seen & HIGHS == 0, nul: false });
            }
            break;
        }
        let (text, rest) = self.long_string(start)?;
        self.rest = rest;
        Ok(text)
    }

    /// The rest of a string that is long, escaped, or broken.
    #[inline(never)]
    fn long_string(mut self, start: &'a [u8]) -> Result<(Text<'a>, &'a [u8]), Broken> {
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

    /// A number, its first character under the cursor. Short integers and tenths are read in place.
    #[inline(always)]
    pub fn number(&mut self) -> Result<Number<'a>, Broken> {
        let word = self.word();
        let (value, count) = leading_digits(word);
        // No leading zero, and the word shows what follows the digits, and the digit after a point and what follows.
        if matches!(count, 1..=5) && (count == 1 || word & 0xff != u64::from(b'0')) {
            let value = i64::try_from(value).unwrap_or(0);
            let length = usize::try_from(count).unwrap_or(0);
            let [after, digit, end, ..] = word.wrapping_shr(count.wrapping_mul(8)).to_le_bytes();
            if after != b'.' && after | 0x20 != b'e' {
                self.advance(length);
                return Ok(Number::Integer(value));
            }
            if after == b'.' && digit.is_ascii_digit() && !end.is_ascii_digit() && end | 0x20 != b'e' {
                self.advance(length.wrapping_add(2));
                let tenths = value.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')));
                return Ok(Number::Tenths(tenths));
            }
        }
        let (number, rest) = self.any_number()?;
        self.rest = rest;
        Ok(number)
    }

    /// A number of any form.
    #[inline(never)]
    fn any_number(mut self) -> Result<(Number<'a>, &'a [u8]), Broken> {
        let start = self.rest;
        let negative = self.take(b'-');
        let first = self.rest;
        let mut value = self.digits(0)?;
        let count = self.since(first).len();
        if count > 1 && first.first() == Some(&b'0') {
            return Err(Broken::Syntax);
        }
        let signed = |value: i64| if negative { value.wrapping_neg() } else { value };
        let next = self.peek();
        if next != b'.' && next | 0x20 != b'e' && count <= 18 {
            return Ok((Number::Integer(signed(value)), self.rest));
        }
        let mut exact = false;
        if self.take(b'.') {
            let point = self.rest;
            value = self.digits(value)?;
            exact = count <= 17 && self.since(point).len() == 1;
        }
        if self.peek() | 0x20 == b'e' {
            exact = false;
            self.advance(1);
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits(0)?;
        }
        let number = if exact { Number::Tenths(signed(value)) } else { Number::Other(self.since(start)) };
        Ok((number, self.rest))
    }

    /// One digit or more, appended to `value` (which wraps when there are too many of them).
    fn digits(&mut self, mut value: i64) -> Result<i64, Broken> {
        let start = self.rest.len();
        loop {
            let (chunk, count) = leading_digits(self.word());
            let scale = 10_i64.wrapping_pow(count);
            value = value.wrapping_mul(scale).wrapping_add(i64::try_from(chunk).unwrap_or(0));
            self.advance(usize::try_from(count).unwrap_or(0));
            if count < 8 {
                break;
            }
        }
        if self.rest.len() == start { Err(Broken::Syntax) } else { Ok(value) }
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

    /// A number whose value nobody asks for.
    #[inline(always)]
    fn any_form(&mut self) -> Result<(), Broken> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digit_run()?;
        }
        if self.take(b'.') {
            self.digit_run()?;
        }
        if self.peek() | 0x20 == b'e' {
            self.advance(1);
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digit_run()?;
        }
        Ok(())
    }

    /// One digit or more.
    #[inline(always)]
    fn digit_run(&mut self) -> Result<(), Broken> {
        let [b'0'..=b'9', rest @ ..] = self.rest else { return Err(Broken::Syntax) };
        self.rest = rest;
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        Ok(())
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
            loop {
                if level == 0 {
                    *self = scanner;
                    return Ok(());
                }
                let byte = scanner.peek_token();
                let object = objects & 1 == 1;
                if byte == b',' {
                    scanner.advance(1);
                    if object {
                        scanner.name()?;
                    }
                    break;
                }
                if byte != if object { b'}' } else { b']' } {
                    return Err(Broken::Syntax);
                }
                scanner.advance(1);
                objects >>= 1;
                level = level.wrapping_sub(1);
            }
        }
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

/// Whether `text` stands in a JSON string as it is.
#[inline(always)]
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let odd = |byte: &u8| u8::from(*byte < b' ' || *byte == b'"' || *byte == b'\\');
    text.as_bytes().iter().fold(0, |any, byte| any | odd(byte)) == 0
}

/// Append `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' | '\u{0}'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
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
