//! The arithmetic of permits: max-min fair shares of a current per phase, in steps of 0.1 A, under any limits.
//!
//! Owns who loads which limit and what each limit allows; how the shares are found is in `sweep`. Must never know a
//! connector, a clock or a permit. A limit is a feeder, or the limit of a charge point (OCPP 1.6 section 3.13.1).
#![forbid(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)] // places in lists; release builds keep overflow checks on

use crate::sweep::Sweep;
use std::ops::Range;

/// How a share loads L1, L2 and L3 (uA of the limit per mA of the share) and the power (mW per A of the share).
pub type Loads = [u32; 4];
/// More limits than any hub has.
pub const MOST_LIMITS: u32 = 1_000_000;

/// Units of a limit in one mA: a load of one millionth by a share of 0.1 A is one unit.
const PER_MILLIAMPERE: u64 = 10_000;
/// Units of a limit in one mW.
const PER_MILLIWATT: u64 = 10;

/// What is asked of one allocation; currents in tenths of an ampere per phase, one of each kind for every member.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// The highest share.
    pub bounds: &'a [u32],
    /// The lowest share other than 0.
    pub minimums: &'a [u32],
    /// What counts of a member that is not in `order`.
    pub held: &'a [u32],
    /// The members that want a share, first to last.
    pub order: &'a [u32],
}

/// Members, limits, and the room for one allocation after the other.
#[derive(Clone, Debug)]
pub struct Allocation {
    network: Network,
    sweep: Sweep,
}

impl Allocation {
    /// Members, each by the limits that it counts for and its loads; no limit is set yet.
    ///
    /// # Errors
    /// When there are too many limits, or a member names one that there is not, or one twice.
    pub fn new(members: &[(Vec<u32>, Loads)], limits: u32) -> Result<Self, String> {
        Ok(Self { network: Network::new(members, limits)?, sweep: Sweep::default() })
    }

    /// The loads of a member from now on.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn set_member(&mut self, number: u32, loads: Loads) -> Result<(), String> {
        let count = self.network.members.len();
        let member = self.network.members.get_mut(index(number));
        member.ok_or_else(|| format!("index: {number} of {count} members"))?.loads = loads;
        self.network.heaviest = loads.into_iter().fold(self.network.heaviest, u32::max);
        Ok(())
    }

    /// What a limit allows from now on, per phase and in all.
    ///
    /// # Errors
    /// When there is no such limit.
    pub fn set_limit(&mut self, number: u32, milliamperes: Option<u64>, milliwatts: Option<u64>) -> Result<(), String> {
        let count = self.network.limits.len();
        let current = milliamperes.map(|value| value.saturating_mul(PER_MILLIAMPERE));
        let power = milliwatts.map(|value| value.saturating_mul(PER_MILLIWATT));
        let limit = self.network.limits.get_mut(index(number));
        limit.ok_or_else(|| format!("index: {number} of {count} limits"))?.caps = [current, current, current, power];
        Ok(())
    }

    /// The share of every member, in tenths of an ampere.
    ///
    /// # Errors
    /// When the lists do not have one number for each member, or `order` names a member twice, one that there is not,
    /// or one that holds something.
    pub fn allocate(&mut self, wishes: &Wishes<'_>) -> Result<&[u32], String> {
        let Self { network, sweep } = self;
        for (name, list) in [("bounds", wishes.bounds), ("minimums", wishes.minimums), ("held", wishes.held)] {
            if list.len() != network.members.len() {
                return Err(format!("{name}: {} numbers for {} members", list.len(), network.members.len()));
            }
        }
        sweep.run(network, wishes)
    }
}

/// Who loads what.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) members: Vec<Member>,
    pub(crate) limits: Vec<Limit>,
    /// No load is, or has been, higher.
    pub(crate) heaviest: u32,
    /// The limits of each member, one member after the other.
    limits_of: Vec<u32>,
    /// The members of each limit, one limit after the other.
    members_of: Vec<u32>,
}

/// One that may get a share.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    loads: Loads,
    /// Where its limits stand.
    limits: Range<usize>,
}

/// One limit, of several kinds.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// Per phase, and of the power; none where there is no such limit.
    pub(crate) caps: [Option<u64>; 4],
    /// Where its members stand.
    members: Range<usize>,
}

