//! The level that rises: members follow it from their minimums on and stop at their bounds or where a limit is full.
//!
//! Owns one allocation's arithmetic. Must never keep anything from one allocation to the next but memory. What a limit has
//! left is a line over the level, and it is looked at again only at the level where that line ends: ten thousand limits,
//! each of them full at a level of its own, cost no more than their members.
#![forbid(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)] // what a limit has left is lessened only by what fits; overflow checks stay on

use crate::allocation::{Limit, Loads, Network, Wishes, index};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::zip;

/// No level at all.
const NEVER: u64 = u64::MAX;
/// The rank of a member that wants no share.
const UNRANKED: u32 = u32::MAX;

/// What one limit has left during the sweep. At a level its members together leave `free - slope * level`.
#[derive(Clone, Debug)]
struct Room {
    /// What is left by all members that do not follow the level.
    free: [u64; 4],
    /// What those that follow it take per step.
    slope: [u64; 4],
    /// While it is full: what the level has left.
    slack: [u64; 4],
    /// All bits of the kinds that are limited, none of the others.
    counted: Loads,
    /// The level at which it is to be looked at, [`NEVER`] while no member follows the level.
    queued: u64,
    /// Nobody gets anything: what is held is above the limit.
    is_exceeded: bool,
    is_full: bool,
    /// Its slope has grown.
    is_steeper: bool,
}

impl Room {
    fn new(limit: &Limit) -> Self {
        Self {
            free: limit.caps.map(|cap| cap.unwrap_or(0)),
            slope: [0; 4],
            slack: [0; 4],
            counted: limit.caps.map(|cap| if cap.is_some() { u32::MAX } else { 0 }),
            queued: NEVER,
            is_exceeded: false,
            is_full: false,
            is_steeper: false,
        }
    }

    /// The loads by a number of steps, 0 where nothing is limited.
    #[inline(always)]
    fn units(&self, loads: Loads, steps: u32) -> [u64; 4] {
        let [a, b, c, d] = self.counted;
        let [e, f, g, h] = loads;
        [a & e, b & f, c & g, d & h].map(|load| u64::from(load) * u64::from(steps))
    }

    /// A member does not follow the level any more: it stays where it is.
    #[inline(always)]
    fn leave(&mut self, loads: Loads, share: u32) {
        let (units, step) = (self.units(loads, share), self.units(loads, 1));
        less(&mut self.free, units);
        less(&mut self.slope, step);
    }

    /// A member follows the level from its minimum on.
    #[inline(always)]
    fn follow(&mut self, loads: Loads, minimum: u32) {
        let (units, step) = (self.units(loads, minimum), self.units(loads, 1));
        zip(&mut self.free, units).for_each(|(free, units)| *free += units);
        zip(&mut self.slope, step).for_each(|(slope, step)| *slope += step);
    }

    /// The highest level that fits while nobody joins or leaves.
    fn level(&self) -> u64 {
        let kinds = zip(self.free, self.slope).filter(|(_, slope)| *slope > 0);
        kinds.map(|(free, slope)| free / slope).min().unwrap_or(NEVER)
    }

    /// Begin to give the last steps away.
    fn fill(&mut self, level: u64) {
        self.is_full = true;
        for (slack, (free, slope)) in zip(&mut self.slack, zip(self.free, self.slope)) {
            *slack = free - slope * level;
        }
    }
}

#[inline(always)]
fn less(from: &mut [u64; 4], units: [u64; 4]) {
    zip(from, units).for_each(|(from, units)| *from -= units);
}

#[inline(always)]
fn fits(units: [u64; 4], room: [u64; 4]) -> bool {
    zip(units, room).all(|(units, room)| units <= room)
}

/// A level and the rank of a member, to be sorted.
#[inline(always)]
fn event(level: u32, rank: u32) -> u64 {
    (u64::from(level) << 32) | u64::from(rank)
}

/// The level of an event, and who it is about.
fn level_of(event: Option<&u64>) -> u64 {
    event.map_or(NEVER, |event| event >> 32)
}

#[inline(always)]
fn subject(event: u64, order: &[u32]) -> Option<u32> {
    order.get(usize::try_from(event & u64::from(u32::MAX)).unwrap_or(usize::MAX)).copied()
}

/// What one allocation works with; kept, so that the next one needs no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweep {
    rooms: Vec<Room>,
    shares: Vec<u32>,
    /// The place of each member in the order.
    ranks: Vec<u32>,
    /// Which members follow the level.
    following: Vec<bool>,
    /// Where members begin to follow the level, the last one first.
    starts: Vec<u64>,
    /// Where they reach their bounds, the last one first.
    stops: Vec<u64>,
    /// Limits by the level at which they are to be looked at.
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    steeper: Vec<u32>,
    full: Vec<u32>,
    candidates: Vec<u32>,
}

