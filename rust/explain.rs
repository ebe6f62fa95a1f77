//! Why a limit is what it is: which source won each stretch of a window, and why each of the others lost.
//!
//! Implements `schedule.explain` (design rpc.md) over the same evaluation as the schedules themselves; one connector at a
//! time, for people. Must never decide anything: a difference to composite.rs would be a bug, and a test looks for one.
#![forbid(unsafe_code)]

use crate::composite::{Lead, Stack, Window, leading};
use crate::electrical::Class;
use crate::periods::Period;
use crate::profile::{NEVER, Profile, Purpose, Unit, Validity};
use crate::profiles::Profiles;
use crate::published::{write_second, write_tenths};
use crate::schedules::{SUMMED_S, Schedules};

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A profile: id, purpose, level, the connector that it was installed on.
    Profile(i64, Purpose, u32, u32),
    /// The connector's configured maximum.
    Hardware,
    /// The station's configured maximum.
    Station,
    /// The configured default.
    Default,
    /// The sum of the connectors.
    Connectors,
}

/// Why a source is not the winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    LowerStackLevel,
    Gap,
    NotValidYet,
    Expired,
    HiddenByOwnDefault,
    OverruledByTxProfile,
    NotTheMinimum,
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::LowerStackLevel => "lower_stack_level",
            Self::Gap => "gap",
            Self::NotValidYet => "not_valid_yet",
            Self::Expired => "expired",
            Self::HiddenByOwnDefault => "hidden_by_own_default",
            Self::OverruledByTxProfile => "overruled_by_tx_profile",
            Self::NotTheMinimum => "not_the_minimum",
        }
    }
}

/// A stretch of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    start: i64,
    tenths: i64,
    phases: u8,
    winner: Source,
    losers: Vec<(Source, Why)>,
}

fn source(profile: &Profile) -> Source {
    let terms = &profile.terms;
    Source::Profile(terms.id, terms.purpose, terms.level, terms.connector)
}

/// Judge the profiles of one purpose that do not lead; the one that does is returned.
fn judge<'a>(
    profiles: impl Iterator<Item = &'a Profile>,
    lead: Lead,
    t: i64,
    start: i64,
    hidden: impl Fn(&Profile) -> bool,
    losers: &mut Vec<(Source, Why)>,
) -> Option<Source> {
    let mut leader = None;
    for profile in profiles {
        let why = match profile.track.validity(t) {
            Validity::NotYet => Why::NotValidYet,
            Validity::Expired => Why::Expired,
            Validity::Valid if hidden(profile) => Why::HiddenByOwnDefault,
            Validity::Valid => match profile.track.at(t, start).0 {
                None => Why::Gap,
                Some(_) if leader.is_some() => Why::LowerStackLevel,
                Some(_) if lead.is_none() => Why::OverruledByTxProfile,
                Some(_) => {
                    leader = Some(source(profile));
                    continue;
                }
            },
        };
        losers.push((source(profile), why));
    }
    leader
}

/// The configured and the profiles' limits at one instant.
struct Instant {
    own: Lead,
    own_source: Option<Source>,
    whole: Lead,
    whole_source: Option<Source>,
    losers: Vec<(Source, Why)>,
}

fn defaults<'a>(stack: &Stack<'a>) -> Vec<&'a Profile> {
    let mut all: Vec<_> = stack.own.iter().chain(stack.general).collect();
    // Stable: at one level the connector's own comes first.
    all.sort_by_key(|profile| std::cmp::Reverse(profile.track.level));
    all
}

fn instant(stack: &Stack<'_>, maxima: &[Profile], t: i64, query: i64) -> Instant {
    let mut losers = Vec::new();
    let (own, _) = stack.at(t);
    let (tx, _) = leading(stack.transaction, t, stack.start);
    let (whole, _) = leading(maxima, t, query);
    let never = |_: &Profile| false;
    let tx_source = judge(stack.transaction.iter(), tx, t, stack.start, never, &mut losers);
    let hidden = |profile: &Profile| {
        let level = profile.track.level;
        let is_hider = |other: &Profile| other.track.level == level && t < other.track.over();
        profile.terms.connector == 0 && stack.own.iter().any(is_hider)
    };
    let default = if tx.is_some() { None } else { own };
    let default_source = judge(defaults(stack).into_iter(), default, t, stack.start, hidden, &mut losers);
    let whole_source = judge(maxima.iter(), whole, t, query, never, &mut losers);
    Instant { own, own_source: tx_source.or(default_source), whole, whole_source, losers }
}

