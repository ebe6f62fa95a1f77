//! A strict, iterative, bounded JSON scanner (RFC 8259) over text that is already known to be UTF-8.
//!
//! It never recurses, never allocates on the good path and reads every byte once. Strings stay borrowed and escaped until
//! somebody asks; numbers stay exact. `docs/design/0006` records why it is ours.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashSet;

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
    /// Whether there are escapes in it.
    pub escaped: bool,
    /// Whether every raw byte is ASCII.
    pub ascii: bool,
}

impl<'a> Text<'a> {
    /// Number of characters after unescaping.
    #[inline]
    #[must_use]
    pub fn characters(&self) -> usize {
        if self.escaped {
            self.unescaped().chars().count()
        } else if self.ascii {
            self.raw.len()
        } else {
            self.raw.chars().count()
        }
    }

    /// The text itself.
    #[inline]
    #[must_use]
    pub fn unescaped(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Whether the text is `other`.
    #[inline]
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        if self.escaped { self.unescaped() == other } else { self.raw == other }
    }

    /// Whether U+0000 is in it; a raw one is a syntax error, so only an escape can bring it.
    #[inline]
    #[must_use]
    pub fn has_nul(&self) -> bool {
        self.escaped && self.raw.contains("\\u0000") && self.unescaped().contains('\0')
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

/// A number, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number<'a> {
    /// Digits only, within 18 of them.
    Integer(i64),
    /// Digits, a point and one digit, as tenths.
    Tenths(i64),
    /// Any other legal number, as it stands.
    Other(&'a str),
}

/// What a number is worth where an integer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integral {
    /// An integer of 64 bits.
    Value(i64),
    /// Not an integer.
    Fraction,
    /// An integer of more than 64 bits.
    TooBig,
}

impl Number<'_> {
    /// Whether it is written as an integer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Integer(_) => true,
            Self::Tenths(_) => false,
            Self::Other(raw) => !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')),
        }
    }

    /// The number as an integer; `6e1` is 60 and `1.0` is 1.
    #[must_use]
    pub fn integral(&self) -> Integral {
        match *self {
            Self::Integer(value) => Integral::Value(value),
            Self::Tenths(tenths) if tenths.wrapping_rem(10) == 0 => Integral::Value(tenths.wrapping_div(10)),
            Self::Tenths(_) => Integral::Fraction,
            Self::Other(raw) => {
                let decimal = Decimal::of(raw);
                if decimal.scale < 0 {
                    return Integral::Fraction;
                }
                decimal.scaled(decimal.scale).map_or(Integral::TooBig, Integral::Value)
            }
        }
    }

    /// The number in tenths, rounded towards zero, and whether that is exact; `None` beyond 64 bits.
    #[must_use]
    pub fn tenths(&self) -> Option<(i64, bool)> {
        match *self {
            Self::Integer(value) => Some((value.checked_mul(10)?, true)),
            Self::Tenths(tenths) => Some((tenths, true)),
            Self::Other(raw) => {
                let decimal = Decimal::of(raw);
                Some((decimal.scaled(decimal.scale.saturating_add(1))?, decimal.scale >= -1))
            }
        }
    }
}

/// A number taken apart: `digits` x 10^`scale`, without zeros at either end of the digits.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    scale: i64,
}

