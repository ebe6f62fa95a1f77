//! A charging profile: read from a payload, judged by the rules that need no station, asked for its period at an instant.
//!
//! Implements OCPP 1.6 sections 5.16.4 and 7.8 to 7.14 with errata v4.0 (requirements CORE-SC-19 to 29, SCA-06 to 13);
//! docs/design/0008 items 1 to 5. Instants are whole seconds since 1970 UTC, limits are tenths of their unit. Must never
//! know a connector's hardware or whether a transaction runs.
#![forbid(unsafe_code)]

use crate::action::CHARGING_PROFILE;
use crate::draft::Draft;
use crate::json::Scanner;
use crate::validate::{self, Mode};
use std::fmt;

/// An instant that never comes. Far beyond the year 9999, and sums of two of them fit 64 bits.
pub const NEVER: i64 = i64::MAX / 4;

/// What a limit is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Amperes per phase.
    A,
    /// Watts of all phases together.
    W,
}

impl Unit {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::W => "W",
        }
    }

    /// Its place in a table of both.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::W => 1,
        }
    }
}

/// What a profile limits (OCPP 1.6 section 7.11), in the order in which a connector's profiles are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// One transaction.
    Tx,
    /// Every transaction without a period of its own.
    TxDefault,
    /// All connectors together.
    ChargePointMax,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tx, Self::TxDefault, Self::ChargePointMax];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tx => "TxProfile",
            Self::TxDefault => "TxDefaultProfile",
            Self::ChargePointMax => "ChargePointMaxProfile",
        }
    }
}

/// From when a schedule counts (OCPP 1.6 section 7.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From one instant.
    Absolute,
    /// From the same time of each day.
    Daily,
    /// From the same time of each week.
    Weekly,
    /// From the start of charging.
    Relative,
}

impl Kind {
    /// Its chargingProfileKind on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absolute => "Absolute",
            Self::Daily | Self::Weekly => "Recurring",
            Self::Relative => "Relative",
        }
    }

    /// Its recurrencyKind on the wire.
    #[must_use]
    pub const fn recurrency(self) -> Option<&'static str> {
        match self {
            Self::Daily => Some("Daily"),
            Self::Weekly => Some("Weekly"),
            Self::Absolute | Self::Relative => None,
        }
    }
}

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

/// The periods of a schedule: eight bytes each, and more only for limits above 107 MW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Periods {
    /// Start; limit times four plus phases.
    Narrow(Box<[(u32, u32)]>),
    /// As given.
    Wide(Box<[Period]>),
}

impl Periods {
    /// Store periods as tightly as they allow.
    #[must_use]
    pub fn new(periods: Vec<Period>) -> Self {
        let narrow = |period: &Period| {
            let value = u32::try_from(period.limit.checked_mul(4)?).ok()?;
            Some((period.start, value | u32::from(period.phases)))
        };
        match periods.iter().map(narrow).collect::<Option<Box<[_]>>>() {
            Some(narrow) => Self::Narrow(narrow),
            None => Self::Wide(periods.into_boxed_slice()),
        }
    }

    #[inline(always)]
    const fn widened((start, value): (u32, u32)) -> Period {
        #[allow(clippy::as_conversions)] // widening, and two bits, in a const fn
        Period { start, limit: (value >> 2) as i64, phases: (value & 3) as u8 }
    }

    /// The period that holds at `offset` seconds, and the start of the one after it. The first one starts at 0.
    #[inline(always)]
    fn at(&self, offset: i64) -> Option<(Period, i64)> {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        match self {
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

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Period> + '_ {
        let (narrow, wide): (&[_], &[_]) = match self {
            Self::Narrow(periods) => (periods, &[]),
            Self::Wide(periods) => (&[], periods),
        };
        narrow.iter().copied().map(Self::widened).chain(wide.iter().copied())
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Narrow(periods) => periods.len(),
            Self::Wide(periods) => periods.len(),
        }
    }
}

/// What an evaluation needs of a profile, close together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    from: i64,
    to: i64,
    /// Second zero, where it is fixed.
    zero: i64,
    /// Seconds from second zero to where the schedule ends, within one occurrence.
    length: i64,
    /// Whether second zero is the start of charging.
    pub floats: bool,
    /// Seconds between occurrences; 0 without recurrence.
    cycle: u32,
    /// stackLevel.
    pub level: u32,
    /// Of its limits.
    pub unit: Unit,
    periods: Periods,
}

