//! A charging profile: read from a payload, judged by the rules that need no station, asked for its period at an instant.
//!
//! Implements OCPP 1.6 sections 5.16.4 and 7.8 to 7.14 with errata v4.0 (requirements CORE-SC-19 to 29, SCA-06 to 13);
//! docs/design/0008 items 1 to 5. Instants are whole seconds since 1970 UTC, limits are tenths of their unit. Must never
//! know a connector's hardware or whether a transaction runs.
#![forbid(unsafe_code)]

use crate::action::CHARGING_PROFILE;
use crate::draft::Draft;
use crate::json::Scanner;
use crate::periods::{Period, Periods};
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

/// What an evaluation needs of a profile, in one cache line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Second zero, where it is fixed.
    zero: i64,
    periods: Periods,
    /// validFrom and validTo, where there is one.
    validity: Option<Box<(i64, i64)>>,
    /// Seconds from second zero to where the schedule ends, within one occurrence; `u32::MAX` where it does not.
    length: u32,
    /// stackLevel.
    pub level: u32,
    recurrence: Recurrence,
    /// Whether second zero is the start of charging.
    pub floats: bool,
    /// Of its limits.
    pub unit: Unit,
}

/// How often a schedule begins anew (SCA-10: days and weeks have a fixed length).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recurrence {
    Never,
    Daily,
    Weekly,
}

impl Recurrence {
    const fn seconds(self) -> u32 {
        match self {
            Self::Never => u32::MAX,
            Self::Daily => 86_400,
            Self::Weekly => 604_800,
        }
    }
}

impl Track {
    #[inline(always)]
    fn bounds(&self) -> (i64, i64) {
        self.validity.as_deref().copied().unwrap_or((NEVER.wrapping_neg(), NEVER))
    }

    /// The period at `t`, and the first instant after `t` at which the answer may be another. `start` is the start of
    /// charging, for those that count from there.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, t: i64, start: i64) -> (Option<Period>, i64) {
        let (from, to) = self.bounds();
        if t < from || t >= to {
            return (None, if t < from { from } else { NEVER });
        }
        let zero = if self.floats { start } else { self.zero };
        if t < zero {
            return (None, zero.min(to));
        }
        let since = t.wrapping_sub(zero);
        let offset = match self.recurrence {
            Recurrence::Never => since,
            // Division by a constant is a multiplication.
            Recurrence::Daily => since.wrapping_rem(86_400),
            Recurrence::Weekly => since.wrapping_rem(604_800),
        };
        let zero = t.wrapping_sub(offset);
        let length = if self.length == u32::MAX { NEVER } else { i64::from(self.length) };
        if offset >= length {
            let again = zero.wrapping_add(i64::from(self.recurrence.seconds())).min(to);
            return (None, if self.recurrence == Recurrence::Never { NEVER } else { again });
        }
        match self.periods.at(offset) {
            Some((period, next)) => (Some(period), zero.wrapping_add(next.min(length)).min(to)),
            None => (None, NEVER),
        }
    }

    /// The first second at which it is over, never to be active again (docs/design/0008 item 2).
    #[must_use]
    pub fn over(&self) -> i64 {
        let (_, to) = self.bounds();
        if self.floats || self.recurrence != Recurrence::Never || self.length == u32::MAX {
            return to;
        }
        self.zero.saturating_add(i64::from(self.length)).min(to)
    }

    /// The first instant after `t` at which it becomes valid, ceases to be or is over.
    #[must_use]
    pub fn edge(&self, t: i64) -> i64 {
        let (from, to) = self.bounds();
        [from, to, self.over()].into_iter().filter(|edge| *edge > t).min().unwrap_or(NEVER)
    }

    /// Why it has no period at `t`, of its validity.
    #[must_use]
    pub fn validity(&self, t: i64) -> Validity {
        let (from, to) = self.bounds();
        if t < from {
            Validity::NotYet
        } else if t >= to {
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
        let (zero, floats, recurrence) = match (terms.kind, terms.start_schedule) {
            (Kind::Daily, start) => (start.unwrap_or(NEVER), false, Recurrence::Daily),
            (Kind::Weekly, start) => (start.unwrap_or(NEVER), false, Recurrence::Weekly),
            (Kind::Absolute, Some(start)) => (start, false, Recurrence::Never),
            (Kind::Absolute, None) if is_max => (terms.valid_from.unwrap_or(terms.accepted), false, Recurrence::Never),
            (Kind::Absolute, None) | (Kind::Relative, _) => (NEVER, true, Recurrence::Never),
        };
        let is_bounded = terms.valid_from.is_some() || terms.valid_to.is_some();
        let bounds = (terms.valid_from.unwrap_or(NEVER.wrapping_neg()), terms.valid_to.unwrap_or(NEVER));
        Self {
            zero,
            periods: Periods::new(periods),
            validity: is_bounded.then(|| Box::new(bounds)),
            length: terms.duration.unwrap_or(u32::MAX).min(recurrence.seconds()),
            level: terms.level,
            recurrence,
            floats,
            unit: terms.unit,
        }
    }
}
