//! Every composite schedule of a charge point through one window, kept current as profiles and transactions change.
//!
//! Owns the last window that was asked for: a change recomputes the connectors that it concerns and patches connector 0
//! (requirements CORE-SC-45; goals in performance.md P2). Another window, or a change of a profile of connector 0, computes
//! all. Must never keep what a changed profile has made untrue: [`Profiles::dirty`] says what has changed.
#![forbid(unsafe_code)]

use crate::composite::{Lead, Window, maximum, sweep};
use crate::electrical::Limit;
use crate::profiles::Profiles;
use crate::total::{Answer, Step, Total};

/// Longest window whose connectors can be patched; a longer one is computed anew after any change.
const PATCHED_S: u32 = 86_400;
/// Longest window of connector 0 that is summed at once; longer ones are summed piece by piece.
pub const SUMMED_S: u32 = 604_800;

/// How many connectors are read ahead of the sweep.
const AHEAD: u32 = 64;

/// Part of a connector in a list that all connectors share.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of<'a, T>(&self, list: &'a [T]) -> &'a [T] {
        let (Ok(start), Ok(end)) = (usize::try_from(self.start), usize::try_from(self.end)) else { return &[] };
        list.get(start..end).unwrap_or_default()
    }
}

/// A stretch of a connector's composite; limits of one connector fit 32 bits of tenths (electrical.rs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Seconds since the window's start.
    pub start: u32,
    /// Tenths of the unit.
    pub tenths: u32,
    /// 1 to 3.
    pub phases: u8,
}

impl Piece {
    #[inline(always)]
    fn new(window: &Window, t: i64, limit: &Limit) -> Self {
        let start = u32::try_from(t.wrapping_sub(window.start)).unwrap_or(u32::MAX);
        Self { start, tenths: u32::try_from(limit.tenths).unwrap_or(u32::MAX), phases: limit.phases }
    }

    /// Append it to the pieces of its connector, which begin at `from`, unless it only goes on with the last one.
    #[inline(always)]
    fn join(self, pieces: &mut Vec<Self>, from: usize) {
        let last = pieces.get(from..).and_then(<[Self]>::last);
        if last.is_none_or(|last| (last.tenths, last.phases) != (self.tenths, self.phases)) {
            pieces.push(self);
        }
    }
}

/// A period of any connector: seconds since the window's start, tenths of the unit, phases.
pub type Entry = (u32, i64, u8);

/// The schedules of all connectors through one window.
#[derive(Clone, Debug, Default)]
pub struct Schedules {
    window: Option<Window>,
    maximum: Vec<(i64, Lead)>,
    pieces: Vec<Piece>,
    piece_spans: Vec<Span>,
    steps: Vec<Step>,
    step_spans: Vec<Span>,
    total: Total,
    zero: Vec<Answer>,
    zero_is_current: bool,
    /// Connectors that have been computed again since all were.
    patches: usize,
    /// For one connector in a window that is not kept.
    single: Vec<Piece>,
    single_maximum: Vec<(i64, Lead)>,
}

fn index(list: usize) -> u32 {
    u32::try_from(list).unwrap_or(u32::MAX)
}

/// A long window must not keep its memory for ever.
pub(crate) fn give_back<T>(list: &mut Vec<T>) {
    if list.capacity() / 8 > list.len().max(1024) {
        list.shrink_to(list.len().saturating_mul(2));
    }
}

impl Schedules {
    /// Make `window` the kept one and every connector in it current; how many periods they have together, about.
    ///
    /// # Errors
    /// When the connectors would have more than `most` periods together: at which connector; nothing is kept then.
    pub fn refresh(&mut self, profiles: &mut Profiles, window: &Window, most: usize) -> Result<usize, u32> {
        let dirty = std::mem::take(&mut profiles.dirty);
        let is_kept = self.window.as_ref() == Some(window) && !dirty.all;
        // Patches leave what they replace behind in the shared lists.
        let is_worn = self.patches > self.piece_spans.len().saturating_add(64);
        if is_kept && (dirty.connectors.is_empty() || (window.duration <= PATCHED_S && !is_worn)) {
            for connector in &dirty.connectors {
                self.patch(profiles, window, *connector);
            }
            return Ok(self.pieces.len());
        }
        self.compute(profiles, window, most)
    }

    fn compute(&mut self, profiles: &Profiles, window: &Window, most: usize) -> Result<usize, u32> {
        maximum(profiles.maxima(), window, &mut self.maximum);
        self.pieces.clear();
        self.piece_spans.clear();
        self.steps.clear();
        self.step_spans.clear();
        self.patches = 0;
        self.zero_is_current = false;
        self.window = None;
        self.total.clear(window.duration);
        for connector in 1..=profiles.connectors() {
            if connector % AHEAD == 1 {
                profiles.touch(connector..connector.saturating_add(AHEAD));
            }
            let (pieces, steps) = self.connector(profiles, window, connector);
            if self.pieces.len() > most {
                return Err(connector);
            }
            self.piece_spans.push(pieces);
            if window.duration <= PATCHED_S {
                self.step_spans.push(steps);
            } else {
                self.steps.clear();
            }
        }
        self.window = Some(*window);
        give_back(&mut self.pieces);
        give_back(&mut self.steps);
        Ok(self.pieces.len())
    }

