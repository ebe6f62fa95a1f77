//! The level that rises: members follow it from their minimums on and stop at their bounds or where a limit is full.
//!
//! Owns the order of one allocation. Must never keep anything from one to the next but memory. A limit that all bounds
//! fit together is left out. What another has left is a line over the level (`room`), and it is looked at again only at
//! the level where that line ends: limits that are full at levels of their own cost no more than their members.
#![forbid(unsafe_code)]

use crate::allocation::{Loads, Network, Wishes, index};
use crate::events::{Places, event, level_of, sort_by_level, subject_of};
use crate::room::{NEVER, Room, Units};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::zip;

/// The rank of a member that wants no share.
const UNRANKED: u32 = u32::MAX;

/// One of a list that has one for each member.
#[inline(always)]
fn of<T: Copy + Default>(list: &[T], member: u32) -> T {
    list.get(index(member)).copied().unwrap_or_default()
}

#[inline(always)]
fn set<T>(list: &mut [T], member: u32, value: T) {
    if let Some(place) = list.get_mut(index(member)) {
        *place = value;
    }
}

/// The limits of a member.
#[inline(always)]
fn each<'a>(rooms: &'a [Room], limits: &'a [u32]) -> impl Iterator<Item = &'a Room> + Clone {
    limits.iter().filter_map(|limit| rooms.get(index(*limit)))
}

/// Change every limit of a member.
#[inline(always)]
fn change(rooms: &mut [Room], limits: &[u32], mut change: impl FnMut(&mut Room)) {
    for limit in limits {
        if let Some(room) = rooms.get_mut(index(*limit)) {
            change(room);
        }
    }
}

/// What one allocation works with; kept, so that the next one needs no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweep {
    rooms: Vec<Room>,
    /// The minimums under each limit of those that do not follow the level from its beginning.
    minimums: Vec<Units>,
    shares: Vec<u32>,
    /// The place of each member in the order.
    ranks: Vec<u32>,
    /// Which members follow the level.
    following: Vec<bool>,
    /// Those that may have a share, and then those of them whose minimum fits.
    wanting: Vec<u32>,
    /// Where members begin to follow the level, the last one first.
    starts: Vec<u64>,
    /// Where they reach their bounds, the last one first.
    stops: Vec<u64>,
    /// When limits are to be looked at, the lowest level first.
    queue: BinaryHeap<Reverse<u64>>,
    spare: Vec<u64>,
    /// Limits that more members load from this level on.
    steeper: Vec<u32>,
    /// Limits that have less left than their members ask for.
    full: Vec<u32>,
    /// Their members.
    called: Vec<u32>,
    /// The places of those in the order.
    places: Places,
    /// Who has got a step while limits are full.
    lucky: Vec<u32>,
    /// The lowest minimum: the level begins there.
    lowest: u32,
}

impl Sweep {
    /// The share of every member.
    pub(crate) fn run(&mut self, network: &Network, wishes: &Wishes<'_>) -> Result<&[u32], String> {
        self.begin(network, wishes)?;
        self.hold(network, wishes.held);
        self.demand(network, wishes);
        if self.rooms.iter().any(|room| room.is_tight) {
            self.admit(network, wishes);
        }
        self.place(network, wishes);
        self.raise(network, wishes.order);
        if zip(&self.rooms, &network.limits).any(|(room, limit)| room.is_binding && !room.is_sound(limit)) {
            return Err("the shares are not within the limits; please report this".to_owned());
        }
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
        self.places.clear(count);
        self.starts.clear();
        self.stops.clear();
        self.queue.clear();
        for list in [&mut self.steeper, &mut self.full, &mut self.called, &mut self.lucky] {
            list.clear();
        }
        for (rank, member) in (0_u32..).zip(wishes.order) {
            let Some(known) = self.ranks.get_mut(index(*member)) else {
                return Err(format!("order: {member} of {count} members"));
            };
            if *known != UNRANKED {
                return Err(format!("order: {member} twice"));
            }
            if of(wishes.held, *member) != 0 {
                return Err(format!("held: {member} holds something and is in the order"));
            }
            *known = rank;
        }
        Ok(())
    }

    /// Take what is held from its limits; one that it is above is closed.
    fn hold(&mut self, network: &Network, held: &[u32]) {
        for (member, tenths) in (0_u32..).zip(held).filter(|(_, tenths)| **tenths > 0) {
            let (loads, limits) = network.member(member);
            change(&mut self.rooms, limits, |room| room.hold(loads, *tenths));
        }
    }

    /// Minimum and bound of a member, and whether it follows the level from its beginning.
    #[inline(always)]
    fn wish(&self, wishes: &Wishes<'_>, member: u32) -> ((u32, u32), bool) {
        let (minimum, bound) = (of(wishes.minimums, member), of(wishes.bounds, member));
        ((minimum, bound), minimum == self.lowest && minimum < bound)
    }