impl<'a> Decimal<'a> {
    /// Take a legal JSON number apart in one pass; the exponent saturates.
    fn of(raw: &'a str) -> Self {
        let (negative, raw) = raw.strip_prefix('-').map_or((false, raw), |rest| (true, rest));
        let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent_digits = exponent.trim_start_matches(['+', '-']);
        let size = exponent_digits
            .bytes()
            .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0'))));
        let exponent = if exponent.starts_with('-') { size.saturating_neg() } else { size };
        let mut fraction = fraction.trim_end_matches('0');
        let mut whole = whole.trim_start_matches('0');
        let mut scale = exponent.saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX));
        if fraction.is_empty() {
            let kept = whole.trim_end_matches('0');
            let zeros = whole.len().wrapping_sub(kept.len());
            scale = scale.saturating_add(i64::try_from(zeros).unwrap_or(i64::MAX));
            whole = kept;
        } else if whole.is_empty() {
            fraction = fraction.trim_start_matches('0');
        }
        if whole.is_empty() && fraction.is_empty() {
            scale = 0;
        }
        Self { negative, whole: whole.as_bytes(), fraction: fraction.as_bytes(), scale }
    }

    /// digits x 10^`scale` for another scale, digits beyond the point dropped; `None` beyond 64 bits.
    fn scaled(&self, scale: i64) -> Option<i64> {
        let digits = self.whole.len().wrapping_add(self.fraction.len());
        let kept = i64::try_from(digits).ok()?.saturating_add(scale.min(0));
        if digits == 0 || kept <= 0 {
            return Some(0);
        }
        if kept.saturating_add(scale.max(0)) > 19 {
            return None;
        }
        let mut value = 0_i64;
        for digit in self.whole.iter().chain(self.fraction).take(usize::try_from(kept).ok()?) {
            value = value.checked_mul(10)?.checked_add(i64::from(digit.wrapping_sub(b'0')))?;
        }
        for _ in 0..scale.max(0) {
            value = value.checked_mul(10)?;
        }
        Some(if self.negative { value.wrapping_neg() } else { value })
    }
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

/// A cursor over one text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// A cursor at the start of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// Byte offset of the cursor.
    #[inline(always)]
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to the cursor.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The byte under the cursor; 0, which no JSON text holds outside of nothing, at the end.
    #[inline(always)]
    #[must_use]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Move on by `count` bytes.
    #[inline(always)]
    pub const fn advance(&mut self, count: usize) {
        self.at = self.at.wrapping_add(count);
    }

    /// Eight bytes at the cursor, little-endian; fewer are left only near the end.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, offset: usize) -> Option<u64> {
        let start = self.at.wrapping_add(offset);
        self.bytes.get(start..)?.first_chunk::<8>().map(|chunk| u64::from_le_bytes(*chunk))
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
            self.long_space();
        }
    }

    #[inline(never)]
    fn long_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.advance(1);
        }
    }

    /// Only white space may follow.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Broken::Syntax) }
    }

    /// A string whose opening quote is under the cursor.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        let mut seen = 0_u64;
        loop {
            while let Some(word) = self.word(0) {
                let stops = string_stops(word);
                if stops == 0 {
                    seen |= word;
                    self.advance(8);
                    seen |= self.long_run();
                    continue;
                }
                // The lowest stop bit is bit 7 of its byte: everything below that byte belongs to the string.
                let below = stops.trailing_zeros().wrapping_sub(7);
                seen |= word & (1_u64.wrapping_shl(below)).wrapping_sub(1);
                self.advance(usize::try_from(below >> 3).unwrap_or(0));
                break;
            }
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..b' ' => return Err(Broken::Syntax),
                byte => {
                    seen |= u64::from(byte);
                    self.advance(1);
                }
            }
        }
        let raw = self.text.get(start..self.at).ok_or(Broken::Syntax)?;
        self.advance(1);
        Ok(Text { raw, escaped, ascii: seen & HIGHS == 0 })
    }

    /// Blocks of 32 bytes without a stop: long texts such as certificates. Returns 0x80 when one of them is not ASCII.
    #[inline(always)]
    fn long_run(&mut self) -> u64 {
        let mut seen = 0_u8;
        while let Some(block) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<32>) {
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

    /// One escape, its backslash under the cursor; a surrogate must come as a pair.
    fn escape(&mut self) -> Result<(), Broken> {
        self.advance(1);
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.advance(1),
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
            }
            _ => return Err(Broken::Syntax),
        }
        Ok(())
    }

    fn hex_escape(&mut self) -> Result<u32, Broken> {
        self.expect(b'u')?;
        let unit = self.bytes.get(self.at..).and_then(hex4).ok_or(Broken::Syntax)?;
        self.advance(4);
        Ok(unit)
    }

    /// A number, its first character under the cursor.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Broken> {
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.at;
        let mut value = self.digits(0)?;
        let count = self.at.wrapping_sub(first);
        if count > 1 && self.bytes.get(first) == Some(&b'0') {
            return Err(Broken::Syntax);
        }
        let next = self.peek();
        if next != b'.' && next | 0x20 != b'e' && count <= 18 {
            return Ok(Number::Integer(if negative { value.wrapping_neg() } else { value }));
        }
        let mut exact = count <= 17;
        if self.take(b'.') {
            let point = self.at;
            value = self.digits(value)?;
            exact &= self.at.wrapping_sub(point) == 1;
        } else {
            exact = false;
        }
        if self.peek() | 0x20 == b'e' {
            exact = false;
            self.advance(1);
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits(0)?;
        }
        if exact {
            return Ok(Number::Tenths(if negative { value.wrapping_neg() } else { value }));
        }
        Ok(Number::Other(self.since(start)))
    }

    /// One digit or more, appended to `value` (which wraps when there are too many of them).
    #[inline(always)]
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
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            self.advance(literal.len());
            return Ok(());
        }
        Err(Broken::Syntax)
    }

    /// A value that is no container.
    fn scalar(&mut self) -> Result<(), Broken> {
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

/// The names of one open object; few are compared, many are hashed, so that the whole stays linear.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Whether the name is new.
    fn add(&mut self, name: Cow<'a, str>) -> bool {
        const FEW: usize = 12;
        if self.many.is_empty() {
            if self.few.contains(&name) {
                return false;
            }
            self.few.push(name);
            if self.few.len() > FEW {
                self.many = self.few.drain(..).collect();
            }
            return true;
        }
        self.many.insert(name)
    }
}

