//! Texts of a JSON document: still escaped until somebody asks, and written back.
#![forbid(unsafe_code)]

use crate::json::{HIGHS, ONES};
use std::borrow::Cow;

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
    // Eight bytes are copied at a time, of which those before the next escape count; hence the room behind.
    let mut text = vec![0_u8; raw.len().wrapping_add(8)];
    let mut end = 0_usize;
    let mut rest = raw;
    while let Some(chunk) = rest.first_chunk::<8>() {
        let run = backslash(u64::from_le_bytes(*chunk));
        if let Some(place) = text.get_mut(end..).and_then(<[u8]>::first_chunk_mut::<8>) {
            *place = *chunk;
        }
        end = end.wrapping_add(run);
        rest = rest.get(run..).unwrap_or_default();
        if run == 8 {
            let long = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            copy(&mut text, &mut end, rest.get(..long).unwrap_or_default());
            rest = rest.get(long..).unwrap_or_default();
        }
        if rest.first() == Some(&b'\\') {
            rest = undo(&mut text, &mut end, rest);
        }
    }
    while let [byte, after @ ..] = rest {
        rest = if *byte == b'\\' {
            undo(&mut text, &mut end, rest)
        } else {
            copy(&mut text, &mut end, &[*byte]);
            after
        };
    }
    text.truncate(end);
    text
}

/// How many bytes of a word come before its first backslash.
#[inline(always)]
fn backslash(word: u64) -> usize {
    let found = word ^ ONES.wrapping_mul(0x5c);
    let found = found.wrapping_sub(ONES) & !found & HIGHS;
    usize::try_from(found.trailing_zeros() >> 3).unwrap_or(8)
}

#[inline(always)]
fn copy(text: &mut [u8], end: &mut usize, bytes: &[u8]) {
    let after = end.wrapping_add(bytes.len());
    if let Some(place) = text.get_mut(*end..after) {
        place.copy_from_slice(bytes);
        *end = after;
    }
}

/// Undo one escape, at the start of `rest`; what follows it.
#[inline(always)]
fn undo<'a>(text: &mut [u8], end: &mut usize, rest: &'a [u8]) -> &'a [u8] {
    let kind = rest.get(1).copied().unwrap_or_default();
    let mut length = 2;
    match kind {
        b'b' => copy(text, end, &[8]),
        b'f' => copy(text, end, &[12]),
        b'n' => copy(text, end, b"\n"),
        b'r' => copy(text, end, b"\r"),
        b't' => copy(text, end, b"\t"),
        b'u' => {
            let unit = |at: usize| rest.get(at..).and_then(hex4).unwrap_or_default();
            let mut code = unit(2);
            length = 6;
            if (0xd800..0xdc00).contains(&code) {
                code = 0x10000_u32.wrapping_add((code & 0x3ff) << 10).wrapping_add(unit(8) & 0x3ff);
                length = 12;
            }
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            copy(text, end, character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        same => copy(text, end, &[same]),
    }
    rest.get(length..).unwrap_or_default()
}

/// Four hexadecimal digits at the start of `bytes`.
pub(crate) fn hex4(bytes: &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for byte in bytes.first_chunk::<4>()? {
        value = (value << 4) | char::from(*byte).to_digit(16)?;
    }
    Some(value)
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
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
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

/// Where something stands in the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
}

impl Span {
    /// The bytes of the span.
    #[must_use]
    pub fn of_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.start..self.end).unwrap_or_default()
    }

    /// The text of the span.
    #[must_use]
    pub fn of<'a>(&self, frame: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.of_bytes(frame)).unwrap_or_default()
    }
}