    /// Who may have a share, if there is room; what that is together at the least and at the most.
    fn demand(&mut self, network: &Network, wishes: &Wishes<'_>) {
        let is_any_closed = self.rooms.iter().any(|room| room.is_exceeded);
        let mut wanting = std::mem::take(&mut self.wanting);
        wanting.clear();
        let may_have = |(member, rank): &(u32, &u32)| {
            let bound = of(wishes.bounds, *member);
            let is_open = !is_any_closed || each(&self.rooms, network.member(*member).1).all(|room| !room.is_exceeded);
            **rank != UNRANKED && bound > 0 && bound >= of(wishes.minimums, *member) && is_open
        };
        wanting.extend((0_u32..).zip(&self.ranks).filter(may_have).map(|(member, _)| member));
        self.lowest = wanting.iter().map(|member| of(wishes.minimums, *member)).min().unwrap_or(0);
        // The sums fit 64 bits if so many of the largest do.
        let largest = wanting.iter().map(|member| of(wishes.bounds, *member)).max().unwrap_or(0);
        let largest = u64::from(largest).saturating_mul(u64::from(network.heaviest));
        let can_be_summed = largest.checked_mul(u64::try_from(wanting.len()).unwrap_or(u64::MAX)).is_some();
        self.minimums.clear();
        self.minimums.resize(self.rooms.len(), [0; 4]);
        for member in wanting.iter().filter(|_| can_be_summed) {
            let ((minimum, bound), begins) = self.wish(wishes, *member);
            let (loads, limits) = network.member(*member);
            for limit in limits {
                let Some(room) = self.rooms.get_mut(index(*limit)) else { continue };
                if begins {
                    room.want(loads, bound);
                } else if let Some(minimums) = self.minimums.get_mut(index(*limit)) {
                    room.want_later(minimums, loads, minimum, bound);
                }
            }
        }
        self.wanting = wanting;
        for (room, minimums) in zip(&mut self.rooms, &self.minimums) {
            if can_be_summed { room.judge(*minimums, self.lowest) } else { room.admit_each() }
        }
    }

    /// Where not all minimums fit together: admit in order everybody whose minimum still fits.
    fn admit(&mut self, network: &Network, wishes: &Wishes<'_>) {
        self.wanting.iter().for_each(|member| set(&mut self.following, *member, true));
        let tight = (0_u32..).zip(&self.rooms).filter(|(_, room)| room.is_tight);
        self.full.extend(tight.map(|(limit, _)| limit));
        let mut called = self.call(network, wishes.order);
        self.full.clear();
        for member in called.drain(..) {
            let (loads, limits) = network.member(member);
            let ((minimum, _), begins) = self.wish(wishes, member);
            let has_room = each(&self.rooms, limits).all(|room| !room.is_tight || room.has_room(loads, minimum));
            change(&mut self.rooms, limits, |room| match (room.is_tight, has_room) {
                (true, true) => room.admit(loads, minimum, begins),
                (false, false) => room.refuse(loads, minimum, begins),
                _ => {}
            });
            set(&mut self.following, member, has_room);
        }
        self.called = called;
        self.wanting.retain(|member| of(&self.following, *member));
        self.following.fill(false);
    }

    /// Everybody has the minimum or, without a limit that could hold, the bound. The level begins.
    fn place(&mut self, network: &Network, wishes: &Wishes<'_>) {
        for member in &self.wanting {
            let (minimum, bound) = (of(wishes.minimums, *member), of(wishes.bounds, *member));
            let is_free = !each(&self.rooms, network.member(*member).1).any(|room| room.is_binding);
            if is_free || minimum == bound {
                set(&mut self.shares, *member, bound);
                continue;
            }
            set(&mut self.shares, *member, minimum);
            self.stops.push(event(bound, *member));
            if minimum > self.lowest {
                self.starts.push(event(minimum, *member));
            } else {
                set(&mut self.following, *member, true);
            }
        }
        for (limit, room) in (0_u32..).zip(&mut self.rooms) {
            room.open(self.lowest);
            if room.is_binding {
                self.steeper.push(limit);
            }
        }
        self.enqueue_steeper();
        sort_by_level(&mut self.starts, &mut self.spare);
        sort_by_level(&mut self.stops, &mut self.spare);
    }

    /// Let the level rise until nobody follows it.
    fn raise(&mut self, network: &Network, order: &[u32]) {
        loop {
            let (start, stop) = (level_of(self.starts.last()), level_of(self.stops.last()));
            let full = level_of(self.queue.peek().map(|Reverse(event)| event));
            if stop == NEVER {
                break;
            }
            if start <= stop.min(full) {
                self.start(network, start);
            } else if stop <= full {
                self.stop(network, stop);
            } else {
                self.fill(network, order, full);
            }
        }
    }