impl Sweep {
    /// The share of every member.
    pub(crate) fn run(&mut self, network: &Network, wishes: &Wishes<'_>) -> Result<&[u32], String> {
        self.begin(network, wishes)?;
        self.hold(network, wishes.held);
        self.admit(network, wishes);
        self.raise(network, wishes.order);
        Ok(&self.shares)
    }

    /// Nobody has a share; everybody in the order has a rank.
    fn begin(&mut self, network: &Network, wishes: &Wishes<'_>) -> Result<(), String> {
        let count = network.members.len();
        self.rooms.clear();
        self.rooms.extend(network.limits.iter().map(Room::new));
        for (list, value) in [(&mut self.shares, 0), (&mut self.ranks, UNRANKED)] {
            list.clear();
            list.resize(count, value);
        }
        self.following.clear();
        self.following.resize(count, false);
        self.starts.clear();
        self.stops.clear();
        self.queue.clear();
        for (rank, member) in (0_u32..).zip(wishes.order) {
            let Some(known) = self.ranks.get_mut(index(*member)) else {
                return Err(format!("order: {member} of {count} members"));
            };
            if *known != UNRANKED {
                return Err(format!("order: {member} twice"));
            }
            if wishes.held.get(index(*member)) != Some(&0) {
                return Err(format!("held: {member} holds something and is in the order"));
            }
            *known = rank;
        }
        Ok(())
    }

    /// Call `change` for every room of a member.
    #[inline(always)]
    fn each_room(&mut self, network: &Network, member: u32, mut change: impl FnMut(&mut Room, Loads)) {
        let (loads, limits) = network.member(member);
        for limit in limits {
            if let Some(room) = self.rooms.get_mut(index(*limit)) {
                change(room, loads);
            }
        }
    }

    /// Whether `fit` is so of every room of a member.
    #[inline(always)]
    fn all_rooms(&self, network: &Network, member: u32, fit: impl Fn(&Room, Loads) -> bool) -> bool {
        let (loads, limits) = network.member(member);
        limits.iter().all(|limit| self.rooms.get(index(*limit)).is_some_and(|room| fit(room, loads)))
    }

    fn set_share(&mut self, member: u32, share: u32) {
        if let Some(place) = self.shares.get_mut(index(member)) {
            *place = share;
        }
    }

    fn set_following(&mut self, member: u32, is_following: bool) {
        if let Some(place) = self.following.get_mut(index(member)) {
            *place = is_following;
        }
    }

    fn is_following(&self, member: u32) -> bool {
        self.following.get(index(member)).copied().unwrap_or(false)
    }

    /// Take what is held from its limits; one that it is above is closed.
    fn hold(&mut self, network: &Network, held: &[u32]) {
        for (member, tenths) in (0_u32..).zip(held).filter(|(_, tenths)| **tenths > 0) {
            self.each_room(network, member, |room, loads| {
                let units = room.units(loads, *tenths);
                for (free, units) in zip(&mut room.free, units) {
                    let left = free.checked_sub(units);
                    room.is_exceeded |= left.is_none();
                    *free = left.unwrap_or(0);
                }
            });
        }
    }

    /// Give the minimums in order, where they still fit. Where all of them fit together that admits everybody.
    fn admit(&mut self, network: &Network, wishes: &Wishes<'_>) {
        for (rank, member) in (0_u32..).zip(wishes.order) {
            let of = |list: &[u32]| list.get(index(*member)).copied().unwrap_or(0);
            let (minimum, bound) = (of(wishes.minimums), of(wishes.bounds));
            let has_room = |room: &Room, loads| !room.is_exceeded && fits(room.units(loads, minimum), room.free);
            if bound < minimum || bound == 0 || !self.all_rooms(network, *member, has_room) {
                continue;
            }
            self.each_room(network, *member, |room, loads| {
                let units = room.units(loads, minimum);
                less(&mut room.free, units);
            });
            self.set_share(*member, minimum);
            if minimum < bound {
                self.starts.push(event(minimum, rank));
                self.stops.push(event(bound, rank));
            }
        }
    }

    /// Let the level rise until nobody follows it.
    fn raise(&mut self, network: &Network, order: &[u32]) {
        self.starts.sort_unstable_by_key(|event| Reverse(*event));
        self.stops.sort_unstable_by_key(|event| Reverse(*event));
        loop {
            let (start, stop) = (level_of(self.starts.last()), level_of(self.stops.last()));
            let full = self.queue.peek().map_or(NEVER, |Reverse((level, _))| *level);
            if stop == NEVER {
                break;
            }
            if start <= stop.min(full) {
                self.start(network, order, start);
            } else if stop <= full {
                self.stop(network, order, stop);
            } else {
                self.fill(network, order, full);
            }
        }
    }