/// One of the two lengths of recurrence (SCA-10).
const DAY: u32 = 86_400;
const WEEK: u32 = 604_800;

impl Track {
    /// The period at `t`, and the first instant after `t` at which the answer may be another. `start` is the start of
    /// charging, for those that count from there.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, t: i64, start: i64) -> (Option<Period>, i64) {
        if t < self.from {
            return (None, self.from);
        }
        let mut zero = if self.floats { start } else { self.zero };
        if t >= self.to {
            return (None, NEVER);
        }
        if t < zero {
            return (None, zero.min(self.to));
        }
        let since = t.wrapping_sub(zero);
        // Division by a constant is a multiplication.
        match self.cycle {
            0 => {}
            DAY => zero = t.wrapping_sub(since.wrapping_rem(86_400)),
            _ => zero = t.wrapping_sub(since.wrapping_rem(604_800)),
        }
        let offset = t.wrapping_sub(zero);
        if offset >= self.length {
            let again = if self.cycle == 0 { NEVER } else { zero.wrapping_add(i64::from(self.cycle)).min(self.to) };
            return (None, again);
        }
        match self.periods.at(offset) {
            Some((period, next)) => (Some(period), zero.wrapping_add(next.min(self.length)).min(self.to)),
            None => (None, NEVER),
        }
    }

    /// The first second at which it is over, never to be active again (docs/design/0008 item 2).
    #[must_use]
    pub fn over(&self) -> i64 {
        if self.floats || self.cycle != 0 { self.to } else { self.zero.saturating_add(self.length).min(self.to) }
    }

    /// Why it has no period at `t`, of its validity.
    #[must_use]
    pub fn validity(&self, t: i64) -> Validity {
        if t < self.from {
            Validity::NotYet
        } else if t >= self.to {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// Where an instant stands to `[validFrom, validTo)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Before validFrom.
    NotYet,
    /// Between the two.
    Valid,
    /// At or behind validTo.
    Expired,
}

/// What a profile says of itself, as it was received; instants floored to seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// chargingProfileId.
    pub id: i64,
    /// The connector that it was installed on; 0 is the charge point.
    pub connector: u32,
    /// chargingProfilePurpose.
    pub purpose: Purpose,
    /// chargingProfileKind with recurrencyKind.
    pub kind: Kind,
    /// stackLevel.
    pub level: u32,
    /// transactionId.
    pub transaction_id: Option<i64>,
    /// validFrom.
    pub valid_from: Option<i64>,
    /// validTo.
    pub valid_to: Option<i64>,
    /// startSchedule.
    pub start_schedule: Option<i64>,
    /// duration in seconds.
    pub duration: Option<u32>,
    /// chargingRateUnit.
    pub unit: Unit,
    /// minChargingRate in tenths; a hint for whoever balances, nothing here reads it (SCA-14).
    pub min_charging_rate: Option<i64>,
    /// When it was accepted.
    pub accepted: i64,
}

/// A charging profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For evaluation.
    pub track: Track,
    /// For everything else.
    pub terms: Box<Terms>,
}

/// Why a profile is Rejected (requirements 15.3 rows 4 to 7); the text names the field and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A rule that `broken` says is broken.
pub(crate) fn rule(broken: bool, why: impl FnOnce() -> String) -> Result<(), Refused> {
    if broken { Err(Refused(why())) } else { Ok(()) }
}

/// What the configuration keys allow (OCPP 1.6 section 9.4).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// ChargeProfileMaxStackLevel.
    pub max_stack_level: u32,
    /// ChargingScheduleMaxPeriods.
    pub max_periods: usize,
    /// MaxChargingProfilesInstalled.
    pub max_installed: usize,
    /// ChargingScheduleAllowedChargingRateUnit: of A and of W.
    pub units: [bool; 2],
}

