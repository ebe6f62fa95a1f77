//! Composite schedules as JSON text, and which of them say something new.
//!
//! Implements the values of `charging_schedules` and `connector.schedule` (design rpc.md) and docs/design/0008 item 12.
#![forbid(unsafe_code)]

use crate::composite::Window;
use crate::explain::explain;
use crate::profile::Profile;
use crate::profiles::Profiles;
use crate::schedules::{Entry, Schedules, give_back};
use crate::time;

fn number(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A limit of so many tenths, as a JSON number with one decimal.
pub fn write_tenths(out: &mut Vec<u8>, tenths: i64) {
    number(out, tenths.wrapping_div(10));
    let digit = u8::try_from(tenths.wrapping_rem(10)).unwrap_or(0);
    out.extend_from_slice(&[b'.', b'0'.wrapping_add(digit)]);
}

/// Everything of a ChargingSchedule up to its first period; `startSchedule` only where it belongs.
fn head(window: &Window, with_start: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"{\"chargingRateUnit\":\"");
    out.extend_from_slice(window.unit.name().as_bytes());
    out.extend_from_slice(b"\",\"duration\":");
    number(&mut out, i64::from(window.duration));
    if with_start {
        out.extend_from_slice(b",\"startSchedule\":\"");
        write_second(&mut out, window.start);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"chargingSchedulePeriod\":[");
    out
}

/// The seconds of the years 1 to 9999, which every reader of date-times knows.
pub const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A whole second as a date-time; beyond those years the nearest one of them.
pub fn write_second(out: &mut Vec<u8>, second: i64) {
    if time::write(out, second.clamp(*SECONDS.start(), *SECONDS.end()).saturating_mul(1000)) {
        out.truncate(out.len().saturating_sub(".000Z".len()));
        out.push(b'Z');
    }
}

fn write(out: &mut Vec<u8>, head: &[u8], entries: impl Iterator<Item = Entry>) {
    out.extend_from_slice(head);
    for (start, tenths, phases) in entries {
        if start == 0 {
            out.extend_from_slice(b"{\"startPeriod\":0,\"limit\":");
        } else {
            out.extend_from_slice(b"{\"startPeriod\":");
            number(out, i64::from(start));
            out.extend_from_slice(b",\"limit\":");
        }
        write_tenths(out, tenths);
        let mut end = *b",\"numberPhases\":0},";
        let [.., digit, _, _] = &mut end;
        *digit = b'0'.wrapping_add(phases);
        out.extend_from_slice(&end);
    }
    out.pop();
    out.extend_from_slice(b"]}");
}

/// A shorter window where only the first connectors' periods have fitted: nine tenths of what they let expect, always less
/// than before, in whole minutes while it has several, down to the second that always fits.
fn shorter(duration: u32, reached: u32, connectors: u32) -> u32 {
    let guess = f64::from(duration) * (f64::from(reached) / f64::from(connectors)).min(0.9) * 0.9;
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    let guess = guess as u32;
    if guess >= 120 { guess.saturating_sub(guess.wrapping_rem(60)) } else { guess.max(1) }
}

/// Periods of all connectors together that are told at once: a day of ten thousand connectors with 24 periods each and more,
/// some 20 MB of text.
pub const MOST_PERIODS: usize = 400_000;

/// The composite schedules of a charge point as others see them.
#[derive(Clone, Debug, Default)]
pub struct Published {
    schedules: Schedules,
    /// What [`Published::changes`] last said, by connector: from the second on, tenths and phases.
    said: Vec<Box<[(i64, i64, u8)]>>,
    is_silent: bool,
    /// The last value of [`Published::all`], whose memory is used again.
    text: Vec<u8>,
    /// The window that was last wanted for all connectors, and how long the one was that was taken.
    fitted: Option<(Window, u32)>,
}

impl Published {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    fn entries(&mut self, profiles: &mut Profiles, window: &Window, connector: u32) -> Vec<Entry> {
        if connector == 0 {
            let zero = self.schedules.zero(profiles, window);
            return zero.iter().map(|answer| (answer.start, answer.tenths, answer.phases)).collect();
        }
        let pieces = self.schedules.one(profiles, window, connector);
        pieces.iter().map(|piece| (piece.start, i64::from(piece.tenths), piece.phases)).collect()
    }

