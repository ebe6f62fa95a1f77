//! The configured limits of connectors and station, and the exact arithmetic between A and W.
//!
//! Of a connector with the nominal voltage p / q V (in lowest terms) a current is kept as an integer of 1 / (6000 p) A: a
//! limit of `a` tenths of A is a * 600 p of them, one of `w` tenths of W over `n` phases is w * 600 q / n, one of `m` mA is
//! m * 6 p and one of `m` mW is m * 6 q / n, all without a remainder. So limits in both units compare exactly, and the only
//! rounding is the one of an answer (requirements 15.1 step 6, SCA-18, SCA-22). Sums over connectors of different voltages
//! stand in units of 1 / (6000 L), L the least common multiple of the p (in A) or of the q (in W).
//!
//! Must never overflow: [`Electrical::new`] refuses a station whose largest sum could leave 62 bits.
#![forbid(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)] // bounded by Electrical::new; release builds keep overflow checks on

use crate::periods::Period;
use crate::profile::Unit;
use std::collections::HashMap;

/// Tenths above which a profile's limit is above every connector's maximum, in either unit: 859 MW, or MA.
const CLAMP: i64 = 1 << 33;
/// The largest sum that [`Electrical::new`] admits.
const MOST: i128 = 1 << 62;
/// A connector's voltage in mV, its wired phases, its maximum in mA per phase or in mW, its default in mA per phase.
pub type Ratings = (u32, u8, Option<u64>, Option<u64>, Option<u64>);
/// The station's voltage in mV, its maximum in mA per phase, in mW.
pub type StationRatings = (u32, Option<u64>, Option<u64>);

/// Ranges that [`Electrical::new`] admits (hub.toml is narrower).
const MILLIVOLTS: std::ops::RangeInclusive<u32> = 1_000..=1_500_000;
const MOST_MILLIAMPERES: u64 = 100_000_000;
const MOST_MILLIWATTS: u64 = 100_000_000_000;
/// So that tenths of an answer fit 32 bits.
const MOST_MICROWATTS: u64 = 400_000_000_000_000;

const fn gcd(one: i64, other: i64) -> i64 {
    let (mut one, mut other) = (one, other);
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

fn lcm(one: i64, other: i64) -> Option<i64> {
    (one / gcd(one, other)).checked_mul(other)
}

/// A limit in exact units, and what it is in tenths of A and of W, rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Units of 1 / (6000 p) A per phase.
    pub exact: i64,
    /// Tenths of A, of W.
    pub tenths: [i64; 2],
}

/// What connectors of one kind have in common.
#[derive(Clone, Debug)]
pub struct Class {
    /// Wired phases.
    pub phases: u8,
    /// Units per tenth, by unit of the limit and merged phases.
    factors: [[i64; 4]; 2],
    /// Units per tenth of an answer, by its unit; an answer in W counts every phase.
    divisors: [i64; 2],
    /// The configured maximum of connector and station, by merged phases.
    maximum: [Bound; 4],
    /// The configured default, by merged phases.
    default: Option<[Bound; 4]>,
    /// Which of the two is `maximum`, by merged phases: whether it is the station's.
    pub station_is_less: [bool; 4],
    /// Whether the station has a limit of its own.
    pub has_station: bool,
    /// Units of a sum per unit, in A and in W.
    weights: [i64; 2],
}

/// A piece of a composite: the exact limit, rounded for the unit that was asked for, and the merged phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Units of 1 / (6000 p) A per phase.
    pub exact: i64,
    /// Tenths of the unit that was asked for.
    pub tenths: i64,
    /// 1 to 3.
    pub phases: u8,
}

#[inline(always)]
fn by<T: Copy + Default>(table: &[T; 4], phases: u8) -> T {
    table.get(usize::from(phases)).copied().unwrap_or_default()
}

/// numberPhases of a period, 3 where it is absent (OCPP 1.6 section 7.14).
#[inline(always)]
const fn given(phases: u8) -> u8 {
    if phases == 0 { 3 } else { phases }
}

impl Class {
    fn new(ratings: &Ratings, station: &StationRatings) -> Self {
        let (millivolts, phases, ma, mw, default_ma) = *ratings;
        let shared = gcd(i64::from(millivolts), 1000);
        let (p, q) = (i64::from(millivolts) / shared, 1000 / shared);
        let factors = [[600 * p; 4], [0, 600 * q, 300 * q, 200 * q]];
        let divisors = [600 * p, 600 * q];
        let mut class = Self {
            phases,
            factors,
            divisors,
            maximum: [Bound::default(); 4],
            default: None,
            station_is_less: [false; 4],
            has_station: station.1.or(station.2).is_some(),
            weights: [1, 1],
        };
        let milli = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let amperes = |ma: u64| milli(ma).saturating_mul(6 * p);
        let watts = |mw: u64, n: i64| milli(mw).saturating_mul(6 * q / n);
        let mut default = [Bound::default(); 4];
        for n in 1..=3_u8 {
            let least = |ma: Option<u64>, mw: Option<u64>| {
                let ma = ma.map_or(i64::MAX, amperes);
                mw.map_or(ma, |mw| watts(mw, i64::from(n)).min(ma))
            };
            let (own, whole) = (least(ma, mw), least(station.1, station.2));
            let place = usize::from(n);
            if let Some(bound) = class.maximum.get_mut(place) {
                *bound = Self::bound(divisors, own.min(whole), n);
            }
            if let Some(station) = class.station_is_less.get_mut(place) {
                *station = whole < own;
            }
            if let (Some(bound), Some(ma)) = (default.get_mut(place), default_ma) {
                *bound = Self::bound(divisors, amperes(ma), n);
            }
        }
        class.default = default_ma.map(|_| default);
        class
    }

