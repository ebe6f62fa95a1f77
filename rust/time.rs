//! Date-times of RFC 3339 to and from UTC milliseconds, over `jiff` (OCPP 1.6 section 3.14).
#![forbid(unsafe_code)]

use jiff::tz::Offset;
use jiff::{SignedDuration, civil};

/// 1970-01-01T00:00:00. Civil times reach to the end of 9999, which `jiff::Timestamp` does not, and `validTo` does.
const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Read a date-time; `None` when it is none.
///
/// Strict means RFC 3339 with its offset. Otherwise what is seen in the field is read too: no offset means UTC, the
/// minutes of an offset or their colon may be missing, a blank may stand for `T`. A leap second counts as its last
/// millisecond; fractions are cut to milliseconds.
#[must_use]
pub fn parse(text: &[u8], strict: bool) -> Option<i64> {
    let (date, ms_of_day, offset_s) = read(text, strict)?;
    let midnight = date.to_datetime(civil::Time::midnight());
    let local_ms = i64::try_from(midnight.duration_since(EPOCH).as_millis()).ok()?.checked_add(ms_of_day)?;
    local_ms.checked_sub(offset_s.checked_mul(1000)?)
}

/// Whether [`parse`] reads it.
#[inline(always)]
#[must_use]
pub fn is_valid(text: &[u8], strict: bool) -> bool {
    read(text, strict).is_some()
}

/// Two digits at each even place of a little-endian word of digits, joined: byte n is digit n times ten plus digit n + 1.
#[inline(always)]
const fn pairs(digits: u64) -> [u8; 8] {
    digits.wrapping_mul(10).wrapping_add(digits >> 8).to_le_bytes()
}

/// `word` less `pattern`, when it has digits where the pattern has `0`, and is the same elsewhere but for `?`.
#[inline(always)]
const fn digits(word: u64, pattern: [u8; 8]) -> Option<u64> {
    let [mut blank, mut six, mut exact] = [0_u64; 3];
    let mut rest = pattern.as_slice();
    let mut shift = 0_u32;
    while let [mark, after @ ..] = rest {
        let (taken, add, bits) = match *mark {
            b'0' => (b'0', 6, 0xf0),
            b'?' => (0, 0, 0),
            other => (other, 0, 0xff),
        };
        blank |= widen(taken) << shift;
        six |= widen(add) << shift;
        exact |= widen(bits) << shift;
        shift = shift.wrapping_add(8);
        rest = after;
    }
    let value = word ^ blank;
    if (value | value.wrapping_add(six)) & exact == 0 { Some(value) } else { None }
}

#[allow(clippy::as_conversions)] // widening, in a const fn
const fn widen(byte: u8) -> u64 {
    byte as u64
}

/// A local date, milliseconds since its midnight, and the offset in seconds east of UTC.
#[inline]
fn read(text: &[u8], strict: bool) -> Option<(civil::Date, i64, i64)> {
    let (date, rest) = text.split_first_chunk::<8>()?;
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let ([colon, tens, units], rest) = rest.split_first_chunk::<3>()?;
    let [century, _, year, _, _, month, ..] = pairs(digits(u64::from_le_bytes(*date), *b"0000-00-")?);
    let [day, _, separator, hour, _, _, minute, _] = {
        let clock = digits(u64::from_le_bytes(*clock), *b"00?00:00")?;
        let [day, skip, _, hour, _, skip_too, minute, last] = pairs(clock & !0x00ff_0000);
        let [_, _, separator, ..] = clock.to_le_bytes();
        [day, skip, separator, hour, 0, skip_too, minute, last]
    };
    if !(matches!(separator, b'T' | b't') || (separator == b' ' && !strict)) {
        return None;
    }
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    let second = tens.wrapping_mul(10).wrapping_add(units);
    if *colon != b':' || tens > 9 || units > 9 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let year = i16::from(century).wrapping_mul(100).wrapping_add(i16::from(year));
    let date = civil::Date::new(year, month.cast_signed(), day.cast_signed()).ok()?;
    let (millisecond, offset_s) = if *rest == *b"Z" { (0, 0) } else { suffix(rest, strict)? };
    let minutes = i64::from(hour).wrapping_mul(60).wrapping_add(i64::from(minute));
    // A leap second counts as the last millisecond of its minute.
    let (second, millisecond) = if second == 60 { (59, 999) } else { (second, millisecond) };
    let seconds = minutes.wrapping_mul(60).wrapping_add(i64::from(second));
    Some((date, seconds.wrapping_mul(1000).wrapping_add(i64::from(millisecond)), offset_s))
}

/// What follows the seconds: a fraction in milliseconds, and the offset.
#[inline(never)]
fn suffix(rest: &[u8], strict: bool) -> Option<(i16, i64)> {
    if let [b'.', h, t, u, b'Z'] = *rest {
        let (hundreds, tens) = (i16::from(h.wrapping_sub(b'0')), two(t, u)?);
        let tens = i16::try_from(tens).ok()?;
        return if hundreds > 9 { None } else { Some((hundreds.wrapping_mul(100).wrapping_add(tens), 0)) };
    }
    let (millisecond, rest) = fraction(rest)?;
    Some((millisecond, offset(rest, strict)?))
}