    /// Everybody whose minimum is reached follows the level.
    fn start(&mut self, network: &Network, level: u64) {
        while let Some(event) = self.starts.pop_if(|event| level_of(Some(event)) == level) {
            let member = subject_of(event);
            set(&mut self.following, member, true);
            let (loads, limits) = network.member(member);
            let minimum = of(&self.shares, member);
            for limit in limits {
                let Some(room) = self.rooms.get_mut(index(*limit)).filter(|room| room.is_binding) else { continue };
                room.follow(loads, minimum);
                if !std::mem::replace(&mut room.is_steeper, true) {
                    self.steeper.push(*limit);
                }
            }
        }
        self.enqueue_steeper();
    }

    fn enqueue_steeper(&mut self) {
        let mut steeper = std::mem::take(&mut self.steeper);
        for limit in steeper.drain(..) {
            self.enqueue(limit, 0);
        }
        self.steeper = steeper;
    }

    /// Everybody whose bound is reached stays there. Limits are full later than they thought.
    fn stop(&mut self, network: &Network, level: u64) {
        while let Some(event) = self.stops.pop_if(|event| level_of(Some(event)) == level) {
            let member = subject_of(event);
            if of(&self.following, member) {
                self.leave(member, network.member(member), u32::try_from(level).unwrap_or(u32::MAX));
            }
        }
    }

    #[inline(always)]
    fn leave(&mut self, member: u32, (loads, limits): (Loads, &[u32]), share: u32) {
        set(&mut self.following, member, false);
        set(&mut self.shares, member, share);
        change(&mut self.rooms, limits, |room| {
            if room.is_binding {
                room.leave(loads, share);
            }
        });
    }

    /// Look at a limit again at the level where it is full by what is known now, which is `from` or above: one that has
    /// given its last steps away is not full at the same level again, so that this comes to an end whatever happens.
    fn enqueue(&mut self, limit: u32, from: u64) {
        if let Some(room) = self.rooms.get_mut(index(limit)) {
            room.is_steeper = false;
            room.queued = room.level();
            if let Some(level) = u32::try_from(room.queued).ok().filter(|_| room.queued >= from) {
                self.queue.push(Reverse(event(level, limit)));
            }
        }
    }

    /// The limits that are full at this level give their last steps away, in the order; who gets none stays there.
    fn fill(&mut self, network: &Network, order: &[u32], level: u64) {
        self.collect_full(level);
        let mut called = self.call(network, order);
        let share = u32::try_from(level).unwrap_or(u32::MAX);
        for member in called.drain(..) {
            self.step_or_leave(network, member, share);
        }
        self.called = called;
        self.leave_lucky(network, share.saturating_add(1));
        let mut full = std::mem::take(&mut self.full);
        for limit in full.drain(..) {
            if let Some(room) = self.rooms.get_mut(index(limit)) {
                room.rest();
            }
            self.enqueue(limit, level.saturating_add(1));
        }
        self.full = full;
    }

    /// Those that follow the level under a limit that is full, in the order.
    fn call(&mut self, network: &Network, order: &[u32]) -> Vec<u32> {
        for limit in &self.full {
            for member in network.members_of(*limit) {
                self.places.add(of(&self.ranks, *member), of(&self.following, *member));
            }
        }
        let mut called = std::mem::take(&mut self.called);
        self.places.drain(|place| called.push(of(order, place)));
        called
    }

    /// One step more where every full limit has it.
    #[inline(always)]
    fn step_or_leave(&mut self, network: &Network, member: u32, share: u32) {
        let (loads, limits) = network.member(member);
        if each(&self.rooms, limits).fold(true, |has_step, room| has_step & room.has_step(loads)) {
            change(&mut self.rooms, limits, |room| room.take_step(loads));
            self.lucky.push(member);
        } else {
            self.leave(member, (loads, limits), share);
        }
    }

    /// Who has got a step and cannot have another one, as a limit has none left: the next level would say the same.
    fn leave_lucky(&mut self, network: &Network, share: u32) {
        let mut lucky = std::mem::take(&mut self.lucky);
        for member in lucky.drain(..) {
            let (loads, limits) = network.member(member);
            if !each(&self.rooms, limits).all(|room| room.has_step(loads)) {
                self.leave(member, (loads, limits), share);
            }
        }
        self.lucky = lucky;
    }

    /// Take from the queue what is full at this level; what has gained room since waits for its new level.
    fn collect_full(&mut self, level: u64) {
        while level_of(self.queue.peek().map(|Reverse(event)| event)) == level {
            let limit = self.queue.pop().map_or(u32::MAX, |Reverse(event)| subject_of(event));
            let Some(room) = self.rooms.get_mut(index(limit)) else { continue };
            if room.queued != level {
                continue;
            }
            room.queued = room.level();
            if room.queued == level {
                room.queued = NEVER;
                room.fill(level);
                self.full.push(limit);
            } else if let Ok(level) = u32::try_from(room.queued) {
                self.queue.push(Reverse(event(level, limit)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Allocation;
    use std::iter::zip;

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
            let current = dice.one_of(&[6_u64, 16, 20, 32, 63, 100, 400]) * 1_000 + dice.one_of(&[0, 50, 99, 100, 250]);
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
        for number in 0..2_000 {
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