    /// Compute one connector, appending to the shared lists, and add it to the sum.
    fn connector(&mut self, profiles: &Profiles, window: &Window, connector: u32) -> (Span, Span) {
        let (pieces, steps, total) = (&mut self.pieces, &mut self.steps, &mut self.total);
        let (piece_start, step_start) = (pieces.len(), steps.len());
        if let Some((class, stack)) = profiles.stack(connector, window.query) {
            let mut last: Option<Step> = None;
            sweep(class, &stack, &self.maximum, window, |t, limit| {
                let piece = Piece::new(window, t, &limit);
                piece.join(pieces, piece_start);
                let step = Step { start: piece.start, phases: limit.phases, share: class.share(&limit, window.unit) };
                if last.is_none_or(|last| (last.share, last.phases) != (step.share, step.phases)) {
                    total.step(last.as_ref(), &step);
                    steps.push(step);
                    last = Some(step);
                }
            });
        }
        let span = |start: usize, end: usize| Span { start: index(start), end: index(end) };
        (span(piece_start, self.pieces.len()), span(step_start, self.steps.len()))
    }

    fn patch(&mut self, profiles: &Profiles, window: &Window, connector: u32) {
        let Some(place) = usize::try_from(connector).ok().and_then(|connector| connector.checked_sub(1)) else {
            return;
        };
        let Some(old) = self.step_spans.get(place) else { return };
        self.total.remove(old.of(&self.steps));
        let (pieces, steps) = self.connector(profiles, window, connector);
        if let (Some(kept_pieces), Some(kept_steps)) = (self.piece_spans.get_mut(place), self.step_spans.get_mut(place))
        {
            (*kept_pieces, *kept_steps) = (pieces, steps);
        }
        self.patches = self.patches.saturating_add(1);
        self.zero_is_current = false;
    }

    /// The pieces of connector 1 to N through the kept window.
    fn of(&self, connector: u32) -> &[Piece] {
        let place = usize::try_from(connector).ok().and_then(|connector| connector.checked_sub(1));
        place.and_then(|place| self.piece_spans.get(place)).map_or(&[], |span| span.of(&self.pieces))
    }

    /// The periods of connector 0 to N through the kept window: start, tenths, phases. Connector 0's are those of the last
    /// [`Schedules::zero`].
    pub fn kept(&self, connector: u32) -> impl Iterator<Item = Entry> + Clone + '_ {
        let zero = if connector == 0 { self.zero.as_slice() } else { &[] };
        let zero = zero.iter().map(|answer| (answer.start, answer.tenths, answer.phases));
        zero.chain(self.of(connector).iter().map(|piece| (piece.start, i64::from(piece.tenths), piece.phases)))
    }

    /// The pieces of connector 1 to N: out of the kept window if it is this one, else computed for it alone.
    pub fn one(&mut self, profiles: &mut Profiles, window: &Window, connector: u32) -> &[Piece] {
        let is_kept = self.window.as_ref() == Some(window) && !profiles.dirty.all && window.duration <= PATCHED_S;
        if is_kept && self.refresh(profiles, window, usize::MAX).is_ok() {
            return self.of(connector);
        }
        maximum(profiles.maxima(), window, &mut self.single_maximum);
        let pieces = &mut self.single;
        give_back(pieces);
        pieces.clear();
        if let Some((class, stack)) = profiles.stack(connector, window.query) {
            sweep(class, &stack, &self.single_maximum, window, |t, limit| {
                Piece::new(window, t, &limit).join(pieces, 0)
            });
        }
        pieces
    }

    /// The periods of connector 0 through `window`, which becomes the kept one.
    pub fn zero(&mut self, profiles: &mut Profiles, window: &Window) -> &[Answer] {
        if window.duration > SUMMED_S {
            self.long_zero(profiles, window);
            return &self.zero;
        }
        let _ = self.refresh(profiles, window, usize::MAX);
        self.zero_of_kept(profiles, window)
    }

    /// The periods of connector 0 through the kept window, which is `window`.
    pub fn zero_of_kept(&mut self, profiles: &Profiles, window: &Window) -> &[Answer] {
        if !self.zero_is_current {
            let mut zero = std::mem::take(&mut self.zero);
            self.total.answers(profiles.electrical(), window, &self.maximum, &mut zero);
            give_back(&mut zero);
            self.zero = zero;
            self.zero_is_current = true;
        }
        &self.zero
    }

    /// The exact sum of the connectors at each instant of the window at which anything of it changes: seconds since the
    /// window's start, phases, units of the sum.
    pub fn sums(&mut self, profiles: &mut Profiles, window: &Window) -> Vec<(u32, u8, i64)> {
        let _ = self.refresh(profiles, window, usize::MAX);
        let mut sums = Vec::new();
        let visit = |start, phases, sum, _| sums.push((start, phases, sum));
        self.total.walk(profiles.electrical(), window, &self.maximum, visit);
        sums
    }

    fn long_zero(&mut self, profiles: &mut Profiles, window: &Window) {
        let mut joined: Vec<Answer> = Vec::new();
        let mut begun = 0_u32;
        while begun < window.duration {
            let duration = window.duration.saturating_sub(begun).min(SUMMED_S);
            let start = window.start.saturating_add(i64::from(begun));
            let part = Window { start, duration, ..*window };
            for answer in self.zero(profiles, &part) {
                let answer = Answer { start: answer.start.saturating_add(begun), ..*answer };
                if joined.last().is_none_or(|last| (last.tenths, last.phases) != (answer.tenths, answer.phases)) {
                    joined.push(answer);
                }
            }
            begun = begun.saturating_add(duration);
        }
        self.zero = joined;
        self.window = None;
    }
}
