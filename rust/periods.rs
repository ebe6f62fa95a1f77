//! The periods of a schedule: kept tightly, found by their offset (OCPP 1.6 section 7.14).
#![forbid(unsafe_code)]

use crate::profile::NEVER;

/// What a schedule says from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Seconds since the schedule's second zero.
    pub start: u32,
    /// Tenths of the schedule's unit.
    pub limit: i64,
    /// 1 to 3; 0 where it is not given.
    pub phases: u8,
}

/// The periods of a schedule, as tightly as they allow: schedules of thousands of connectors are read through in a row, and
/// what that costs is the memory that they touch. A value is the limit times four plus the phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Periods {
    /// At equal distances: seconds between two, values.
    Even(u32, Box<[u32]>),
    /// Start and value.
    Narrow(Box<[(u32, u32)]>),
    /// As given, for limits above 107 MW.
    Wide(Box<[Period]>),
}

impl Periods {
    /// Store periods; the first one starts at 0 and each one later than the one before.
    #[must_use]
    pub fn new(periods: Vec<Period>) -> Self {
        let narrow = |period: &Period| {
            let value = u32::try_from(period.limit.checked_mul(4)?).ok()?;
            Some((period.start, value | u32::from(period.phases)))
        };
        let Some(narrow) = periods.iter().map(narrow).collect::<Option<Vec<_>>>() else {
            return Self::Wide(periods.into_boxed_slice());
        };
        let step = narrow.get(1).map_or(u32::MAX, |(start, _)| *start);
        let is_even = narrow.iter().zip(0_u32..).all(|((start, _), place)| place.checked_mul(step) == Some(*start));
        if is_even {
            Self::Even(step.max(1), narrow.into_iter().map(|(_, value)| value).collect())
        } else {
            Self::Narrow(narrow.into_boxed_slice())
        }
    }

    #[inline(always)]
    const fn widened((start, value): (u32, u32)) -> Period {
        #[allow(clippy::as_conversions)] // widening, and two bits, in a const fn
        Period { start, limit: (value >> 2) as i64, phases: (value & 3) as u8 }
    }

    /// The period that holds at `offset` seconds, and the start of the one after it. The first one starts at 0.
    #[inline(always)]
    pub(crate) fn at(&self, offset: i64) -> Option<(Period, i64)> {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        match self {
            Self::Even(step, values) => {
                let last = values.len().wrapping_sub(1);
                let place = usize::try_from(offset.checked_div(*step)?).unwrap_or(usize::MAX).min(last);
                let start = u32::try_from(place).unwrap_or(u32::MAX).wrapping_mul(*step);
                let next = if place == last { NEVER } else { i64::from(start).wrapping_add(i64::from(*step)) };
                Some((Self::widened((start, *values.get(place)?)), next))
            }
            Self::Narrow(periods) => {
                let next = periods.partition_point(|(start, _)| *start <= offset);
                let period = Self::widened(*periods.get(next.wrapping_sub(1))?);
                Some((period, periods.get(next).map_or(NEVER, |(start, _)| i64::from(*start))))
            }
            Self::Wide(periods) => {
                let next = periods.partition_point(|period| period.start <= offset);
                let period = *periods.get(next.wrapping_sub(1))?;
                Some((period, periods.get(next).map_or(NEVER, |period| i64::from(period.start))))
            }
        }
    }

    /// Any value, for [`crate::profiles::Profiles::touch`].
    pub(crate) fn touch(&self) -> u32 {
        match self {
            Self::Even(_, values) => values.get(values.len() / 2).copied().unwrap_or(0),
            Self::Narrow(periods) => periods.get(periods.len() / 2).map_or(0, |(start, _)| *start),
            Self::Wide(periods) => periods.get(periods.len() / 2).map_or(0, |period| period.start),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Period> + '_ {
        (0..self.count()).filter_map(|place| match self {
            Self::Even(step, values) => {
                let start = u32::try_from(place).ok()?.wrapping_mul(*step);
                values.get(place).map(|value| Self::widened((start, *value)))
            }
            Self::Narrow(periods) => periods.get(place).map(|period| Self::widened(*period)),
            Self::Wide(periods) => periods.get(place).copied(),
        })
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Even(_, values) => values.len(),
            Self::Narrow(periods) => periods.len(),
            Self::Wide(periods) => periods.len(),
        }
    }
}
