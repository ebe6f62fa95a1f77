//! Connector 0: the exact sum of the connectors' composites through a window, kept as differences per second.
//!
//! Implements requirements 15.1 step 5 (CORE-SC-12, 39; SCA-19 to 22) and docs/design/0008 item 9. What a connector adds can
//! be taken away again, so that one changed connector costs its own events and one pass over those of the window. A bitmap
//! says which seconds have events; nothing else is visited.
#![forbid(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)] // sums are bounded by Electrical::new; release builds keep overflow checks on

use crate::composite::{Lead, Window};
use crate::electrical::Electrical;
use crate::schedules::give_back;

/// From `start` seconds into the window on, `share` units of the sum and `phases` merged phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Seconds since the window's start.
    pub start: u32,
    /// 1 to 3.
    pub phases: u8,
    /// Units of the sum.
    pub share: i64,
}

/// A period of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Seconds since the window's start.
    pub start: u32,
    /// 1 to 3.
    pub phases: u8,
    /// Tenths of the unit.
    pub tenths: i64,
}

/// The sum of many connectors through one window.
#[derive(Clone, Debug, Default)]
pub struct Total {
    /// Change of the sum by second.
    differences: Vec<i64>,
    /// One bit per second with an event.
    events: Vec<u64>,
    /// How many connectors have 1, 2, 3 merged phases at the start.
    counts: [i32; 4],
    /// Change of `counts` by second; empty while no connector changes its phases inside the window.
    count_differences: Vec<[i32; 4]>,
}

impl Total {
    /// Begin with nothing. Only seconds with events are cleared: a day of one connector has few of them.
    pub fn clear(&mut self, duration: u32) {
        let seconds = usize::try_from(duration).unwrap_or(usize::MAX);
        for (word, bits) in self.events.iter_mut().enumerate() {
            while *bits != 0 {
                let place = (word << 6) | usize::try_from(bits.trailing_zeros()).unwrap_or(0);
                if let Some(difference) = self.differences.get_mut(place) {
                    *difference = 0;
                }
                *bits &= *bits - 1;
            }
        }
        self.differences.resize(seconds, 0);
        self.events.resize(seconds.div_ceil(64), 0);
        give_back(&mut self.differences);
        self.counts = [0; 4];
        self.count_differences = Vec::new();
    }

    #[inline(always)]
    fn mark(&mut self, second: u32) {
        if let Some(word) = usize::try_from(second >> 6).ok().and_then(|place| self.events.get_mut(place)) {
            *word |= 1 << (second & 63);
        }
    }

    /// Add the change from one step to the next; the first one comes from nothing.
    #[inline(always)]
    pub fn step(&mut self, last: Option<&Step>, step: &Step) {
        self.change(last, step, 1);
    }

    /// Take away what a connector has added.
    pub fn remove(&mut self, steps: &[Step]) {
        let mut last = None;
        for step in steps {
            self.change(last, step, -1);
            last = Some(step);
        }
    }

    #[inline(always)]
    fn change(&mut self, last: Option<&Step>, step: &Step, sign: i32) {
        let second = usize::try_from(step.start).unwrap_or(usize::MAX);
        let share = step.share - last.map_or(0, |last| last.share);
        if let Some(difference) = self.differences.get_mut(second) {
            *difference += i64::from(sign) * share;
        }
        self.mark(step.start);
        match last {
            None => Self::count(&mut self.counts, step.phases, sign),
            Some(last) if last.phases != step.phases => self.change_phases(last.phases, step, sign),
            Some(_) => {}
        }
    }

    #[inline(always)]
    fn count(counts: &mut [i32; 4], phases: u8, by: i32) {
        if let Some(count) = counts.get_mut(usize::from(phases)) {
            *count += by;
        }
    }

    #[cold]
    fn change_phases(&mut self, from: u8, step: &Step, sign: i32) {
        if self.count_differences.is_empty() {
            self.count_differences.resize(self.differences.len(), [0; 4]);
        }
        let place = usize::try_from(step.start).unwrap_or(usize::MAX);
        if let Some(counts) = self.count_differences.get_mut(place) {
            Self::count(counts, from, -sign);
            Self::count(counts, step.phases, sign);
        }
    }

    /// The periods of connector 0, bounded by `maximum` (the leading ChargePointMaxProfile) and the station's limit.
    pub fn answers(
        &mut self,
        electrical: &Electrical,
        window: &Window,
        maximum: &[(i64, Lead)],
        out: &mut Vec<Answer>,
    ) {
        out.clear();
        let divisor = electrical.sum_divisor(window.unit);
        self.walk(electrical, window, maximum, |start, phases, sum, bound| {
            let tenths = sum.min(bound) / divisor.max(1);
            if out.last().is_none_or(|last| last.tenths != tenths || last.phases != phases) {
                out.push(Answer { start, phases, tenths });
            }
        });
    }

    /// Go through the seconds with events: phases, the sum and its bound from there on, in units of the sum.
    #[inline(always)]
    pub fn walk(
        &mut self,
        electrical: &Electrical,
        window: &Window,
        maximum: &[(i64, Lead)],
        mut visit: impl FnMut(u32, u8, i64, i64),
    ) {
        for (at, _) in maximum {
            self.mark(u32::try_from(at - window.start).unwrap_or(u32::MAX));
        }
        let mut whole = maximum.iter().peekable();
        let mut present = None;
        let (mut sum, mut counts, mut phases, mut bound) = (0_i64, self.counts, 0_u8, i64::MAX);
        for (word, bits) in (0_u32..).zip(&self.events) {
            let mut bits = *bits;
            while bits != 0 {
                let second = (word << 6) | bits.trailing_zeros();
                bits &= bits - 1;
                let place = usize::try_from(second).unwrap_or(usize::MAX);
                sum += self.differences.get(place).copied().unwrap_or(0);
                let mut moved = false;
                if let Some(change) = self.count_differences.get(place).filter(|change| **change != [0; 4]) {
                    counts.iter_mut().zip(change).for_each(|(count, by)| *count += by);
                    moved = true;
                }
                let now = window.start + i64::from(second);
                while let Some((_, lead)) = whole.next_if(|(at, _)| *at <= now) {
                    present = lead.as_ref();
                    moved = true;
                }
                if moved {
                    let highest = (1..=3).zip(counts.iter().skip(1)).rfind(|(_, count)| **count > 0);
                    phases = highest.map_or(3, |(phases, _)| phases);
                    bound = electrical.station(window.unit, phases);
                    if let Some(lead) = present {
                        bound = bound.min(electrical.bound_of(lead, window.unit, phases));
                    }
                }
                visit(second, phases, sum, bound);
            }
        }
    }
}