/// Whether `bytes` is one strict JSON text for the socket: depth 32, no duplicate members, integers of 64 bits, finite
/// numbers (rpc.md, "Rules"). Returns what is wrong and the byte at which it shows.
pub fn check(bytes: &[u8]) -> Result<(), (&'static str, usize)> {
    let text = std::str::from_utf8(bytes).map_err(|error| ("not valid UTF-8", error.valid_up_to()))?;
    let mut scanner = Scanner::new(text);
    check_value(&mut scanner).map_err(|wrong| (wrong, scanner.at()))
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
    let fits =
        if number.is_plain() { raw.parse::<i64>().is_ok() } else { raw.parse::<f64>().is_ok_and(f64::is_finite) };
    if fits { Ok(()) } else { Err("a number does not fit 64 bits") }
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

    fn number(text: &str) -> Number<'_> {
        Scanner::new(text).number().unwrap_or(Number::Other("broken"))
    }

    #[test]
    fn number_is_read_exactly() {
        // req: J-279
        assert_eq!(number("6e1").integral(), Integral::Value(60));
        assert_eq!(number("-0").integral(), Integral::Value(0));
        assert_eq!(number("300.0").integral(), Integral::Value(300));
        assert_eq!(number("1.5").integral(), Integral::Fraction);
        assert_eq!(number("1e999999").integral(), Integral::TooBig);
        assert_eq!(number("0e999999").integral(), Integral::Value(0));
        assert_eq!(number("9007199254740993").integral(), Integral::Value(9_007_199_254_740_993));
        assert_eq!(number("9223372036854775807").integral(), Integral::Value(i64::MAX));
        assert_eq!(number("9223372036854775808").integral(), Integral::TooBig);
        assert_eq!(number("8.1").tenths(), Some((81, true)));
        assert_eq!(number("8.15").tenths(), Some((81, false)));
        assert_eq!(number("1e-400").tenths(), Some((0, false)));
        assert_eq!(number("0.05e1").tenths(), Some((5, true)));
        assert_eq!(number("123.4500e1").tenths(), Some((12345, true)));
        assert_eq!(number("1e400").tenths(), None);
        assert_eq!(number("-2.5").tenths(), Some((-25, true)));
    }

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