    fn bound([amperes, watts]: [i64; 2], exact: i64, phases: u8) -> Bound {
        let in_watts = i128::from(exact) * i128::from(phases) / i128::from(watts);
        Bound { exact, tenths: [exact / amperes, i64::try_from(in_watts).unwrap_or(i64::MAX)] }
    }

    /// The smallest number of phases that applies: wired ones and numberPhases of each period (SCA-17, CORE-SC-28).
    #[inline(always)]
    #[must_use]
    pub fn merged(&self, own: Option<&(Period, Unit)>, whole: Option<&(Period, Unit)>) -> u8 {
        let mut phases = self.phases;
        if let Some((period, _)) = own {
            phases = phases.min(given(period.phases));
        }
        if let Some((period, _)) = whole {
            phases = phases.min(given(period.phases));
        }
        phases
    }

    /// A profile's limit in exact units.
    #[inline(always)]
    #[must_use]
    pub fn exact(&self, limit: i64, unit: Unit, phases: u8) -> i64 {
        let [amperes, watts] = &self.factors;
        limit.min(CLAMP) * by(if unit == Unit::A { amperes } else { watts }, phases)
    }

    /// The configured maximum, of connector and station.
    #[inline(always)]
    #[must_use]
    pub fn maximum(&self, phases: u8) -> Bound {
        by(&self.maximum, phases)
    }

    /// The configured default, which holds without a profile.
    #[inline(always)]
    #[must_use]
    pub fn default(&self, phases: u8) -> Option<Bound> {
        self.default.as_ref().map(|default| by(default, phases))
    }

    /// The composite of a transaction part and a part of the whole charge point (requirements 15.1 step 4).
    #[inline(always)]
    #[must_use]
    pub fn composite(&self, own: Option<&(Period, Unit)>, whole: Option<&(Period, Unit)>, unit: Unit) -> Limit {
        let phases = self.merged(own, whole);
        let place = unit.index();
        let of = |bound: Bound| {
            let [amperes, watts] = bound.tenths;
            (bound.exact, if place == 0 { amperes } else { watts })
        };
        let mut least = of(self.maximum(phases));
        let mut take = |source: (i64, i64)| {
            if source.0 < least.0 {
                least = source;
            }
        };
        let from_profile = |(period, own): &(Period, Unit)| {
            let exact = self.exact(period.limit, *own, phases);
            // A limit in the unit of the answer is its own rounding.
            (exact, if *own == unit { period.limit } else { -1 })
        };
        match own {
            Some(own) => take(from_profile(own)),
            None => {
                if let Some(default) = self.default(phases) {
                    take(of(default));
                }
            }
        }
        if let Some(whole) = whole {
            take(from_profile(whole));
        }
        let (exact, mut tenths) = least;
        if tenths < 0 {
            let [amperes, watts] = self.divisors;
            tenths = if place == 0 { exact / amperes } else { exact * i64::from(phases) / watts };
        }
        Limit { exact, tenths, phases }
    }

    /// What a limit adds to the sum of connector 0, in units of [`Electrical::sum_divisor`].
    #[inline(always)]
    #[must_use]
    pub const fn share(&self, limit: &Limit, unit: Unit) -> i64 {
        let [amperes, watts] = self.weights;
        #[allow(clippy::as_conversions)] // widening, in a const fn
        match unit {
            Unit::A => limit.exact * amperes,
            Unit::W => limit.exact * limit.phases as i64 * watts,
        }
    }
}

/// The classes of a charge point's connectors and the limits of the whole.
#[derive(Clone, Debug)]
pub struct Electrical {
    classes: Vec<Class>,
    /// Nominal voltage p / q of the station.
    voltage: (i64, i64),
    station: StationRatings,
    /// L in A and in W.
    common: [i64; 2],
}

fn check(ratings: &Ratings, what: &str) -> Result<(), String> {
    let (millivolts, phases, ma, mw, default_ma) = ratings;
    if !MILLIVOLTS.contains(millivolts) {
        return Err(format!("{what}: a nominal voltage of 1 to 1500 V is allowed"));
    }
    if !(1..=3).contains(phases) {
        return Err(format!("{what}: 1 to 3 phases are allowed"));
    }
    if ma.is_some() == mw.is_some() {
        return Err(format!("{what}: exactly one maximum, in A or in W, is needed"));
    }
    if ma.max(default_ma).is_some_and(|ma| ma > MOST_MILLIAMPERES) || mw.is_some_and(|mw| mw > MOST_MILLIWATTS) {
        return Err(format!("{what}: at most 100,000 A or 100 MW are allowed"));
    }
    if ma.is_some_and(|ma| ma.saturating_mul(u64::from(*millivolts)).saturating_mul(3) > MOST_MICROWATTS) {
        return Err(format!("{what}: at most 400 MW are allowed"));
    }
    Ok(())
}