    /// The composite schedule of connector 0 to N, as ChargingSchedule without startSchedule (CORE-SC-41).
    pub fn one(&mut self, profiles: &mut Profiles, window: &Window, connector: u32) -> Vec<u8> {
        let entries = self.entries(profiles, window, connector);
        let mut out = Vec::with_capacity(entries.len().saturating_mul(56).saturating_add(96));
        write(&mut out, &head(window, false), entries.into_iter());
        out
    }

    /// The value that [`Published::all`] has made last.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The composite schedules of all connectors, as the value of `charging_schedules`.
    pub fn all(&mut self, profiles: &mut Profiles, window: &Window) -> &[u8] {
        let window = &self.fit(profiles, window);
        let head = head(window, true);
        self.schedules.zero_of_kept(profiles, window);
        let out = &mut self.text;
        out.clear();
        out.extend_from_slice(b"{\"0\":");
        write(out, &head, self.schedules.kept(0));
        for connector in 1..=profiles.connectors() {
            out.extend_from_slice(b",\"");
            number(out, i64::from(connector));
            out.extend_from_slice(b"\":");
            write(out, &head, self.schedules.kept(connector));
        }
        out.push(b'}');
        give_back(out);
        out
    }

    /// Make `window` the kept one, or as much of it as [`MOST_PERIODS`] reach: what all connectors say at once must not hold
    /// up everybody else because a CSMS has sent a profile of a hundred periods within a minute.
    fn fit(&mut self, profiles: &mut Profiles, window: &Window) -> Window {
        let connectors = profiles.connectors().max(1);
        let most = MOST_PERIODS.max(usize::try_from(connectors).unwrap_or(usize::MAX).saturating_mul(2));
        let mut fitted = *window;
        if let Some((wanted, duration)) = self.fitted
            && wanted.duration == window.duration
        {
            // What has fitted last is a good guess, of the same window the best one.
            let is_same = wanted == *window && !profiles.dirty.all && profiles.dirty.connectors.is_empty();
            fitted.duration = window.duration.min(if is_same { duration } else { duration.saturating_mul(2) });
        }
        let mut may_grow = true;
        loop {
            match self.schedules.refresh(profiles, &fitted, most) {
                Ok(periods) => {
                    // What the rest of the wanted window would come to if it is like this part.
                    let times = usize::try_from(window.duration.div_ceil(fitted.duration)).unwrap_or(usize::MAX);
                    if !may_grow || fitted.duration >= window.duration || periods.saturating_mul(times) > most {
                        break;
                    }
                    may_grow = false;
                    fitted.duration = window.duration;
                }
                Err(reached) => fitted.duration = shorter(fitted.duration, reached, connectors),
            }
        }
        self.fitted = Some((*window, fitted.duration));
        fitted
    }

    /// How long the window was that [`Published::all`] or [`Published::changes`] has taken last.
    #[must_use]
    pub fn fitted_s(&self) -> Option<u32> {
        self.fitted.map(|(_, duration)| duration)
    }

    /// Compute the composite schedules of all connectors and keep them, as [`Published::all`] does before it writes them;
    /// how many periods that of connector 0 has.
    pub fn compute(&mut self, profiles: &mut Profiles, window: &Window) -> usize {
        self.schedules.zero(profiles, window).len()
    }

    /// The result of `schedule.explain` as JSON text; `None` where it would be too long.
    pub fn explain(&mut self, profiles: &mut Profiles, window: &Window, connector: u32) -> Option<String> {
        explain(profiles, &mut self.schedules, window, connector)
    }

    /// From now on compare with what the next [`Published::changes`] finds, which says nothing.
    pub fn forget(&mut self) {
        self.is_silent = true;
        self.said.clear();
    }

    /// At most `limit` connectors whose schedule is not what was last said of them, each as JSON text.
    pub fn changes(&mut self, profiles: &mut Profiles, window: &Window, limit: usize) -> Vec<(u32, Vec<u8>)> {
        let window = &self.fit(profiles, window);
        let head = head(window, true);
        let mut changed = Vec::new();
        self.schedules.zero_of_kept(profiles, window);
        for connector in 0..=profiles.connectors() {
            if changed.len() >= limit {
                break;
            }
            let place = usize::try_from(connector).unwrap_or(usize::MAX);
            let entries = self.schedules.kept(connector);
            let is_known = self.said.get(place).is_some_and(|said| {
                implies(said, window, entries.clone())
                    || (floats(profiles, connector) && repeats(said, entries.clone()))
            });
            if is_known {
                continue;
            }
            let at = |(start, tenths, phases): Entry| (window.start.saturating_add(i64::from(start)), tenths, phases);
            let saying = entries.clone().map(at).collect();
            match self.said.get_mut(place) {
                Some(said) => *said = saying,
                None => self.said.push(saying),
            }
            if !self.is_silent {
                let mut out = Vec::with_capacity(160);
                write(&mut out, &head, entries);
                changed.push((connector, out));
            }
        }
        self.is_silent = false;
        changed
    }
}