/// The winner among the sources that apply, and the others of them.
fn contest(class: &Class, at: Instant, exact: i64, phases: u8) -> (Source, Vec<(Source, Why)>) {
    let of = |lead: &(Period, Unit)| class.exact(lead.0.limit, lead.1, phases);
    let place = usize::from(phases);
    let is_station = class.station_is_less.get(place).copied().unwrap_or(false);
    let (configured, other) =
        if is_station { (Source::Station, Source::Hardware) } else { (Source::Hardware, Source::Station) };
    let mut sources = Vec::new();
    if let (Some(own), Some(source)) = (at.own.as_ref(), at.own_source) {
        sources.push((source, of(own)));
    } else if let Some(default) = class.default(phases) {
        sources.push((Source::Default, default.exact));
    }
    if let (Some(whole), Some(source)) = (at.whole.as_ref(), at.whole_source) {
        sources.push((source, of(whole)));
    }
    sources.push((configured, class.maximum(phases).exact));
    let found = sources.iter().position(|(_, limit)| *limit == exact).unwrap_or(0);
    let (winner, _) = sources.remove(found.min(sources.len().saturating_sub(1)));
    let mut losers = at.losers;
    losers.extend(sources.into_iter().map(|(source, _)| (source, Why::NotTheMinimum)));
    if class.has_station {
        losers.push((other, Why::NotTheMinimum));
    }
    (winner, losers)
}

/// Judgements, of one source in one stretch, that an explanation may have: more than anybody reads, some milliseconds.
const MOST_JUDGEMENTS: usize = 40_000;

/// The stretches of connector 1 to N, neighbours with the same limit and reasons joined; `None` beyond the bound.
fn of_connector(profiles: &Profiles, window: &Window, connector: u32) -> Option<Vec<Stretch>> {
    let (class, stack) = profiles.stack(connector, window.query)?;
    let mut judgements = 0_usize;
    let maxima = profiles.maxima();
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut t = window.start;
    while t < window.end() {
        let at = instant(&stack, maxima, t, window.query);
        let limit = class.composite(at.own.as_ref(), at.whole.as_ref(), window.unit);
        let (winner, losers) = contest(class, at, limit.exact, limit.phases);
        judgements = judgements.saturating_add(losers.len()).saturating_add(1);
        if judgements > MOST_JUDGEMENTS {
            return None;
        }
        join(&mut stretches, Stretch { start: t, tenths: limit.tenths, phases: limit.phases, winner, losers });
        let all = stack.transaction.iter().chain(stack.own).chain(stack.general);
        let next = |profile: &Profile| profile.track.at(t, stack.start).1.min(profile.track.edge(t));
        t = all.chain(maxima).map(next).min().unwrap_or(NEVER);
    }
    Some(stretches)
}

fn join(stretches: &mut Vec<Stretch>, stretch: Stretch) {
    let said = |other: &Stretch| Stretch { start: stretch.start, ..other.clone() };
    if stretches.last().map(said).as_ref() != Some(&stretch) {
        stretches.push(stretch);
    }
}

