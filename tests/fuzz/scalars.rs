//! Numbers, texts and times against slower readers: digits on paper, `serde_json`, `jiff`.

use jiff::civil;
use ocpphub::json::Scanner;
use ocpphub::number::Integral;
use ocpphub::text::write_string;
use ocpphub::time;

use super::strict_json::is_number;

/// A decimal written out: sign, digits before the point, digits after it.
struct Paper {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Paper {
    /// Write a legal JSON number out. An exponent beyond the length of the number cannot change which rule it breaks.
    fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let far = i64::try_from(text.len()).unwrap() + 30;
        let huge = if exponent.starts_with('-') { -far } else { far };
        let exponent = exponent.parse::<i64>().unwrap_or(huge).clamp(-far, far);
        let mut whole = whole.to_owned();
        let mut fraction = fraction.to_owned();
        for _ in 0..exponent.unsigned_abs() {
            if exponent > 0 {
                whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
            } else {
                fraction.insert(0, whole.pop().unwrap_or('0'));
            }
        }
        Self { negative, whole, fraction }
    }

    /// `digits` as a 64-bit integer with the sign.
    fn signed(&self, digits: &str) -> Option<i64> {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(0);
        }
        format!("{}{digits}", if self.negative { "-" } else { "" }).parse().ok()
    }

    fn integral(&self) -> Integral {
        if self.fraction.contains(|digit| digit != '0') {
            return Integral::Fraction;
        }
        self.signed(&self.whole).map_or(Integral::TooBig, Integral::Value)
    }

    fn tenths(&self) -> Option<(i64, bool)> {
        let (first, rest) = self.fraction.split_at_checked(1).unwrap_or(("0", ""));
        let exact = !rest.contains(|digit| digit != '0');
        let value = self.signed(&format!("{}{first}", self.whole))?;
        // Rounded down, which is away from zero below it.
        Some((if exact || !self.negative { value } else { value.checked_sub(1)? }, exact))
    }
}

/// A number is accepted exactly when it is one, and is worth what it is worth on paper.
pub fn numbers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut scanner = Scanner::new(bytes);
    let read = scanner.number().ok().filter(|_| scanner.rest().is_empty());
    assert_eq!(read.is_some(), is_number(text));
    let Some(number) = read else { return };
    let paper = Paper::of(text);
    let (integral, tenths) = (number.integral(), number.tenths());
    assert_eq!(integral, paper.integral());
    assert_eq!(tenths, paper.tenths());
    assert_eq!(number.is_plain(), !text.contains(['.', 'e', 'E']));
}

/// A string is accepted exactly when `serde_json` accepts it, with the same text; any text is written back readably.
pub fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let quoted = format!("\"{text}\"");
    for written in [text, &quoted] {
        let mut scanner = Scanner::new(written.as_bytes());
        let read = scanner.string().ok().filter(|_| scanner.rest().is_empty());
        let right = serde_json::from_str::<String>(written).ok().filter(|_| written.starts_with('"'));
        // serde_json allows white space behind the string.
        let right = right.filter(|_| written.ends_with('"'));
        assert_eq!(read.as_ref().map(|read| read.to_text().into_owned()), right);
        if let (Some(read), Some(right)) = (read, right) {
            assert_eq!(read.characters(), right.chars().count());
            assert_eq!(read.nul, right.contains('\0'));
            assert!(read.is(&right));
            assert!(!read.is(&format!("{right}x")));
        }
    }
    let mut out = Vec::new();
    write_string(&mut out, text);
    assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
}

/// `jiff`'s reading of a strict RFC 3339 text, in UTC milliseconds; `None` when it is none.
fn by_jiff(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let shape = digits(0..4) && digits(5..7) && digits(8..10) && digits(11..13) && digits(14..16) && digits(17..19);
    let marks = [4, 7, 10, 13, 16].map(|at| bytes.get(at).copied());
    let separated = matches!(marks, [Some(b'-'), Some(b'-'), Some(b'T' | b't'), Some(b':'), Some(b':')]);
    if !shape || !separated {
        return None;
    }
    let (local, suffix) = text.split_at_checked(19)?;
    let decimals = suffix.strip_prefix('.').map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if decimals == Some(0) {
        return None;
    }
    let (fraction, zone) = suffix.split_at(decimals.map_or(0, |count| count + 1));
    let offset_s = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [b'+' | b'-', _, _, b':', _, _] => {
            let (hours, minutes) = (zone.get(1..3)?, zone.get(4..6)?);
            // jiff knows no offset of a day and more; of less it must agree.
            let bare = digits(text.len() - 5..text.len() - 3) && digits(text.len() - 2..text.len());
            let clock = civil::Time::strptime("%H:%M", format!("{hours}:{minutes}")).ok().filter(|_| bare)?;
            let size = i64::from(clock.hour()) * 3600 + i64::from(clock.minute()) * 60;
            if zone.starts_with('-') { -size } else { size }
        }
        _ => return None,
    };
    let nanoseconds = fraction.get(..fraction.len().min(10))?;
    let at: civil::DateTime = format!("{local}{nanoseconds}").parse().ok()?;
    let epoch = civil::date(1970, 1, 1).at(0, 0, 0, 0);
    let whole = i64::try_from(at.duration_since(epoch).as_millis()).ok()?;
    // A leap second counts as its last millisecond; a time before 1970 is cut to the millisecond before it.
    let early = at.duration_since(epoch).subsec_nanos() % 1_000_000 < 0;
    let whole = if early { whole - 1 } else { whole };
    let whole = if local.ends_with("60") { whole - whole.rem_euclid(1000) + 999 } else { whole };
    Some(whole - offset_s * 1000)
}

/// A time is read strictly exactly as `jiff` reads it, leniently at least so; what is formatted is read back.
pub fn times(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let strict = time::parse(bytes, true);
        assert_eq!(strict, by_jiff(text));
        let lenient = time::parse(bytes, false);
        assert!(strict.is_none() || lenient == strict);
        assert_eq!(time::is_valid(bytes, true), strict.is_some());
        assert_eq!(time::is_valid(bytes, false), lenient.is_some());
    }
    if let Some(chunk) = bytes.first_chunk::<8>() {
        let utc_ms = i64::from_le_bytes(*chunk) >> (chunk[0] & 31);
        let formatted = time::format(utc_ms);
        assert_eq!(formatted.is_some(), (-62_167_219_200_000..=253_402_300_799_999).contains(&utc_ms));
        assert!(formatted.is_none_or(|text| time::parse(text.as_bytes(), true) == Some(utc_ms)));
    }
}