/// Two ASCII digits.
#[inline(always)]
fn two(tens: u8, units: u8) -> Option<i64> {
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    if tens > 9 || units > 9 { None } else { Some(i64::from(tens.wrapping_mul(10).wrapping_add(units))) }
}

/// A fraction of a second, when there is one: milliseconds, and what follows.
#[inline(always)]
fn fraction(rest: &[u8]) -> Option<(i16, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(count)?;
    let first = digits.first()?;
    let digit = |byte: &u8| i16::from(byte.wrapping_sub(b'0'));
    let hundreds = digit(first).wrapping_mul(100);
    let tens = digits.get(1).map_or(0, digit).wrapping_mul(10);
    Some((hundreds.wrapping_add(tens).wrapping_add(digits.get(2).map_or(0, digit)), rest))
}

/// An offset in seconds east of UTC.
#[inline(always)]
fn offset(rest: &[u8], strict: bool) -> Option<i64> {
    let (sign, hours, minutes) = match *rest {
        [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (sign, two(h1, h2)?, two(m1, m2)?),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] if !strict => (sign, two(h1, h2)?, two(m1, m2)?),
        [sign @ (b'+' | b'-'), h1, h2] if !strict => (sign, two(h1, h2)?, 0),
        [] if !strict => return Some(0),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours.wrapping_mul(3600).wrapping_add(minutes.wrapping_mul(60));
    Some(if sign == b'-' { seconds.wrapping_neg() } else { seconds })
}

/// `YYYY-MM-DDThh:mm:ss.mmmZ`; `None` outside the years 0 to 9999.
#[must_use]
pub fn format(utc_ms: i64) -> Option<String> {
    let mut out = Vec::with_capacity(24);
    if write(&mut out, utc_ms) { String::from_utf8(out).ok() } else { None }
}

/// Append [`format`]'s text; false, and nothing appended, outside the years 0 to 9999.
pub fn write(out: &mut Vec<u8>, utc_ms: i64) -> bool {
    let at = match jiff::Timestamp::from_millisecond(utc_ms) {
        Ok(timestamp) => Offset::UTC.to_datetime(timestamp),
        // The last day of 9999 lies behind the last timestamp.
        Err(_) => match EPOCH.checked_add(SignedDuration::from_millis(utc_ms)) {
            Ok(at) => at,
            Err(_) => return false,
        },
    };
    if at.year() < 0 {
        return false;
    }
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let fields = [
        (4, i32::from(at.year())),
        (7, i32::from(at.month())),
        (10, i32::from(at.day())),
        (13, i32::from(at.hour())),
        (16, i32::from(at.minute())),
        (19, i32::from(at.second())),
        (23, i32::from(at.millisecond())),
    ];
    for (end, value) in fields {
        let mut rest = value;
        for place in text.iter_mut().take(end).rev() {
            if rest == 0 {
                break;
            }
            *place = b'0'.wrapping_add(u8::try_from(rest.wrapping_rem(10)).unwrap_or(0));
            rest = rest.wrapping_div(10);
        }
    }
    out.extend_from_slice(&text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_what_the_standard_and_the_field_write() {
        // req: CORE-GEN-05 X-36
        let right = Some(1_704_067_200_123);
        for text in ["2024-01-01T00:00:00.123Z", "2024-01-01T01:00:00.1239999+01:00", "2023-12-31t23:30:00.123-00:30"] {
            assert_eq!(parse(text.as_bytes(), true), right, "{text}");
            assert_eq!(parse(text.as_bytes(), false), right, "{text}");
        }
        for text in ["2024-01-01 00:00:00.123", "2024-01-01T01:00:00.123+01", "2024-01-01T01:00:00.123+0100"] {
            assert_eq!(parse(text.as_bytes(), true), None, "{text}");
            assert_eq!(parse(text.as_bytes(), false), right, "{text}");
        }
        assert_eq!(parse(b"2016-12-31T23:59:60Z", true), Some(1_483_228_799_999));
    }

    #[test]
    fn parse_refuses_what_is_no_date() {
        for text in [
            "",
            "yesterday",
            "2099-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2099-01-01T24:00:00Z",
            "2099-01-01T00:00:00+25:00",
            "10000-01-01T00:00:00Z",
            "2099-01-01T00:00:00.Z",
            "2099-01-01T00:00:00Zx",
            "２０９９-01-01T00:00:00Z",
            "2099-01-01T00:00:61Z",
            "2099-01-01",
        ] {
            assert_eq!(parse(text.as_bytes(), false), None, "{text}");
        }
    }

    #[test]
    fn format_is_read_back() {
        // req: CORE-GEN-06
        for utc_ms in [0, 1_704_067_200_123, 253_402_300_799_999, 951_782_400_000] {
            let text = format(utc_ms).unwrap_or_default();
            assert_eq!(parse(text.as_bytes(), true), Some(utc_ms), "{text}");
        }
        assert_eq!(format(i64::MAX), None);
    }
}