    /// Everybody whose minimum is reached follows the level.
    fn start(&mut self, network: &Network, order: &[u32], level: u64) {
        let mut steeper = std::mem::take(&mut self.steeper);
        while let Some(event) = self.starts.pop_if(|event| level_of(Some(event)) == level) {
            let Some(member) = subject(event, order) else { continue };
            self.set_following(member, true);
            let minimum = self.shares.get(index(member)).copied().unwrap_or(0);
            let (loads, limits) = network.member(member);
            for limit in limits {
                let Some(room) = self.rooms.get_mut(index(*limit)) else { continue };
                room.follow(loads, minimum);
                if !room.is_steeper {
                    room.is_steeper = true;
                    steeper.push(*limit);
                }
            }
        }
        for limit in steeper.drain(..) {
            self.enqueue(limit);
        }
        self.steeper = steeper;
    }

    /// Everybody whose bound is reached stays there. Limits are full later than they thought.
    fn stop(&mut self, network: &Network, order: &[u32], level: u64) {
        while let Some(event) = self.stops.pop_if(|event| level_of(Some(event)) == level) {
            let member = subject(event, order).filter(|member| self.is_following(*member));
            if let Some(member) = member {
                self.leave(network, member, u32::try_from(level).unwrap_or(u32::MAX));
            }
        }
    }

    fn leave(&mut self, network: &Network, member: u32, share: u32) {
        self.set_following(member, false);
        self.set_share(member, share);
        self.each_room(network, member, |room, loads| room.leave(loads, share));
    }

    /// Look at a limit again at the level where it is full by what is known now.
    fn enqueue(&mut self, limit: u32) {
        if let Some(room) = self.rooms.get_mut(index(limit)) {
            room.is_steeper = false;
            room.queued = room.level();
            if room.queued != NEVER {
                self.queue.push(Reverse((room.queued, limit)));
            }
        }
    }

    /// The limits that are full at this level give their last steps away, in the order; who gets none stays there.
    fn fill(&mut self, network: &Network, order: &[u32], level: u64) {
        self.collect_full(level);
        let full = std::mem::take(&mut self.full);
        let mut candidates = std::mem::take(&mut self.candidates);
        for limit in &full {
            let members = network.members_of(*limit).iter().filter(|member| self.is_following(**member));
            candidates.extend(members.filter_map(|member| self.ranks.get(index(*member))));
        }
        candidates.sort_unstable();
        candidates.dedup();
        let share = u32::try_from(level).unwrap_or(u32::MAX);
        for rank in candidates.drain(..) {
            let Some(member) = order.get(index(rank)).copied() else { continue };
            let has_step = |room: &Room, loads| !room.is_full || fits(room.units(loads, 1), room.slack);
            if self.all_rooms(network, member, has_step) {
                self.each_room(network, member, |room, loads| {
                    if room.is_full {
                        let step = room.units(loads, 1);
                        less(&mut room.slack, step);
                    }
                });
            } else {
                self.leave(network, member, share);
            }
        }
        for limit in &full {
            if let Some(room) = self.rooms.get_mut(index(*limit)) {
                room.is_full = false;
            }
            self.enqueue(*limit);
        }
        (self.full, self.candidates) = (full, candidates);
    }

