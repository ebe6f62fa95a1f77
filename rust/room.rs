//! What one limit has left in an allocation: exact sums of loads by kind, and the line over the level that they make.
//!
//! Owns the arithmetic of units. Must never know who the members are. Sums are kept without a check at each step, of
//! which ten thousand members make a hundred thousand: only what fits is ever taken. Debug builds check each step, and
//! [`Room::is_sound`] says at the end whether a sum has left its range.
#![forbid(unsafe_code)]

use crate::allocation::{Limit, Loads};
use std::iter::zip;

/// No level at all.
pub(crate) const NEVER: u64 = u64::MAX;

/// Units of a limit: L1, L2, L3, power.
pub(crate) type Units = [u64; 4];

/// What nobody exhausts: members take their steps from it too, and all they have in a limit is less than that.
const PLENTY: Units = [u64::MAX; 4];

#[inline(always)]
fn more(sum: &mut Units, units: Units) {
    debug_assert!(zip(*sum, units).all(|(sum, units)| sum.checked_add(units).is_some()), "{sum:?} + {units:?}");
    zip(sum, units).for_each(|(sum, units)| *sum = sum.wrapping_add(units));
}

#[inline(always)]
fn less(sum: &mut Units, units: Units) {
    debug_assert!(fits(units, *sum), "{sum:?} - {units:?}");
    zip(sum, units).for_each(|(sum, units)| *sum = sum.wrapping_sub(units));
}

#[inline(always)]
fn fits(units: Units, room: Units) -> bool {
    // Every kind is looked at: a guess where the first one does not fit would be wrong too often.
    zip(units, room).fold(true, |is_so, (units, room)| is_so & (units <= room))
}

#[inline(always)]
fn times(units: Units, steps: u64) -> Units {
    units.map(|units| units.wrapping_mul(steps))
}

/// One limit during an allocation. At a level its members together leave `free - slope * level`.
#[derive(Clone, Debug)]
#[repr(align(64))] // two lines of the cache: ten thousand members look at three of them each, in no order
pub(crate) struct Room {
    /// What is left by all members that do not follow the level.
    free: Units,
    /// What those that follow it take per step.
    slope: Units,
    /// While it is judged: all bounds. While members are admitted: minimums; of a limit that is not tight only of those
    /// that do not follow the level from its beginning. Then: what the level has left while it is full, else plenty.
    sum: Units,
    /// All bits of the kinds that are limited, none of the others.
    counted: Loads,
    /// The level at which it is to be looked at, [`NEVER`] while no member follows the level.
    pub(crate) queued: u64,
    /// Nobody gets anything: what is held is above the limit.
    pub(crate) is_exceeded: bool,
    /// Not all minimums fit together.
    pub(crate) is_tight: bool,
    /// Not all bounds fit together.
    pub(crate) is_binding: bool,
    /// Its slope has grown.
    pub(crate) is_steeper: bool,
}

impl Room {
    /// A limit that nobody counts for yet.
    pub(crate) fn new(limit: &Limit) -> Self {
        Self {
            free: limit.caps.map(|cap| cap.unwrap_or(0)),
            slope: [0; 4],
            sum: [0; 4],
            counted: limit.caps.map(|cap| if cap.is_some() { u32::MAX } else { 0 }),
            queued: NEVER,
            is_exceeded: false,
            is_tight: false,
            is_binding: false,
            is_steeper: false,
        }
    }

    /// Loads by a number of steps, 0 of a kind that is not limited.
    #[inline(always)]
    fn units(&self, loads: Loads, steps: u32) -> Units {
        let ([a, b, c, d], [e, f, g, h]) = (self.counted, loads);
        // Two numbers of 32 bits make one of 64.
        [a & e, b & f, c & g, d & h].map(|load| u64::from(load).wrapping_mul(u64::from(steps)))
    }

    /// A claim that cannot be taken back counts.
    pub(crate) fn hold(&mut self, loads: Loads, steps: u32) {
        let claim = self.units(loads, steps);
        for (free, units) in zip(&mut self.free, claim) {
            let left = free.checked_sub(units);
            self.is_exceeded |= left.is_none();
            *free = left.unwrap_or(0);
        }
    }

    /// A member wants a share, up to its bound, and follows the level from its beginning, the lowest minimum.
    #[inline(always)]
    pub(crate) fn want(&mut self, loads: Loads, bound: u32) {
        let (most, step) = (self.units(loads, bound), self.units(loads, 1));
        more(&mut self.sum, most);
        more(&mut self.slope, step);
    }