impl Electrical {
    /// The classes of `connectors`, and for each connector its class.
    ///
    /// # Errors
    /// Values out of range, and voltages with which sums would not be exact in 64 bits.
    pub fn new(connectors: &[Ratings], station: StationRatings) -> Result<(Self, Vec<u32>), String> {
        check(&(station.0, 3, Some(0), None, None), "station")?;
        let mut found: HashMap<Ratings, (u32, i128)> = HashMap::new();
        let mut places = Vec::with_capacity(connectors.len());
        let mut classes = Vec::new();
        for ratings in connectors {
            let next = u32::try_from(classes.len()).map_err(|_| "too many connectors".to_owned())?;
            let (place, members) = match found.get_mut(ratings) {
                Some(known) => known,
                None => {
                    check(ratings, "connector")?;
                    classes.push(Class::new(ratings, &station));
                    found.entry(*ratings).or_insert((next, 0))
                }
            };
            *members += 1;
            places.push(*place);
        }
        let shared = gcd(i64::from(station.0), 1000);
        let voltage = (i64::from(station.0) / shared, 1000 / shared);
        let uncommon = || "nominal_voltage_v: too many different voltages to add their currents exactly".to_owned();
        let mut common = [voltage.0, voltage.1];
        for class in &classes {
            let [amperes, watts] = &mut common;
            *amperes = lcm(*amperes, class.divisors[0] / 600).ok_or_else(uncommon)?;
            *watts = lcm(*watts, class.divisors[1] / 600).ok_or_else(uncommon)?;
        }
        for class in &mut classes {
            class.weights = [common[0] / (class.divisors[0] / 600), common[1] / (class.divisors[1] / 600)];
        }
        let mut most = [0_i128; 2];
        for (place, members) in found.values() {
            let Some(class) = usize::try_from(*place).ok().and_then(|place| classes.get(place)) else { continue };
            let largest = |of: &dyn Fn(u8) -> i128| (1..=3).map(of).max().unwrap_or(0) * members;
            let exact = |n: u8| i128::from(class.maximum(n).exact);
            most[0] = most[0].saturating_add(largest(&|n| exact(n) * i128::from(class.weights[0])));
            most[1] = most[1].saturating_add(largest(&|n| exact(n) * i128::from(n) * i128::from(class.weights[1])));
        }
        let is_divisible = common.iter().all(|common| common.checked_mul(600).is_some());
        if !is_divisible || most[0].max(most[1]) >= MOST {
            return Err(uncommon());
        }
        Ok((Self { classes, voltage, station, common }, places))
    }

    /// A class by its place.
    #[inline(always)]
    #[must_use]
    pub fn class(&self, place: u32) -> Option<&Class> {
        self.classes.get(usize::try_from(place).ok()?)
    }

    /// Units of a sum per tenth of an answer.
    #[must_use]
    pub const fn sum_divisor(&self, unit: Unit) -> i64 {
        match unit {
            Unit::A => 600 * self.common[0],
            Unit::W => 600 * self.common[1],
        }
    }

    /// `thousandths` of `own` in units of a sum in `unit`, converted with the station's voltage and `phases`; what is
    /// beyond every sum saturates.
    fn in_sum(&self, thousandths: i128, own: Unit, unit: Unit, phases: u8) -> i64 {
        let (p, q) = (i128::from(self.voltage.0), i128::from(self.voltage.1));
        let per_unit = i128::from(self.sum_divisor(unit)) / 100; // units of the sum per thousandth
        let n = i128::from(phases.max(1));
        let (by, over) = match (own, unit) {
            (Unit::A, Unit::A) | (Unit::W, Unit::W) => (1, 1),
            (Unit::W, Unit::A) => (q, p * n),
            (Unit::A, Unit::W) => (p * n, q),
        };
        // What leaves 127 bits before it is divided by less than 2^23 is beyond 63 bits after it.
        let exact = thousandths.checked_mul(per_unit).and_then(|exact| exact.checked_mul(by));
        exact.and_then(|exact| i64::try_from(exact / over).ok()).unwrap_or(i64::MAX)
    }

    /// A period of a ChargePointMaxProfile in units of a sum.
    #[must_use]
    pub fn bound_of(&self, (period, own): &(Period, Unit), unit: Unit, phases: u8) -> i64 {
        self.in_sum(i128::from(period.limit) * 100, *own, unit, phases)
    }

    /// The station's own limit in units of a sum.
    #[must_use]
    pub fn station(&self, unit: Unit, phases: u8) -> i64 {
        let of = |milli: Option<u64>, own| milli.map_or(i64::MAX, |m| self.in_sum(i128::from(m), own, unit, phases));
        of(self.station.1, Unit::A).min(of(self.station.2, Unit::W))
    }
}
