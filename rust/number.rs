//! JSON numbers, exact: integers of 64 bits, decimals in tenths, however they are written.
//!
//! Nothing is rounded through a binary fraction, and an exponent costs neither time nor memory.
#![forbid(unsafe_code)]

use crate::json::{Broken, HIGHS, ONES, Scanner};

/// A number, exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number<'a> {
    /// Digits only, within 18 of them.
    Integer(i64),
    /// Digits, a point and one digit, as tenths.
    Tenths(i64),
    /// Any other legal number, as it stands.
    Other(&'a [u8]),
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
            Self::Other(raw) => !raw.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')),
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

    /// The number in tenths, rounded down, and whether that is exact; `None` beyond 64 bits.
    #[inline(always)]
    #[must_use]
    pub fn tenths(&self) -> Option<(i64, bool)> {
        match *self {
            Self::Integer(value) => Some((value.checked_mul(10)?, true)),
            Self::Tenths(tenths) => Some((tenths, true)),
            Self::Other(raw) => odd_tenths(raw),
        }
    }
}

/// [`Number::tenths`] of a number of any form.
#[cold]
fn odd_tenths(raw: &[u8]) -> Option<(i64, bool)> {
    let decimal = Decimal::of(raw);
    let exact = decimal.scale >= -1;
    let towards_zero = decimal.scaled(decimal.scale.saturating_add(1))?;
    Some((if exact || !decimal.negative { towards_zero } else { towards_zero.checked_sub(1)? }, exact))
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
    fn of(raw: &'a [u8]) -> Self {
        let raw = std::str::from_utf8(raw).unwrap_or_default();
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
        // Nineteen digits fit 127 bits, and so does the negative end of 64 bits before its sign.
        let mut value = 0_i128;
        for digit in self.whole.iter().chain(self.fraction).take(usize::try_from(kept).ok()?) {
            value = value.checked_mul(10)?.checked_add(i128::from(digit.wrapping_sub(b'0')))?;
        }
        for _ in 0..scale.max(0) {
            value = value.checked_mul(10)?;
        }
        i64::try_from(if self.negative { value.wrapping_neg() } else { value }).ok()
    }
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

impl<'a> Scanner<'a> {
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

    /// A number whose value nobody asks for.
    #[inline(always)]
    pub(crate) fn any_form(&mut self) -> Result<(), Broken> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number<'_> {
        Scanner::new(text.as_bytes()).number().unwrap_or(Number::Other(b"broken"))
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
        assert_eq!(number("-0.05").tenths(), Some((-1, false)));
        assert_eq!(number("-1e-400").tenths(), Some((-1, false)));
        assert_eq!(number("-9223372036854775808").integral(), Integral::Value(i64::MIN));
        assert_eq!(number("-9223372036854775809").integral(), Integral::TooBig);
    }
}
