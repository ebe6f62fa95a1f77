//! Values that are no containers: integers, texts, times, URIs, values of an enumeration.
//!
//! Implements the right-hand columns of chapters 6 and 7 of OCPP 1.6: type first, then length, then value (J-255, J-256).
#![forbid(unsafe_code)]

use crate::action::{Enumeration, Kind, ends};
use crate::build::Build;
use crate::json::Scanner;
use crate::number::{Integral, Number};
use crate::text::Text;
use crate::time;
use crate::validate::{Failure, Mode, rule};
use crate::violation::Reason;

/// A string value.
#[inline(always)]
pub(crate) fn string<'a, B: Build<'a>>(
    mode: Mode,
    kind: &'static Kind,
    text: Text<'a>,
    build: &mut B,
) -> Result<B::Value, Reason> {
    match kind {
        Kind::Choice(enumeration, fallback) => {
            match chosen(enumeration, &text).or(fallback.filter(|_| mode.confirmation)) {
                Some(index) => Ok(build.choice(enumeration, index)),
                None => Err(Reason::NotInEnumeration),
            }
        }
        Kind::Timestamp => {
            if time::is_valid(&text.unescaped(), mode.strict) {
                Ok(build.text(text))
            } else {
                Err(Reason::BadTimestamp)
            }
        }
        Kind::Text { min, max } => {
            let characters = text.characters();
            if characters > usize::try_from(*max).unwrap_or(usize::MAX) {
                return Err(Reason::TooLong(*max));
            }
            if characters < usize::try_from(*min).unwrap_or(0) {
                return Err(Reason::Empty);
            }
            plain(text, build)
        }
        Kind::Uri if !is_uri(&text) => Err(Reason::BadUri),
        _ => plain(text, build),
    }
}

/// An integer; `None` beyond 64 bits.
#[inline(always)]
pub(crate) fn integer<'a>(mode: Mode, scanner: &mut Scanner<'a>) -> Result<Option<i64>, Failure<'a>> {
    let number = scanner.number()?;
    match number {
        Number::Integer(value) => Ok(Some(value)),
        Number::Tenths(_) | Number::Other(_) => odd_integer(mode, number, *scanner),
    }
}

/// A number that is not written as a short integer.
#[cold]
fn odd_integer<'a>(mode: Mode, number: Number<'_>, scanner: Scanner<'a>) -> Result<Option<i64>, Failure<'a>> {
    match number.integral() {
        Integral::Value(value) if number.is_plain() || !mode.strict => Ok(Some(value)),
        Integral::TooBig => Ok(None),
        Integral::Value(_) | Integral::Fraction => Err(rule(Reason::WrongType("an integer"), scanner)),
    }
}

/// Digits in quotes where a confirmation carries an id (J-276).
#[cold]
pub(crate) fn quoted_integer<'a>(scanner: &mut Scanner<'a>) -> Result<Option<i64>, Failure<'a>> {
    let text = scanner.string()?.to_text();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(rule(Reason::WrongType("an integer"), *scanner));
    }
    Ok(text.parse().ok())
}

/// A text as it is, but not U+0000.
#[inline(always)]
fn plain<'a, B: Build<'a>>(text: Text<'a>, build: &mut B) -> Result<B::Value, Reason> {
    if text.nul { Err(Reason::NulCharacter) } else { Ok(build.text(text)) }
}

/// The place of `text` in the enumeration.
#[inline(always)]
fn chosen(enumeration: &'static Enumeration, text: &Text<'_>) -> Option<usize> {
    if text.shrinks != 0 {
        let unescaped = text.unescaped();
        return enumeration.values.iter().position(|value| *value.as_bytes() == *unescaped);
    }
    let key = ends(text.raw);
    let mut index = 0_usize;
    for candidate in enumeration.keys {
        if *candidate == key
            && let Some(value) = enumeration.values.get(index)
            && value.len() == text.raw.len()
            && (value.len() <= 16 || value.as_bytes() == text.raw)
        {
            return Some(index);
        }
        index = index.wrapping_add(1);
    }
    None
}

/// An absolute URI as far as a message can tell: a scheme, a colon, something after it, no blanks (RFC 3986 section 3).
fn is_uri(text: &Text<'_>) -> bool {
    let bytes = text.unescaped();
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else { return false };
    let (scheme, rest) = bytes.split_at_checked(colon).unwrap_or_default();
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && rest.len() > 1
        && rest.iter().fold(true, |good, byte| good & (*byte > b' ') & (*byte != 0x7f))
        && (text.ascii || !text.to_text().contains(char::is_whitespace))
}