impl Network {
    fn new(members: &[(Vec<u32>, Loads)], limits: u32) -> Result<Self, String> {
        if limits > MOST_LIMITS {
            return Err(format!("limits: at most {MOST_LIMITS} allowed"));
        }
        let mut listed = vec![Vec::new(); index(limits)];
        let mut limits_of = Vec::new();
        let mut ready = Vec::with_capacity(members.len());
        for (number, (own, loads)) in (0_u32..).zip(members) {
            let first = limits_of.len();
            for limit in own {
                let Some(list) = listed.get_mut(index(*limit)) else {
                    return Err(format!("members: {number} counts for limit {limit} of {limits}"));
                };
                if list.last() == Some(&number) {
                    return Err(format!("members: {number} counts for limit {limit} twice"));
                }
                list.push(number);
                limits_of.push(*limit);
            }
            ready.push(Member { loads: *loads, limits: first..limits_of.len() });
        }
        let mut end = 0;
        let ranges = listed.iter().map(|list| {
            let first = end;
            end += list.len();
            Limit { caps: [None; 4], members: first..end }
        });
        let limits = ranges.collect();
        let heaviest = members.iter().flat_map(|(_, loads)| loads).copied().max().unwrap_or(0);
        Ok(Self { members: ready, limits, heaviest, limits_of, members_of: listed.concat() })
    }

    /// Its loads and its limits.
    #[inline(always)]
    pub(crate) fn member(&self, number: u32) -> (Loads, &[u32]) {
        let member = self.members.get(index(number));
        member.map_or(([0; 4], &[]), |member| {
            (member.loads, self.limits_of.get(member.limits.clone()).unwrap_or_default())
        })
    }

    /// Who counts for a limit.
    pub(crate) fn members_of(&self, limit: u32) -> &[u32] {
        let members = self.limits.get(index(limit)).map(|limit| limit.members.clone());
        members.and_then(|members| self.members_of.get(members)).unwrap_or_default()
    }
}

