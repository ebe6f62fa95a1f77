//! The composite schedule of one connector: a sweep over the instants at which anything can change, never second by second.
//!
//! Implements requirements 15.1 steps 1 to 4 (CORE-SC-05, 08, 11, 21; SCA-01 to 04) and docs/design/0008 items 2 and 8.
#![forbid(unsafe_code)]

use crate::electrical::{Class, Limit};
use crate::periods::Period;
use crate::profile::{NEVER, Profile, Unit};

/// The leading period of a purpose, in the unit of its profile; `None` where it has none.
pub type Lead = Option<(Period, Unit)>;

/// A window of instants, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: i64,
    /// How many seconds it has.
    pub duration: u32,
    /// The unit of the answer.
    pub unit: Unit,
    /// The second of the query: the start of charging of whoever does not charge (SCA-11).
    pub query: i64,
}

impl Window {
    /// The first second behind it.
    #[inline(always)]
    #[must_use]
    pub fn end(&self) -> i64 {
        self.start.saturating_add(i64::from(self.duration))
    }
}

/// The profiles that may limit one connector, each list by falling stackLevel.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// Of the running transaction; empty without one.
    pub transaction: &'a [Profile],
    /// TxDefaultProfiles of the connector.
    pub own: &'a [Profile],
    /// TxDefaultProfiles of connector 0.
    pub general: &'a [Profile],
    /// Start of charging: of the transaction, or the second of the query.
    pub start: i64,
}

/// The leading period of one list at `t`, and until when that holds (SCA-01: a gap falls through to the next level).
#[inline(always)]
#[must_use]
pub fn leading(profiles: &[Profile], t: i64, start: i64) -> (Lead, i64) {
    let mut until = NEVER;
    for profile in profiles {
        let (period, next) = profile.track.at(t, start);
        until = until.min(next);
        if let Some(period) = period {
            return (Some((period, profile.track.unit)), until);
        }
    }
    (None, until)
}

impl Stack<'_> {
    /// The transaction part at `t`, and until when it holds.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, t: i64) -> (Lead, i64) {
        let (lead, until) = leading(self.transaction, t, self.start);
        if lead.is_some() {
            return (lead, until);
        }
        let (default, next) = if self.general.is_empty() { leading(self.own, t, self.start) } else { self.merged(t) };
        (default, until.min(next))
    }

    /// The leading default among own and general ones: one stack, in which an own one that is not over hides the general
    /// one of its level (SCA-03, SCA-04).
    fn merged(&self, t: i64) -> (Lead, i64) {
        let (mut own, mut general) = (self.own, self.general);
        let mut until = NEVER;
        loop {
            let candidate = match (own, general) {
                ([], []) => return (None, until),
                ([first, rest @ ..], [other, hidden @ ..]) if first.track.level == other.track.level => {
                    own = rest;
                    let over = first.track.over();
                    if t < over {
                        until = until.min(over);
                        general = hidden;
                    }
                    first
                }
                ([first, rest @ ..], [other, ..]) if first.track.level > other.track.level => {
                    own = rest;
                    first
                }
                ([first, rest @ ..], []) => {
                    own = rest;
                    first
                }
                (_, [other, rest @ ..]) => {
                    general = rest;
                    other
                }
            };
            let (period, next) = candidate.track.at(t, self.start);
            until = until.min(next);
            if let Some(period) = period {
                return (Some((period, candidate.track.unit)), until);
            }
        }
    }

    /// Whether its schedule moves with the second of the query.
    #[must_use]
    pub fn floats(&self) -> bool {
        self.own.iter().chain(self.general).any(|profile| profile.track.floats)
    }
}

/// The leading ChargePointMaxProfile period through a window: each from its instant on, the first at the window's start.
pub fn maximum(profiles: &[Profile], window: &Window, out: &mut Vec<(i64, Lead)>) {
    out.clear();
    let (mut t, end) = (window.start, window.end());
    loop {
        let (lead, until) = leading(profiles, t, window.query);
        if out.last().is_none_or(|(_, last)| *last != lead) {
            out.push((t, lead));
        }
        t = until;
        if t >= end {
            break;
        }
    }
}

/// Sweep through a window: `emit` gets each stretch's first instant and its limit; neighbours may be equal.
#[inline(always)]
pub fn sweep(
    class: &Class,
    stack: &Stack<'_>,
    maximum: &[(i64, Lead)],
    window: &Window,
    mut emit: impl FnMut(i64, Limit),
) {
    let end = window.end();
    let mut whole = maximum.iter();
    let mut present = whole.next().and_then(|(_, lead)| lead.as_ref());
    let mut upcoming = whole.next();
    let mut t = window.start;
    let (mut lead, mut until) = stack.at(t);
    loop {
        emit(t, class.composite(lead.as_ref(), present, window.unit));
        let next = upcoming.map_or(NEVER, |(at, _)| *at);
        t = until.min(next);
        if t >= end {
            break;
        }
        if t == until {
            (lead, until) = stack.at(t);
        }
        if t == next {
            present = upcoming.and_then(|(_, lead)| lead.as_ref());
            upcoming = whole.next();
        }
    }
}