/// The stretches of connector 0: the sum of the connectors, or what bounds it.
fn of_station(profiles: &mut Profiles, schedules: &mut Schedules, window: &Window) -> Option<Vec<Stretch>> {
    if window.duration > SUMMED_S {
        return None;
    }
    let sums = schedules.sums(profiles, window);
    let electrical = profiles.electrical();
    let maxima = profiles.maxima();
    let second = |start: u32| window.start.saturating_add(i64::from(start));
    let mut instants: Vec<i64> = sums.iter().map(|(start, ..)| second(*start)).collect();
    let mut t = window.start;
    while t < window.end() {
        instants.push(t);
        let next = |profile: &Profile| profile.track.at(t, window.query).1.min(profile.track.edge(t));
        t = maxima.iter().map(next).min().unwrap_or(NEVER);
    }
    instants.sort_unstable();
    instants.dedup();
    let judgements = instants.len().saturating_mul(maxima.len().saturating_add(3));
    if judgements > MOST_JUDGEMENTS {
        return None;
    }
    let mut stretches = Vec::new();
    for t in instants {
        let begun = |(start, ..): &(u32, u8, i64)| second(*start) <= t;
        let Some((_, phases, sum)) = sums.get(sums.partition_point(begun).wrapping_sub(1)) else { continue };
        let (whole, _) = leading(maxima, t, window.query);
        let mut losers = Vec::new();
        let leader = judge(maxima.iter(), whole, t, window.query, |_| false, &mut losers);
        let station = electrical.station(window.unit, *phases);
        let bound = whole.map(|lead| electrical.bound_of(&lead, window.unit, *phases));
        // Where they are equal it is the bound that says more.
        let mut sources: Vec<_> = leader.zip(bound).into_iter().collect();
        sources.extend((station < i64::MAX).then_some((Source::Station, station)));
        sources.push((Source::Connectors, *sum));
        let least = (0..sources.len()).min_by_key(|place| sources.get(*place).map(|(_, limit)| *limit))?;
        let (winner, exact) = sources.remove(least);
        losers.extend(sources.into_iter().map(|(source, _)| (source, Why::NotTheMinimum)));
        let tenths = exact.checked_div(electrical.sum_divisor(window.unit))?;
        join(&mut stretches, Stretch { start: t, tenths, phases: *phases, winner, losers });
    }
    Some(stretches)
}

fn write_source(out: &mut String, source: &Source) {
    let kind = |out: &mut String, kind: &str| out.push_str(&format!("{{\"kind\":\"{kind}\"}}"));
    match source {
        Source::Profile(id, purpose, level, connector) => out.push_str(&format!(
            "{{\"kind\":\"profile\",\"charging_profile_id\":{id},\"purpose\":\"{}\",\"stack_level\":{level},\
             \"connector_id\":{connector}}}",
            purpose.name()
        )),
        Source::Hardware => kind(out, "hardware"),
        Source::Station => kind(out, "station"),
        Source::Default => kind(out, "default"),
        Source::Connectors => kind(out, "connectors"),
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(24);
    write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The result of `schedule.explain` for connector 0 to N through `window`, as JSON text; `None` where it would be too long.
#[must_use]
pub fn explain(profiles: &mut Profiles, schedules: &mut Schedules, window: &Window, connector: u32) -> Option<String> {
    let stretches = match connector {
        0 => of_station(profiles, schedules, window)?,
        _ => of_connector(profiles, window, connector)?,
    };
    let ends = stretches.iter().skip(1).map(|next| next.start).chain([window.end()]);
    let mut out = String::with_capacity(stretches.len().saturating_mul(320).saturating_add(2));
    out.push('[');
    for (stretch, end) in stretches.iter().zip(ends) {
        out.push_str(if out.len() > 1 { ",{\"start\":\"" } else { "{\"start\":\"" });
        out.push_str(&text(|out| write_second(out, stretch.start)));
        out.push_str("\",\"end\":\"");
        out.push_str(&text(|out| write_second(out, end)));
        out.push_str("\",\"limit\":");
        out.push_str(&text(|out| write_tenths(out, stretch.tenths)));
        out.push_str(&format!(",\"unit\":\"{}\",\"phases\":{},\"winner\":", window.unit.name(), stretch.phases));
        write_source(&mut out, &stretch.winner);
        out.push_str(",\"losers\":[");
        for (place, (source, why)) in stretch.losers.iter().enumerate() {
            out.push_str(if place > 0 { ",{\"source\":" } else { "{\"source\":" });
            write_source(&mut out, source);
            out.push_str(&format!(",\"why\":\"{}\"}}", why.name()));
        }
        out.push_str("]}");
    }
    out.push(']');
    Some(out)
}
