//! A charging profile as a stored row: a versioned, compact text (reliability.md section 4).
//!
//! JSON text of one string: base64 of a version byte and variable-length integers. Periods at equal distances store it once,
//! a period of a kilowatt or less takes two bytes. Must never read what [`write`] would not have written.
#![forbid(unsafe_code)]

use crate::periods::Period;
use crate::profile::{Kind, Profile, Purpose, Terms, Unit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The version of the layout below.
const VERSION: u8 = 1;
const KINDS: [Kind; 4] = [Kind::Absolute, Kind::Daily, Kind::Weekly, Kind::Relative];
/// Periods that a row may hold: any charge point's ChargingScheduleMaxPeriods is far below.
const MOST_PERIODS: u64 = 1 << 20;

struct Writer(Vec<u8>);

impl Writer {
    fn unsigned(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.extend(u8::try_from(value & 0x7f | 0x80));
            value >>= 7;
        }
        self.0.extend(u8::try_from(value));
    }

    fn signed(&mut self, value: i64) {
        self.unsigned((value << 1 ^ value >> 63).cast_unsigned());
    }

    /// An optional number, whose presence is a bit of the flags.
    fn optional(&mut self, value: Option<i64>) {
        if let Some(value) = value {
            self.signed(value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
    }

    fn optional(&mut self, is_there: bool) -> Option<Option<i64>> {
        if is_there { self.signed().map(Some) } else { Some(None) }
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.unsigned()?).ok()
    }
}

/// The distance of neighbouring periods where it is the same for all, else 0.
fn spacing(periods: &[Period]) -> u32 {
    let distances = || periods.iter().zip(periods.iter().skip(1)).map(|(one, next)| next.start.wrapping_sub(one.start));
    let Some(first) = distances().next() else { return 0 };
    if distances().all(|distance| distance == first) { first } else { 0 }
}

/// The row of a profile, as JSON text.
#[must_use]
pub fn write(profile: &Profile) -> String {
    let terms = &profile.terms;
    let periods: Vec<_> = profile.periods().iter().collect();
    let spacing = spacing(&periods);
    let has_phases = periods.iter().any(|period| period.phases != 0);
    let mut out = Writer(vec![VERSION]);
    let position = |found: Option<usize>| u64::try_from(found.unwrap_or(0)).unwrap_or(0);
    let purpose = position(Purpose::ALL.iter().position(|purpose| *purpose == terms.purpose));
    let kind = position(KINDS.iter().position(|kind| *kind == terms.kind));
    let flags = [
        terms.unit == Unit::W,
        terms.transaction_id.is_some(),
        terms.valid_from.is_some(),
        terms.valid_to.is_some(),
        terms.start_schedule.is_some(),
        terms.duration.is_some(),
        terms.min_charging_rate.is_some(),
        has_phases,
    ];
    let bits = flags.iter().rev().fold(0_u64, |bits, flag| bits << 1 | u64::from(*flag));
    out.unsigned(bits << 4 | kind << 2 | purpose);
    out.signed(terms.id);
    out.unsigned(u64::from(terms.connector));
    out.unsigned(u64::from(terms.level));
    out.signed(terms.accepted);
    let duration = terms.duration.map(i64::from);
    let optional = [terms.transaction_id, terms.valid_from, terms.valid_to, terms.start_schedule, duration];
    for value in optional.into_iter().chain([terms.min_charging_rate]) {
        out.optional(value);
    }
    out.unsigned(u64::try_from(periods.len()).unwrap_or(0));
    out.unsigned(u64::from(spacing));
    let mut last = 0;
    for period in &periods {
        if spacing == 0 {
            out.unsigned(u64::from(period.start.wrapping_sub(last)));
            last = period.start;
        }
        out.unsigned(u64::try_from(period.limit).unwrap_or(0));
        if has_phases {
            out.unsigned(u64::from(period.phases));
        }
    }
    format!("\"{}\"", STANDARD_NO_PAD.encode(out.0))
}

/// The connector of a row, without reading it all; 0 where that cannot be told.
#[must_use]
pub fn connector(row: &[u8]) -> u32 {
    let text = row.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or_default();
    let start = text.get(..24).unwrap_or(text);
    let bytes = STANDARD_NO_PAD.decode(start).unwrap_or_default();
    let mut input = Reader(bytes.get(1..).unwrap_or_default());
    let before = input.unsigned().and_then(|_| input.signed());
    before.and_then(|_| input.small()).unwrap_or(0)
}

/// The profile of a row; `None` when it is not one of this version.
#[must_use]
pub fn read(row: &[u8]) -> Option<Profile> {
    let text = row.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let mut input = Reader(&bytes);
    if input.byte()? != VERSION {
        return None;
    }
    let head = input.unsigned()?;
    let index = |bits: u64| usize::try_from(bits & 3).ok();
    let (purpose, kind) = (*Purpose::ALL.get(index(head)?)?, *KINDS.get(index(head >> 2)?)?);
    let flag = |bit: u32| head.wrapping_shr(bit.saturating_add(4)) & 1 == 1;
    let id = input.signed()?;
    let (connector, level, accepted) = (input.small()?, input.small()?, input.signed()?);
    let transaction_id = input.optional(flag(1))?;
    let (valid_from, valid_to) = (input.optional(flag(2))?, input.optional(flag(3))?);
    let (start_schedule, duration) = (input.optional(flag(4))?, input.optional(flag(5))?);
    let terms = Terms {
        id,
        connector,
        purpose,
        kind,
        level,
        transaction_id,
        valid_from,
        valid_to,
        start_schedule,
        duration: duration.map(u32::try_from).transpose().ok()?,
        unit: if flag(0) { Unit::W } else { Unit::A },
        min_charging_rate: input.optional(flag(6))?,
        accepted,
    };
    let periods = read_periods(&mut input, flag(7))?;
    if !input.0.is_empty() {
        return None;
    }
    Profile::sound(terms, periods).ok()
}

fn read_periods(input: &mut Reader<'_>, has_phases: bool) -> Option<Vec<Period>> {
    let count = usize::try_from(input.unsigned().filter(|count| *count <= MOST_PERIODS)?).ok()?;
    let spacing = input.small()?;
    // A damaged count must not ask for memory: a period takes a byte at least.
    let mut periods = Vec::with_capacity(count.min(input.0.len()));
    let mut start = 0_u32;
    for index in 0..count {
        let distance = match spacing {
            0 => input.small()?,
            _ if index == 0 => 0,
            _ => spacing,
        };
        start = start.checked_add(distance)?;
        let limit = i64::try_from(input.unsigned()?).ok()?;
        let phases = if has_phases { u8::try_from(input.unsigned()?).ok().filter(|phases| *phases <= 3)? } else { 0 };
        periods.push(Period { start, limit, phases });
    }
    Some(periods)
}
