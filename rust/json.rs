//! A strict, iterative, bounded JSON scanner (RFC 8259) over text that is already known to be UTF-8.
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
    /// The characters between the quotes, escapes untouched.
    pub raw: &'a str,
    /// How many characters shorter it is without its escapes; 0 where there are none.
    pub shrinks: usize,
    /// Whether every raw byte is ASCII.
    pub ascii: bool,
    /// Whether U+0000 is in it; a raw one is a syntax error, so only an escape can bring it.
    pub nul: bool,
}

impl<'a> Text<'a> {
    /// Number of characters after unescaping.
    #[inline(always)]
    #[must_use]
    pub fn characters(&self) -> usize {
        let raw = if self.ascii { self.raw.len() } else { self.raw.chars().count() };
        raw.wrapping_sub(self.shrinks)
    }

    /// The text itself.
    #[inline(always)]
    #[must_use]
    pub fn unescaped(&self) -> Cow<'a, str> {
        if self.shrinks == 0 { Cow::Borrowed(self.raw) } else { Cow::Owned(unescape(self.raw)) }
    }

    /// Whether the text is `other`.
    #[inline(always)]
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.shrinks == 0 { self.raw == other } else { self.unescaped() == other }
    }
}

/// Undo the escapes of a string that the scanner has accepted.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut characters = escape.chars();
        match characters.next() {
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('u') => {
                let unit = hex4(escape.as_bytes().get(1..).unwrap_or_default()).unwrap_or_default();
                let code = if (0xd800..0xdc00).contains(&unit) {
                    let low = hex4(escape.as_bytes().get(7..).unwrap_or_default()).unwrap_or_default();
                    characters = escape.get(11..).unwrap_or_default().chars();
                    0x10000_u32.wrapping_add((unit & 0x3ff) << 10).wrapping_add(low & 0x3ff)
                } else {
                    characters = escape.get(5..).unwrap_or_default().chars();
                    unit
                };
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(same) => text.push(same),
            None => {}
        }
        rest = characters.as_str();
    }
    text.push_str(rest);
    text
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