    /// Take from the queue what is full at this level; what has gained room since waits for its new level.
    fn collect_full(&mut self, level: u64) {
        self.full.clear();
        while let Some(Reverse((known, limit))) = self.queue.peek().copied() {
            if known != level {
                break;
            }
            self.queue.pop();
            let Some(room) = self.rooms.get_mut(index(limit)) else { continue };
            if room.queued != level || room.is_full {
                continue;
            }
            if room.level() > level {
                self.enqueue(limit);
            } else {
                room.fill(level);
                self.full.push(limit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Allocation;

    type Caps = [Option<u64>; 2];

    /// Numbers that look random and are always the same.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((self.0 >> 33) % u64::from(end)).unwrap()
        }

        fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
            values[index(self.below(u32::try_from(values.len()).unwrap()))].clone()
        }
    }

    #[derive(Debug)]
    struct Case {
        members: Vec<(Vec<u32>, Loads)>,
        caps: Vec<Caps>,
        bounds: Vec<u32>,
        minimums: Vec<u32>,
        held: Vec<u32>,
        order: Vec<u32>,
    }

    const KINDS: [Loads; 8] = [
        [1_000_000, 0, 0, 230_000],
        [0, 1_000_000, 0, 230_000],
        [0, 0, 1_000_000, 230_000],
        [1_000_000, 1_000_000, 0, 460_000],
        [1_000_000, 1_000_000, 1_000_000, 690_000],
        [577_350, 577_350, 577_350, 400_000],
        [61_803, 61_803, 61_804, 42_000],
        [0, 0, 0, 0],
    ];

    fn case(dice: &mut Dice) -> Case {
        let count = 1 + dice.below(20);
        let limits = dice.below(9);
        let mut case = Case {
            members: Vec::new(),
            caps: Vec::new(),
            bounds: Vec::new(),
            minimums: Vec::new(),
            held: Vec::new(),
            order: Vec::new(),
        };
        for _ in 0..limits {
            let current = dice.one_of(&[6_u64, 16, 20, 32, 63, 100, 400]) * 1_000 + dice.one_of(&[0, 0, 50, 99]);
            let power = dice.one_of(&[4_000_000_u64, 11_000_000, 22_000_001, 90_000_000]);
            let has = [dice.below(4) > 0, dice.below(3) == 0];
            case.caps.push([has[0].then_some(current), has[1].then_some(power)]);
        }
        for member in 0..count {
            let own = (0..limits).filter(|_| dice.below(3) == 0).collect();
            case.members.push((own, dice.one_of(&KINDS)));
            case.bounds.push(dice.one_of(&[0, 59, 60, 61, 100, 160, 320, 320, 321, 2_000]));
            case.minimums.push(dice.one_of(&[0, 60, 60, 60, 100, 137]));
            let is_held = dice.below(8) == 0;
            case.held.push(if is_held { dice.one_of(&[1, 60, 160, 320]) } else { 0 });
            if !is_held && dice.below(8) > 0 {
                let place = dice.below(u32::try_from(case.order.len()).unwrap() + 1);
                case.order.insert(index(place), member);
            }
        }
        case
    }

    impl Case {
        /// Whether the shares and what is held are within a limit.
        fn fits(&self, limit: u32, shares: &[u32]) -> bool {
            let mut sums = [0_i128; 4];
            for ((own, loads), (share, held)) in zip(&self.members, zip(shares, &self.held)) {
                if own.contains(&limit) {
                    zip(&mut sums, loads).for_each(|(sum, load)| *sum += i128::from(*load) * i128::from(share + held));
                }
            }
            let [current, power] = self.caps[index(limit)];
            sums[..3].iter().all(|sum| current.is_none_or(|cap| *sum <= i128::from(cap) * 10_000))
                && power.is_none_or(|cap| sums[3] <= i128::from(cap) * 10)
        }

        fn fits_all(&self, member: u32, shares: &[u32]) -> bool {
            self.members[index(member)].0.iter().all(|limit| self.fits(*limit, shares))
        }

        /// The rules as they are told: the minimums, then rounds of the highest common level and one step for each.
        fn rounds(&self) -> Vec<u32> {
            let nothing = vec![0; self.members.len()];
            let mut shares = nothing.clone();
            let mut rising = Vec::new();
            for &member in &self.order {
                let place = index(member);
                if self.bounds[place] < self.minimums[place] || !self.fits_all(member, &nothing) {
                    continue;
                }
                shares[place] = self.minimums[place];
                if self.fits_all(member, &shares) {
                    rising.push(member);
                } else {
                    shares[place] = 0;
                }
            }
            let mut level = 0;
            while !rising.is_empty() {
                let at = |shares: &[u32], level: u32, rising: &[u32]| {
                    let mut all = shares.to_vec();
                    for &member in rising {
                        let place = index(member);
                        all[place] = level.min(self.bounds[place]).max(self.minimums[place]);
                    }
                    all
                };
                let mut above = 2_002;
                while level + 1 < above {
                    let middle = (level + above) / 2;
                    let all = at(&shares, middle, &rising);
                    if rising.iter().all(|one| self.fits_all(*one, &all)) { level = middle } else { above = middle }
                }
                shares = at(&shares, level, &rising);
                let mut left = Vec::new();
                for &member in &rising {
                    let before = shares.clone();
                    shares = at(&shares, level + 1, &[member]);
                    let is_at_bound = before[index(member)] == self.bounds[index(member)];
                    if is_at_bound || !self.fits_all(member, &shares) {
                        shares = before;
                    } else {
                        left.push(member);
                    }
                }
                rising = left;
            }
            shares
        }
    }

    #[test]
    fn sweep_gives_what_rounds_of_the_common_level_give() {
        let mut dice = Dice(7);
        for number in 0..600 {
            let case = case(&mut dice);
            let limits = u32::try_from(case.caps.len()).unwrap();
            let mut allocation = Allocation::new(&case.members, limits).unwrap();
            for (limit, [current, power]) in (0..).zip(&case.caps) {
                allocation.set_limit(limit, *current, *power).unwrap();
            }
            let (bounds, minimums) = (&case.bounds, &case.minimums);
            let wishes = Wishes { bounds, minimums, held: &case.held, order: &case.order };
            let expected = case.rounds();
            assert_eq!(allocation.allocate(&wishes).unwrap(), expected, "{number}: {case:?}");
            assert_eq!(allocation.allocate(&wishes).unwrap(), expected, "{number} again: {case:?}");
        }
    }
}
