//! Texts of a JSON document: still escaped until somebody asks, and written back.
#![forbid(unsafe_code)]

use crate::json::string_stops;
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
        if self.shrinks == 0 { Cow::Borrowed(self.raw) } else { Cow::Owned(unescape(self.raw, 0).0) }
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

/// The text behind an opening quote, up to its closing quote, in a string that the scanner has accepted; and what follows.
#[must_use]
pub fn content(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let stop = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
    match text.split_at_checked(stop) {
        Some((plain, [b'"', rest @ ..])) => (Cow::Borrowed(plain), rest),
        _ => {
            let (content, rest) = unescape(text, stop);
            (Cow::Owned(content), rest.get(1..).unwrap_or_default())
        }
    }
}

/// Undo the escapes of a string that the scanner has accepted, up to its closing quote or the end; and what follows. The
/// first `plain` bytes hold no escape.
fn unescape(text: &[u8], plain: usize) -> (Vec<u8>, &[u8]) {
    let (first, mut rest) = text.split_at_checked(plain).unwrap_or_default();
    // Room for most texts without growing; a longer one grows by doubling.
    let mut content = Vec::with_capacity(plain.wrapping_add(256));
    content.extend_from_slice(first);
    loop {
        rest = match rest {
            [b'"', ..] | [] => return (content, rest),
            [b'\\', ..] => undo(&mut content, rest),
            _ => copy(&mut content, rest),
        };
    }
}

/// Copy up to the next quote or backslash: short runs within a word, long ones by search. What follows them.
#[inline(always)]
fn copy<'a>(content: &mut Vec<u8>, rest: &'a [u8]) -> &'a [u8] {
    let mut run = 0;
    if let Some(chunk) = rest.first_chunk::<8>() {
        let stops = string_stops(u64::from_le_bytes(*chunk));
        if stops != 0 {
            // All eight bytes are copied, of which those before the stop count.
            run = usize::try_from(stops.trailing_zeros() >> 3).unwrap_or(0);
            let end = content.len().wrapping_add(run);
            content.extend_from_slice(chunk);
            content.truncate(end);
            return rest.get(run..).unwrap_or_default();
        }
        run = 8;
    }
    let more = rest.get(run..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest));
    let (plain, rest) =
        rest.split_at_checked(more.map_or(rest.len(), |more| more.wrapping_add(run))).unwrap_or_default();
    content.extend_from_slice(plain);
    rest
}

/// Undo one escape, at the start of `rest`; what follows it.
#[inline(always)]
fn undo<'a>(content: &mut Vec<u8>, rest: &'a [u8]) -> &'a [u8] {
    let kind = rest.get(1).copied().unwrap_or_default();
    let mut length = 2;
    match kind {
        b'b' => content.push(8),
        b'f' => content.push(12),
        b'n' => content.push(b'\n'),
        b'r' => content.push(b'\r'),
        b't' => content.push(b'\t'),
        b'u' => {
            let unit = |at: usize| rest.get(at..).and_then(hex4).unwrap_or_default();
            let mut code = unit(2);
            length = 6;
            if (0xd800..0xdc00).contains(&code) {
                code = 0x10000_u32.wrapping_add((code & 0x3ff) << 10).wrapping_add(unit(8) & 0x3ff);
                length = 12;
            }
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        same => content.push(same),
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

/// What stands between the quotes for `text`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut quoted = Vec::new();
    write_string(&mut quoted, text);
    Cow::Owned(String::from_utf8(quoted).unwrap_or_default().trim_matches('"').to_owned())
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