impl Profile {
    /// Read a ChargingProfile and judge it by row 4 of requirements 15.3.
    ///
    /// # Errors
    /// The outer one when `json` is no valid ChargingProfile, the inner one when it must be Rejected.
    pub fn read(json: &[u8], connector: u32, accepted: i64, limits: &Limits) -> Result<Result<Self, Refused>, String> {
        let malformed = || "not the JSON text of a valid ChargingProfile".to_owned();
        if std::str::from_utf8(json).is_err() || json.first() != Some(&b'{') {
            return Err(malformed());
        }
        let mode = Mode { strict: false, confirmation: false };
        let (value, rest) =
            validate::payload(Scanner::new(json), &CHARGING_PROFILE, mode, &mut Draft).map_err(|_| malformed())?;
        if !rest.iter().all(u8::is_ascii_whitespace) {
            return Err(malformed());
        }
        let (terms, periods) = value.into_profile(connector, accepted).ok_or_else(malformed)?;
        Ok(terms.and_then(|terms| Self::judged(terms, periods, limits)))
    }

    /// Row 4 of requirements 15.3, in its order.
    fn judged(terms: Terms, periods: Vec<Period>, limits: &Limits) -> Result<Self, Refused> {
        rule(terms.level > limits.max_stack_level, || format!("stackLevel: 0 to {} allowed", limits.max_stack_level))?;
        rule(periods.len() > limits.max_periods, || {
            format!("chargingSchedulePeriod: at most {} periods allowed", limits.max_periods)
        })?;
        let allowed = limits.units.get(terms.unit.index()).copied().unwrap_or(false);
        rule(!allowed, || format!("chargingRateUnit: {} is not allowed here", terms.unit.name()))?;
        Self::sound(terms, periods)
    }

    /// The part of row 4 that holds for every charge point, for stored profiles too.
    pub(crate) fn sound(terms: Terms, periods: Vec<Period>) -> Result<Self, Refused> {
        rule(periods.first().is_none_or(|first| first.start != 0), || {
            "startPeriod: the first one must be 0".to_owned()
        })?;
        let pairs = || periods.iter().zip(periods.iter().skip(1));
        rule(pairs().any(|(one, next)| next.start <= one.start), || {
            "startPeriod: each one must be greater than the one before".to_owned()
        })?;
        rule(terms.duration == Some(0), || "duration: at least 1 allowed".to_owned())?;
        let least = terms.valid_from.map_or(terms.accepted, |from| from.max(terms.accepted));
        rule(terms.valid_to.is_some_and(|to| to <= least), || {
            "validTo: must lie ahead, and behind validFrom".to_owned()
        })?;
        rule(terms.kind.recurrency().is_some() && terms.start_schedule.is_none(), || {
            "startSchedule: a Recurring profile needs one".to_owned()
        })?;
        let is_max = terms.purpose == Purpose::ChargePointMax;
        rule(is_max && terms.connector != 0, || "connectorId: ChargePointMaxProfile only on 0".to_owned())?;
        rule(is_max && terms.kind == Kind::Relative, || {
            "chargingProfileKind: a ChargePointMaxProfile cannot be Relative".to_owned()
        })?;
        rule(terms.purpose == Purpose::Tx && terms.connector == 0, || {
            "connectorId: TxProfile only above 0".to_owned()
        })?;
        Ok(Self { track: Track::new(&terms, periods), terms: Box::new(terms) })
    }

    /// Its periods.
    #[must_use]
    pub const fn periods(&self) -> &Periods {
        &self.track.periods
    }
}

impl Track {
    fn new(terms: &Terms, periods: Vec<Period>) -> Self {
        let is_max = terms.purpose == Purpose::ChargePointMax;
        // SCA-07: without startSchedule a maximum counts from its validity, the others from the start of charging.
        let (zero, floats, cycle) = match (terms.kind, terms.start_schedule) {
            (Kind::Daily, start) => (start.unwrap_or(NEVER), false, DAY),
            (Kind::Weekly, start) => (start.unwrap_or(NEVER), false, WEEK),
            (Kind::Absolute, Some(start)) => (start, false, 0),
            (Kind::Absolute, None) if is_max => (terms.valid_from.unwrap_or(terms.accepted), false, 0),
            (Kind::Absolute, None) | (Kind::Relative, _) => (NEVER, true, 0),
        };
        let duration = terms.duration.map_or(NEVER, i64::from);
        Self {
            from: terms.valid_from.unwrap_or(NEVER.wrapping_neg()),
            to: terms.valid_to.unwrap_or(NEVER),
            zero,
            length: if cycle == 0 { duration } else { duration.min(i64::from(cycle)) },
            floats,
            cycle,
            level: terms.level,
            unit: terms.unit,
            periods: Periods::new(periods),
        }
    }
}
