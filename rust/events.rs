//! What happens at which level, and who takes part: numbers that are kept so that they come out in order.
//!
//! Owns the orders that a sweep needs ten thousand times. Must never know what the numbers mean.
#![forbid(unsafe_code)]

use crate::allocation::index;
use crate::room::NEVER;
use std::cmp::Reverse;

/// A level and a member or limit, to be sorted.
#[inline(always)]
pub(crate) fn event(level: u32, subject: u32) -> u64 {
    (u64::from(level) << 32) | u64::from(subject)
}

/// The level of an event.
pub(crate) fn level_of(event: Option<&u64>) -> u64 {
    event.map_or(NEVER, |event| event >> 32)
}

/// The member or limit of an event.
pub(crate) fn subject_of(event: u64) -> u32 {
    u32::try_from(event & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Events by falling level, in no order within a level: by its digits, of which there are few.
pub(crate) fn sort_by_level(events: &mut Vec<u64>, spare: &mut Vec<u64>) {
    const FEW: usize = 500;
    if events.len() < FEW {
        return events.sort_unstable_by_key(|event| Reverse(*event));
    }
    for shift in [32, 43, 54] {
        let digit = |event: u64| usize::try_from((event >> shift) & 2_047).unwrap_or(0);
        let mut places = [0_usize; 2_048];
        for event in events.iter() {
            if let Some(count) = places.get_mut(digit(*event)) {
                *count = count.wrapping_add(1);
            }
        }
        if places.contains(&events.len()) {
            continue;
        }
        let mut place = 0_usize;
        for count in places.iter_mut().rev() {
            place = place.wrapping_add(std::mem::replace(count, place));
        }
        spare.clear();
        spare.resize(events.len(), 0);
        for event in events.iter() {
            let Some(place) = places.get_mut(digit(*event)) else { continue };
            if let Some(there) = spare.get_mut(*place) {
                *there = *event;
            }
            *place = place.wrapping_add(1);
        }
        std::mem::swap(events, spare);
    }
}

/// Numbers that come out in order, each once: one bit for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    words: Vec<u64>,
}

impl Places {
    /// No number, and none from `end` on.
    pub(crate) fn clear(&mut self, end: usize) {
        self.words.clear();
        self.words.resize(end.div_ceil(64), 0);
    }

    /// One more number, if it is one.
    #[inline(always)]
    pub(crate) fn add(&mut self, number: u32, is_one: bool) {
        if let Some(word) = self.words.get_mut(index(number >> 6)) {
            *word |= u64::from(is_one) << (number & 63);
        }
    }

    /// Take all of them.
    #[inline(always)]
    pub(crate) fn drain(&mut self, mut take: impl FnMut(u32)) {
        for (place, word) in (0_u32..).zip(&mut self.words) {
            while *word != 0 {
                take((place << 6) | word.trailing_zeros());
                *word &= word.wrapping_sub(1);
            }
        }
    }
}