/// A cursor over one text. Small, copied freely: the hot paths keep their own in registers.
#[derive(Clone, Copy, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Byte offset of the cursor.
    #[inline(always)]
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Put the cursor at a byte offset.
    #[inline(always)]
    pub const fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// The text from `start` to the cursor.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// The byte under the cursor; 0, which no JSON text holds outside of nothing, at the end.
    #[inline(always)]
    #[must_use]
    pub fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    /// Move on by `count` bytes.
    #[inline(always)]
    pub const fn advance(&mut self, count: usize) {
        self.at = self.at.wrapping_add(count);
    }

    /// Eight bytes at the cursor + `offset`, little-endian; fewer are left only near the end.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, offset: usize) -> Option<u64> {
        let start = self.at.wrapping_add(offset);
        self.text.as_bytes().get(start..)?.first_chunk::<8>().map(|chunk| u64::from_le_bytes(*chunk))
    }

    /// Take `byte` when it is next.
    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        if found {
            self.advance(1);
        }
        found
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
            self.at = self.behind_space();
        }
    }

    #[inline(never)]
    fn behind_space(self) -> usize {
        let mut at = self.at;
        while matches!(self.byte(at), b' ' | b'\n' | b'\r' | b'\t') {
            at = at.wrapping_add(1);
        }
        at
    }

    /// Only white space may follow.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(Broken::Syntax) }
    }

    /// A string whose opening quote is under the cursor. Short ones without escapes are read in place.
    #[inline(always)]
    pub fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.expect(b'"')?;
        let start = self.at;
        let mut seen = 0_u64;
        for _ in 0..3 {
            let Some(word) = self.word(0) else { break };
            let stops = string_stops(word);
            if stops == 0 {
                seen |= word;
                self.advance(8);
                continue;
            }
            // The lowest stop bit is bit 7 of its byte: everything below that byte belongs to the string.
            let below = stops.trailing_zeros().wrapping_sub(7);
            seen |= word & (1_u64.wrapping_shl(below)).wrapping_sub(1);
            self.advance(usize::try_from(below >> 3).unwrap_or(0));
            if word.wrapping_shr(below) & 0xff == u64::from(b'"') {
                let raw = self.text.get(start..self.at).ok_or(Broken::Syntax)?;
                self.advance(1);
                return Ok(Text { raw, shrinks: 0, ascii: seen & HIGHS == 0, nul: false });
            }
            break;
        }
        let (text, at) = self.long_string(start, seen)?;
        self.at = at;
        Ok(text)
    }

    /// The rest of a string that is long, escaped, at the end of the text, or broken.
    #[inline(never)]
    fn long_string(mut self, start: usize, mut seen: u64) -> Result<(Text<'a>, usize), Broken> {
        let mut shrinks = 0_usize;
        let mut nul = false;
        loop {
            seen |= self.long_run();
            while let Some(word) = self.word(0) {
                let stops = string_stops(word);
                if stops == 0 {
                    seen |= word;
                    self.advance(8);
                    continue;
                }
                let below = stops.trailing_zeros().wrapping_sub(7);
                seen |= word & (1_u64.wrapping_shl(below)).wrapping_sub(1);
                self.advance(usize::try_from(below >> 3).unwrap_or(0));
                break;
            }
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    let before = self.at;
                    nul |= self.escape()?;
                    shrinks = shrinks.wrapping_add(self.at.wrapping_sub(before)).wrapping_sub(1);
                }
                0..b' ' => return Err(Broken::Syntax),
                byte => {
                    seen |= u64::from(byte);
                    self.advance(1);
                }
            }
        }
        let raw = self.text.get(start..self.at).ok_or(Broken::Syntax)?;
        Ok((Text { raw, shrinks, ascii: seen & HIGHS == 0, nul }, self.at.wrapping_add(1)))
    }

    /// Blocks of 32 bytes without a stop: long texts such as certificates. Returns 0x80 when one of them is not ASCII.
    #[inline(always)]
    fn long_run(&mut self) -> u64 {
        let mut seen = 0_u8;
        while let Some(block) = self.text.as_bytes().get(self.at..).and_then(<[u8]>::first_chunk::<32>) {
            let stop = block.iter().fold(0_u8, |stop, &byte| {
                stop | u8::from(byte == b'"') | u8::from(byte == b'\\') | u8::from(byte < b' ')
            });
            if stop != 0 {
                break;
            }
            seen |= block.iter().fold(0_u8, |seen, &byte| seen | byte);
            self.advance(32);
        }
        u64::from(seen)
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
        let unit = self.text.as_bytes().get(self.at..).and_then(hex4).ok_or(Broken::Syntax)?;
        self.advance(4);
        Ok(unit)
    }

    /// A number, its first character under the cursor. Short integers and tenths are read in place.
    #[inline(always)]
    pub fn number(&mut self) -> Result<Number<'a>, Broken> {
        if let Some(word) = self.word(0) {
            let (value, count) = leading_digits(word);
            let next = word.wrapping_shr(count.wrapping_mul(8));
            // No leading zero, and the word shows what follows the digits, and the digit after a point and what follows.
            if matches!(count, 1..=5) && (count == 1 || word & 0xff != u64::from(b'0')) {
                let value = i64::try_from(value).unwrap_or(0);
                let [after, digit, end, ..] = next.to_le_bytes();
                if after != b'.' && after | 0x20 != b'e' {
                    self.advance(usize::try_from(count).unwrap_or(0));
                    return Ok(Number::Integer(value));
                }
                if after == b'.' && digit.is_ascii_digit() && !end.is_ascii_digit() && end | 0x20 != b'e' {
                    self.advance(usize::try_from(count).unwrap_or(0).wrapping_add(2));
                    let tenths = value.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')));
                    return Ok(Number::Tenths(tenths));
                }
            }
        }
        let (number, at) = self.any_number()?;
        self.at = at;
        Ok(number)
    }

    /// A number of any form.
    #[inline(never)]
    fn any_number(mut self) -> Result<(Number<'a>, usize), Broken> {
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.at;
        let mut value = self.digits(0)?;
        let count = self.at.wrapping_sub(first);
        if count > 1 && self.byte(first) == b'0' {
            return Err(Broken::Syntax);
        }
        let signed = |value: i64| if negative { value.wrapping_neg() } else { value };
        let next = self.peek();
        if next != b'.' && next | 0x20 != b'e' && count <= 18 {
            return Ok((Number::Integer(signed(value)), self.at));
        }
        let mut exact = false;
        if self.take(b'.') {
            let point = self.at;
            value = self.digits(value)?;
            exact = count <= 17 && self.at.wrapping_sub(point) == 1;
        }
        if self.peek() | 0x20 == b'e' {
            exact = false;
            self.advance(1);
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits(0)?;
        }
        Ok((if exact { Number::Tenths(signed(value)) } else { Number::Other(self.since(start)) }, self.at))
    }

    /// One digit or more, appended to `value` (which wraps when there are too many of them).
    fn digits(&mut self, mut value: i64) -> Result<i64, Broken> {
        let mut digit = self.peek().wrapping_sub(b'0');
        if digit > 9 {
            return Err(Broken::Syntax);
        }
        while digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            self.advance(1);
            digit = self.peek().wrapping_sub(b'0');
        }
        Ok(value)
    }

    /// The literal `true`, `false` or `null`.
    pub fn literal(&mut self, literal: &str) -> Result<(), Broken> {
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            self.advance(literal.len());
            return Ok(());
        }
        Err(Broken::Syntax)
    }

    /// A value that is no container.
    pub(crate) fn scalar(&mut self) -> Result<(), Broken> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// A member name and its colon.
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
        let mut objects = 0_u64; // one bit per open container: is it an object?
        let mut level = 0_u32;
        loop {
            self.space();
            let byte = self.peek();
            if matches!(byte, b'{' | b'[') {
                self.advance(1);
                if depth.saturating_add(level) >= MAX_DEPTH {
                    return Err(Broken::TooDeep);
                }
                self.space();
                let object = byte == b'{';
                if !self.take(if object { b'}' } else { b']' }) {
                    objects = (objects << 1) | u64::from(object);
                    level = level.wrapping_add(1);
                    if object {
                        self.name()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            loop {
                if level == 0 {
                    return Ok(());
                }
                self.space();
                let object = objects & 1 == 1;
                if self.take(b',') {
                    if object {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
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

/// Append `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{0}'..='\u{1f}' => out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes()),
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
        let text = Scanner::new(r#""a\u0041\ud83d\ude00\n\/\"\\é end of a longer string to cross blocks""#).string();
        let text = text.map(|text| (text.unescaped().into_owned(), text.characters(), text.ascii));
        let right = "aA\u{1f600}\n/\"\\é end of a longer string to cross blocks".to_owned();
        assert_eq!(text, Ok((right.clone(), right.chars().count(), false)));
    }

    #[test]
    fn string_stops_at_every_offset_of_a_block() {
        for length in 0..80 {
            let text = format!("\"{}\" ", "x".repeat(length));
            assert_eq!(Scanner::new(&text).string().map(|text| text.raw.len()), Ok(length));
            let broken = format!("\"{}\u{1f}\" ", "é".repeat(length));
            assert_eq!(Scanner::new(&broken).string().map(|text| text.raw.len()), Err(Broken::Syntax));
        }
    }
}