/// Whether a schedule moves with the second of the query; the sum does when one of its parts does.
fn floats(profiles: &Profiles, connector: u32) -> bool {
    if connector == 0 {
        return (1..=profiles.connectors()).any(|connector| floats(profiles, connector));
    }
    profiles.transaction(connector).is_none() && profiles.stack(connector, 0).is_some_and(|(_, stack)| stack.floats())
}

/// Whether what was said, its last period going on, is what `entries` say of the window.
fn implies(said: &[(i64, i64, u8)], window: &Window, entries: impl Iterator<Item = Entry>) -> bool {
    // What held at the window's start, then what was said for later.
    let past = said.partition_point(|(at, ..)| *at <= window.start).saturating_sub(1);
    let mut expected = said.iter().skip(past).take_while(|(at, ..)| *at < window.end());
    for (start, tenths, phases) in entries {
        let at = window.start.saturating_add(i64::from(start));
        match expected.next() {
            Some((said_at, said_tenths, said_phases))
                if (*said_at).max(window.start) == at && (*said_tenths, *said_phases) == (tenths, phases) => {}
            _ => return false,
        }
    }
    expected.next().is_none()
}

/// Whether `entries` are what was said, only later.
fn repeats(said: &[(i64, i64, u8)], entries: impl Iterator<Item = Entry>) -> bool {
    let first = said.first().map_or(0, |(at, ..)| *at);
    let relative = said.iter().map(|(at, tenths, phases)| (at.saturating_sub(first), *tenths, *phases));
    relative.eq(entries.map(|(start, tenths, phases)| (i64::from(start), tenths, phases)))
}

/// The result of `schedule.profiles` as JSON text: what is installed, by id.
#[must_use]
pub fn installed(profiles: &Profiles, connector: Option<u32>) -> Vec<u8> {
    let mut found: Vec<_> = profiles.installed(connector).collect();
    found.sort_unstable_by_key(|profile| profile.terms.id);
    let mut out = vec![b'['];
    for profile in found {
        if out.len() > 1 {
            out.push(b',');
        }
        write_profile(&mut out, profile);
    }
    out.push(b']');
    out
}

fn write_profile(out: &mut Vec<u8>, profile: &Profile) {
    let terms = &profile.terms;
    let mut row = Row(out);
    row.0.push(b'{');
    row.number("connector_id", Some(i64::from(terms.connector)));
    row.second("accepted_at", Some(terms.accepted));
    row.number("charging_profile_id", Some(terms.id));
    row.number("transaction_id", terms.transaction_id);
    row.number("stack_level", Some(i64::from(terms.level)));
    row.text("purpose", Some(terms.purpose.name()));
    row.text("kind", Some(terms.kind.name()));
    row.text("recurrency_kind", terms.kind.recurrency());
    row.second("valid_from", terms.valid_from);
    row.second("valid_to", terms.valid_to);
    row.name("charging_schedule");
    row.0.push(b'{');
    row.number("duration", terms.duration.map(i64::from));
    row.second("start_schedule", terms.start_schedule);
    row.text("charging_rate_unit", Some(terms.unit.name()));
    row.tenths("min_charging_rate", terms.min_charging_rate);
    row.name("charging_schedule_period");
    row.0.push(b'[');
    for (place, period) in profile.periods().iter().enumerate() {
        row.0.extend_from_slice(if place > 0 { b",{" } else { b"{" });
        row.number("start_period", Some(i64::from(period.start)));
        row.tenths("limit", Some(period.limit));
        row.number("number_phases", (period.phases != 0).then_some(i64::from(period.phases)));
        row.0.push(b'}');
    }
    row.0.extend_from_slice(b"]}}");
}

/// Members of an object that is being written; absent ones are left out.
struct Row<'a>(&'a mut Vec<u8>);

impl Row<'_> {
    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.name(name);
            number(self.0, value);
        }
    }

    fn tenths(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.name(name);
            write_tenths(self.0, value);
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(b'"');
        }
    }

    fn second(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push(b'"');
            write_second(self.0, value);
            self.0.push(b'"');
        }
    }
}