/// The place of a number in a list.
#[inline(always)]
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u32 = 1_000_000;
    const THREE: Loads = [WHOLE, WHOLE, WHOLE, 690_000];

    fn one(phase: usize) -> Loads {
        std::array::from_fn(|place| if place == phase { WHOLE } else { 230_000 * u32::from(place == 3) })
    }

    /// Shares of members that are all in the order, with minimums of 6 A.
    fn shares(members: &[(Vec<u32>, Loads)], amperes: &[u64], bounds: &[u32]) -> Vec<u32> {
        let limits = u32::try_from(amperes.len()).unwrap();
        let mut allocation = Allocation::new(members, limits).unwrap();
        for (limit, amperes) in (0..).zip(amperes) {
            allocation.set_limit(limit, Some(amperes * 1_000), None).unwrap();
        }
        let count = u32::try_from(members.len()).unwrap();
        let (minimums, held) = (vec![60; members.len()], vec![0; members.len()]);
        let order: Vec<u32> = (0..count).collect();
        let wishes = Wishes { bounds, minimums: &minimums, held: &held, order: &order };
        allocation.allocate(&wishes).unwrap().to_vec()
    }

    // req: CORE-SC-42
    #[test]
    fn limit_is_shared_evenly_and_what_one_leaves_goes_to_the_others() {
        let members = vec![(vec![0], THREE); 3];
        assert_eq!(shares(&members, &[48], &[320; 3]), [160, 160, 160]);
        assert_eq!(shares(&members, &[48], &[320, 100, 320]), [190, 100, 190]);
        assert_eq!(shares(&members, &[100], &[320; 3]), [320, 320, 320]);
        assert_eq!(shares(&members, &[50], &[320; 3]), [167, 167, 166]);
    }

    #[test]
    fn minimums_that_do_not_fit_go_to_the_first_and_to_later_ones_that_fit() {
        let members = vec![(vec![0], THREE), (vec![0], THREE), (vec![0, 1], THREE), (vec![1], THREE)];
        assert_eq!(shares(&members, &[13, 9], &[320; 4]), [65, 65, 0, 90]);
        assert_eq!(shares(&members, &[13, 5], &[320; 4]), [65, 65, 0, 0]);
        assert_eq!(shares(&members, &[13, 9], &[59, 320, 320, 320]), [0, 65, 65, 0]);
    }

    #[test]
    fn phases_are_filled_apart() {
        let members = vec![(vec![0], one(0)), (vec![0], one(0)), (vec![0], one(1)), (vec![0], THREE)];
        assert_eq!(shares(&members, &[30], &[320; 4]), [100, 100, 200, 100]);
    }

    #[test]
    fn limits_within_limits_hold_each() {
        let members = vec![(vec![0, 1], THREE), (vec![0, 1], THREE), (vec![0, 2], THREE), (vec![0, 2], THREE)];
        assert_eq!(shares(&members, &[60, 20, 50], &[320; 4]), [100, 100, 200, 200]);
    }

    #[test]
    fn power_counts_where_it_is_limited() {
        let mut allocation = Allocation::new(&[(vec![0], THREE), (vec![0], one(2))], 1).unwrap();
        let list = |tenths: u32| vec![tenths; 2];
        let (bounds, minimums, held) = (list(320), list(60), list(0));
        let wishes = Wishes { bounds: &bounds, minimums: &minimums, held: &held, order: &[0, 1] };
        assert_eq!(allocation.allocate(&wishes).unwrap(), [320, 320]);
        allocation.set_limit(0, None, Some(9_200_000)).unwrap();
        assert_eq!(allocation.allocate(&wishes).unwrap(), [100, 100]);
        allocation.set_member(0, one(0)).unwrap();
        assert_eq!(allocation.allocate(&wishes).unwrap(), [200, 200]);
        allocation.set_limit(0, Some(15_000), Some(9_200_000)).unwrap();
        assert_eq!(allocation.allocate(&wishes).unwrap(), [150, 150]);
    }

    #[test]
    fn what_is_held_counts_and_closes_a_limit_that_it_exceeds() {
        let members = vec![(vec![0], one(0)), (vec![0], one(0)), (vec![0], one(1))];
        let mut allocation = Allocation::new(&members, 1).unwrap();
        let mut with = |milliamperes, held: u32| {
            allocation.set_limit(0, Some(milliamperes), None).unwrap();
            let held = [held, 0, 0];
            let wishes = Wishes { bounds: &[320; 3], minimums: &[60; 3], held: &held, order: &[1, 2] };
            allocation.allocate(&wishes).unwrap().to_vec()
        };
        assert_eq!(with(20_000, 120), [0, 80, 200]);
        assert_eq!(with(20_000, 200), [0, 0, 200]);
        assert_eq!(with(20_000, 201), [0, 0, 0]);
        assert_eq!(with(19_999, 200), [0, 0, 0]);
    }

    #[test]
    fn extreme_numbers_overflow_nothing() {
        let members = vec![(vec![0], [u32::MAX; 4]); 5];
        let mut allocation = Allocation::new(&members, 1).unwrap();
        let high = [u32::MAX; 5];
        let order = [4, 3, 2, 1, 0];
        let wishes = Wishes { bounds: &high, minimums: &[1; 5], held: &[0; 5], order: &order };
        assert_eq!(allocation.allocate(&wishes).unwrap(), high);
        allocation.set_limit(0, Some(u64::MAX), Some(u64::MAX)).unwrap();
        assert!(allocation.allocate(&wishes).unwrap().iter().all(|share| *share >= u32::MAX / 5));
        allocation.set_limit(0, Some(0), None).unwrap();
        assert_eq!(allocation.allocate(&wishes).unwrap(), [0; 5]);
        let wishes = Wishes { minimums: &high, ..wishes };
        assert_eq!(allocation.allocate(&wishes).unwrap(), [0; 5]);
        let wishes = Wishes { held: &high, order: &[], ..wishes };
        assert_eq!(allocation.allocate(&wishes).unwrap(), [0; 5]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert!(Allocation::new(&[(vec![1], THREE)], 1).unwrap_err().contains("limit 1 of 1"));
        assert!(Allocation::new(&[(vec![0, 0], THREE)], 1).unwrap_err().contains("twice"));
        assert!(Allocation::new(&[], MOST_LIMITS + 1).unwrap_err().starts_with("limits"));
        let mut allocation = Allocation::new(&[(vec![], THREE), (vec![], THREE)], 1).unwrap();
        assert!(allocation.set_limit(1, None, None).is_err());
        assert!(allocation.set_member(2, THREE).is_err());
        let mut with = |bounds: &[u32], held: &[u32], order: &[u32]| {
            allocation.allocate(&Wishes { bounds, minimums: &[0, 0], held, order }).map(<[u32]>::to_vec)
        };
        assert_eq!(with(&[7, 8], &[0, 5], &[0]), Ok(vec![7, 0]));
        assert!(with(&[7], &[0, 0], &[0]).unwrap_err().starts_with("bounds: 1 numbers"));
        assert!(with(&[7, 8], &[0, 0, 0], &[0]).unwrap_err().starts_with("held: 3 numbers"));
        assert!(with(&[7, 8], &[0, 5], &[1]).unwrap_err().starts_with("held: 1 holds"));
        assert!(with(&[7, 8], &[0, 0], &[2]).unwrap_err().starts_with("order: 2 of 2"));
        assert!(with(&[7, 8], &[0, 0], &[1, 0, 1]).unwrap_err().starts_with("order: 1 twice"));
        assert_eq!(with(&[7, 8], &[0, 0], &[1, 0]), Ok(vec![7, 8]));
    }
}