    /// A member wants a share, up to its bound, and follows the level later; its minimum counts apart.
    pub(crate) fn want_later(&mut self, minimums: &mut Units, loads: Loads, minimum: u32, bound: u32) {
        let most = self.units(loads, bound);
        more(&mut self.sum, most);
        more(minimums, self.units(loads, minimum));
    }

    /// It is not admitted.
    pub(crate) fn refuse(&mut self, loads: Loads, minimum: u32, begins: bool) {
        if begins {
            let step = self.units(loads, 1);
            less(&mut self.slope, step);
        } else {
            let least = self.units(loads, minimum);
            less(&mut self.sum, least);
        }
    }

    /// Whether all minimums fit together, and all bounds. A limit that is tight begins to admit one by one.
    pub(crate) fn judge(&mut self, minimums: Units, lowest: u32) {
        self.is_binding = !fits(self.sum, self.free);
        self.sum = minimums;
        let mut least = self.sum;
        more(&mut least, times(self.slope, u64::from(lowest)));
        if !fits(least, self.free) {
            self.admit_each();
        }
    }

    /// The minimums are admitted one by one.
    pub(crate) fn admit_each(&mut self) {
        self.is_tight = true;
        self.is_binding = true;
        self.sum = [0; 4];
        self.slope = [0; 4];
    }

    /// Whether one more minimum fits.
    #[inline(always)]
    pub(crate) fn has_room(&self, loads: Loads, minimum: u32) -> bool {
        let mut left = self.free;
        less(&mut left, self.sum);
        fits(self.units(loads, minimum), left)
    }

    /// One more is admitted.
    #[inline(always)]
    pub(crate) fn admit(&mut self, loads: Loads, minimum: u32, begins: bool) {
        let (least, step) = (self.units(loads, minimum), self.units(loads, u32::from(begins)));
        more(&mut self.sum, least);
        more(&mut self.slope, step);
    }

    /// The level begins, at the lowest minimum.
    pub(crate) fn open(&mut self, lowest: u32) {
        let sum = self.sum;
        less(&mut self.free, sum);
        if self.is_tight {
            more(&mut self.free, times(self.slope, u64::from(lowest)));
        }
        self.sum = PLENTY;
    }

    /// A member follows the level, at its minimum.
    #[inline(always)]
    pub(crate) fn follow(&mut self, loads: Loads, minimum: u32) {
        let (least, step) = (self.units(loads, minimum), self.units(loads, 1));
        more(&mut self.free, least);
        more(&mut self.slope, step);
    }

    /// A member does not follow the level any more: it stays where it is.
    #[inline(always)]
    pub(crate) fn leave(&mut self, loads: Loads, share: u32) {
        let (taken, step) = (self.units(loads, share), self.units(loads, 1));
        less(&mut self.free, taken);
        less(&mut self.slope, step);
    }

    /// The highest level that fits while nobody joins or leaves.
    pub(crate) fn level(&self) -> u64 {
        // The least quotient is found by products, so that one division is enough.
        let kinds = zip(self.free, self.slope).filter(|(_, slope)| *slope > 0);
        let product = |one: u64, other: u64| u128::from(one).wrapping_mul(u128::from(other));
        let least =
            kinds.reduce(|one, other| if product(other.0, one.1) < product(one.0, other.1) { other } else { one });
        least.and_then(|(free, slope)| free.checked_div(slope)).unwrap_or(NEVER)
    }

    /// Begin to give the last steps away.
    pub(crate) fn fill(&mut self, level: u64) {
        self.sum = self.free;
        less(&mut self.sum, times(self.slope, level));
    }

    /// The last steps are given away.
    pub(crate) fn rest(&mut self) {
        self.sum = PLENTY;
    }

    /// Whether one step more is left.
    #[inline(always)]
    pub(crate) fn has_step(&self, loads: Loads) -> bool {
        fits(self.units(loads, 1), self.sum)
    }

    /// Give a step away.
    #[inline(always)]
    pub(crate) fn take_step(&mut self, loads: Loads) {
        let step = self.units(loads, 1);
        less(&mut self.sum, step);
    }

    /// Whether nobody follows the level any more, and what was taken is within what there was.
    pub(crate) fn is_sound(&self, limit: &Limit) -> bool {
        self.slope == [0; 4] && fits(self.free, limit.caps.map(|cap| cap.unwrap_or(0)))
    }
}
