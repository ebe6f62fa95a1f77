//! The installed charging profiles of one charge point: install, replace, clear, transactions, purge.
//!
//! Implements requirements 15.3 rows 4 to 8 and CORE-SC-01 to 10, 35 to 37 (SCA-05, 26 to 29, 31, 39). Each profile is kept
//! once, by the connector that it was installed on; 0 is a layer of its own and is never copied to the others.
#![forbid(unsafe_code)]

use crate::composite::{Stack, leading};
use crate::electrical::{Class, Electrical, Ratings, StationRatings};
use crate::profile::{Limits, NEVER, Profile, Purpose, Refused, Unit, rule};
use crate::stored;
use std::collections::{BTreeSet, HashMap};

/// A running transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The second of its StartTransaction.
    pub start: i64,
    /// Its id, once the CSMS has given it.
    pub id: Option<i64>,
}

/// One connector and what is installed on it.
#[derive(Clone, Debug, Default)]
struct Owner {
    class: u32,
    transaction: Option<Transaction>,
    /// By purpose, then by falling stackLevel.
    profiles: Vec<Profile>,
    /// How many of them are TxProfiles.
    tx_count: usize,
}

/// What is being looked for by ClearChargingProfile; absent members match everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// chargingProfileId; when given nothing else counts (E3.26).
    pub id: Option<i64>,
    /// The connector that it was installed on.
    pub connector: Option<u32>,
    /// chargingProfilePurpose.
    pub purpose: Option<Purpose>,
    /// stackLevel.
    pub level: Option<u32>,
}

impl Filter {
    fn matches(&self, profile: &Profile) -> bool {
        let terms = &profile.terms;
        match self.id {
            Some(id) => terms.id == id,
            None => {
                self.connector.is_none_or(|connector| terms.connector == connector)
                    && self.purpose.is_none_or(|purpose| terms.purpose == purpose)
                    && self.level.is_none_or(|level| terms.level == level)
            }
        }
    }
}

/// Which connectors' schedules may be others than before.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// All of them.
    pub all: bool,
    /// These, some perhaps more than once.
    pub connectors: Vec<u32>,
}

/// Changed connectors from which on all are computed anew.
const MOST_DIRTY: usize = 4096;

impl Dirty {
    fn mark(&mut self, connector: u32) {
        // A profile of connector 0 concerns every connector.
        if connector == 0 || self.connectors.len() >= MOST_DIRTY {
            self.all = true;
            self.connectors.clear();
        } else if !self.all {
            self.connectors.push(connector);
        }
    }
}

/// A profile was installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its id.
    pub id: i64,
    /// What to store.
    pub row: String,
    /// Ids of those that it replaced.
    pub replaced: Vec<i64>,
    /// The other connector that a profile of its id was taken from.
    pub moved_from: Option<u32>,
}

/// The installed profiles.
#[derive(Clone, Debug)]
pub struct Profiles {
    electrical: Electrical,
    limits: Limits,
    /// Connectors 0 to N.
    owners: Vec<Owner>,
    /// Where the profile of an id is.
    places: HashMap<i64, (u32, Purpose, u32)>,
    /// When each profile that ends is over.
    ends: BTreeSet<(i64, i64)>,
    /// Restored profiles of connectors that are not there (any more): they limit nothing, and go when they are cleared.
    resting: Vec<Profile>,
    /// What has changed since somebody has last taken it.
    pub dirty: Dirty,
}

fn place(connector: u32) -> usize {
    usize::try_from(connector).unwrap_or(usize::MAX)
}

impl Profiles {
    /// A charge point without profiles.
    ///
    /// # Errors
    /// Those of [`Electrical::new`].
    pub fn new(connectors: &[Ratings], station: StationRatings, limits: Limits) -> Result<Self, String> {
        let (electrical, classes) = Electrical::new(connectors, station)?;
        let mut owners = vec![Owner::default()];
        owners.extend(classes.into_iter().map(|class| Owner { class, ..Owner::default() }));
        let (places, ends, resting) = (HashMap::new(), BTreeSet::new(), Vec::new());
        let dirty = Dirty { all: true, connectors: Vec::new() };
        Ok(Self { electrical, limits, owners, places, ends, resting, dirty })
    }

    /// The configured limits.
    #[must_use]
    pub const fn electrical(&self) -> &Electrical {
        &self.electrical
    }

    /// N, the number of connectors above 0.
    #[must_use]
    pub fn connectors(&self) -> u32 {
        u32::try_from(self.owners.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// How many profiles are installed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// How many restored profiles are of no connector here.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    fn owner(&mut self, connector: u32) -> Option<&mut Owner> {
        self.owners.get_mut(place(connector))
    }

    /// The class and the profiles of connector 1 to N; `query` is the start of charging where nothing charges.
    #[inline(always)]
    #[must_use]
    pub fn stack(&self, connector: u32, query: i64) -> Option<(&Class, Stack<'_>)> {
        let owner = self.owners.get(place(connector))?;
        let (txs, own) = owner.profiles.split_at_checked(owner.tx_count)?;
        let (transaction, start) = match owner.transaction {
            Some(transaction) => (txs, transaction.start),
            None => (&[][..], query),
        };
        let stack = Stack { transaction, own, general: self.general(), start };
        Some((self.electrical.class(owner.class)?, stack))
    }

    /// Read a little of what [`Profiles::stack`] of these connectors leads to, so that it is in the cache when it is asked
    /// for: read for many connectors at once the waits for memory overlap, in a sweep they follow one another.
    pub fn touch(&self, connectors: std::ops::Range<u32>) {
        let range = place(connectors.start)..place(connectors.end).min(self.owners.len());
        let owners = self.owners.get(range).unwrap_or_default();
        let levels = owners.iter().filter_map(|owner| Some(owner.profiles.first()?.track.level));
        std::hint::black_box(levels.fold(0_u32, u32::wrapping_add));
        let values = owners.iter().filter_map(|owner| Some(owner.profiles.first()?.periods().touch()));
        std::hint::black_box(values.fold(0_u32, u32::wrapping_add));
    }

    /// The transaction that runs on a connector.
    #[must_use]
    pub fn transaction(&self, connector: u32) -> Option<Transaction> {
        self.owners.get(place(connector))?.transaction
    }

    fn of_station(&self, purpose: Purpose) -> &[Profile] {
        let Some(station) = self.owners.first() else { return &[] };
        let first = station.profiles.partition_point(|profile| profile.terms.purpose < purpose);
        let end = station.profiles.partition_point(|profile| profile.terms.purpose <= purpose);
        station.profiles.get(first..end).unwrap_or_default()
    }

    /// TxDefaultProfiles of connector 0, by falling stackLevel.
    #[inline(always)]
    #[must_use]
    pub fn general(&self) -> &[Profile] {
        let Some(station) = self.owners.first() else { return &[] };
        if station.profiles.is_empty() { &[] } else { self.of_station(Purpose::TxDefault) }
    }

    /// ChargePointMaxProfiles, by falling stackLevel.
    #[must_use]
    pub fn maxima(&self) -> &[Profile] {
        self.of_station(Purpose::ChargePointMax)
    }

    /// The limit of the leading ChargePointMaxProfile at `t`, in tenths of its unit, and until when it holds.
    #[must_use]
    pub fn ceiling(&self, t: i64) -> (Option<(i64, Unit)>, i64) {
        let (lead, until) = leading(self.maxima(), t, t);
        (lead.map(|(period, unit)| (period.limit, unit)), until)
    }

    /// Every profile that was installed on `connector`, on any one where it is `None`.
    pub fn installed(&self, connector: Option<u32>) -> impl Iterator<Item = &Profile> {
        let (from, count) = connector.map_or((0, usize::MAX), |connector| (place(connector), 1));
        self.owners.iter().skip(from).take(count).flat_map(|owner| &owner.profiles)
    }

    /// Install the profile that `json` describes (requirements 15.3 rows 4 to 8).
    ///
    /// # Errors
    /// The outer one when `json` is no valid ChargingProfile or there is no such connector, the inner one when the profile
    /// must be Rejected; nothing has changed then.
    pub fn install(&mut self, connector: u32, json: &[u8], now: i64) -> Result<Result<Installed, Refused>, String> {
        if connector > self.connectors() {
            return Err(format!("connector_id: 0 to {} allowed", self.connectors()));
        }
        Ok(match Profile::read(json, connector, now, &self.limits)? {
            Ok(profile) => self.admit(profile),
            Err(refused) => Err(refused),
        })
    }

    fn admit(&mut self, profile: Profile) -> Result<Installed, Refused> {
        let terms = &profile.terms;
        if terms.purpose == Purpose::Tx {
            let running = self.transaction(terms.connector);
            rule(running.is_none(), || "connectorId: no transaction runs there".to_owned())?;
            // SCA-31: an id that the CSMS has not given yet matches none.
            let id = running.and_then(|running| running.id);
            rule(terms.transaction_id.is_some() && terms.transaction_id != id, || {
                "transactionId: not that of the running transaction".to_owned()
            })?;
        }
        let replaced = self.replaced_by(&profile);
        let count = self.count().saturating_add(1).saturating_sub(replaced.len());
        rule(count > self.limits.max_installed, || {
            format!("csChargingProfiles: at most {} charging profiles can be installed", self.limits.max_installed)
        })?;
        let place = self.places.get(&terms.id).map(|place| place.0);
        let moved_from = place.filter(|connector| *connector != terms.connector);
        for id in &replaced {
            self.remove(*id);
        }
        self.resting.retain(|resting| resting.terms.id != terms.id);
        let installed = Installed { id: terms.id, row: stored::write(&profile), replaced, moved_from };
        self.insert(profile);
        Ok(installed)
    }

    /// Ids of what it replaces: the same id anywhere, the same purpose and level on its connector (SCA-05).
    fn replaced_by(&self, profile: &Profile) -> Vec<i64> {
        let terms = &profile.terms;
        let mut ids = Vec::new();
        if self.places.contains_key(&terms.id) {
            ids.push(terms.id);
        }
        let same = |other: &&Profile| (other.terms.purpose, other.terms.level) == (terms.purpose, terms.level);
        if let Some(other) = self.installed(Some(terms.connector)).find(same)
            && other.terms.id != terms.id
        {
            ids.push(other.terms.id);
        }
        ids
    }

    fn insert(&mut self, profile: Profile) {
        let (id, connector, purpose, level, over) = {
            let terms = &profile.terms;
            (terms.id, terms.connector, terms.purpose, terms.level, profile.track.over())
        };
        let Some(owner) = self.owner(connector) else { return };
        let before = |other: &Profile| {
            let terms = &other.terms;
            terms.purpose < purpose || (terms.purpose == purpose && terms.level > level)
        };
        let at = owner.profiles.partition_point(before);
        // Most connectors have few profiles: no room is kept for more.
        owner.profiles.reserve_exact(1);
        owner.profiles.insert(at, profile);
        owner.tx_count = owner.tx_count.saturating_add(usize::from(purpose == Purpose::Tx));
        self.places.insert(id, (connector, purpose, level));
        if over < NEVER {
            self.ends.insert((over, id));
        }
        self.dirty.mark(connector);
    }

    fn remove(&mut self, id: i64) -> bool {
        let Some((connector, purpose, level)) = self.places.remove(&id) else { return false };
        let Some(owner) = self.owner(connector) else { return false };
        let is_it = |profile: &Profile| (profile.terms.purpose, profile.terms.level) == (purpose, level);
        let Some(at) = owner.profiles.iter().position(is_it) else { return false };
        let over = owner.profiles.remove(at).track.over();
        if purpose == Purpose::Tx {
            owner.tx_count = owner.tx_count.saturating_sub(1);
        }
        self.ends.remove(&(over, id));
        self.dirty.mark(connector);
        true
    }

    fn remove_all(&mut self, mut ids: Vec<i64>) -> Vec<i64> {
        ids.retain(|id| self.remove(*id));
        ids.sort_unstable();
        ids
    }

    /// Remove what matches; the ids (CORE-SC-35 to 37).
    pub fn clear(&mut self, filter: &Filter) -> Vec<i64> {
        let of = |profile: &Profile| filter.matches(profile).then_some(profile.terms.id);
        let ids: Vec<_> = match (filter.id, filter.connector) {
            (Some(id), _) => vec![id],
            (None, connector) => self.installed(connector).filter_map(of).collect(),
        };
        let resting = self.resting.extract_if(.., |profile| filter.matches(profile));
        let resting: Vec<_> = resting.map(|profile| profile.terms.id).collect();
        let mut cleared = self.remove_all(ids);
        cleared.extend(resting);
        cleared.sort_unstable();
        cleared
    }

    /// Take up stored rows; the places of those that cannot be read.
    pub fn restore_all(&mut self, rows: &[&[u8]]) -> Vec<usize> {
        // By connector, so that what is evaluated in a row lies in a row.
        let mut order: Vec<_> = rows.iter().enumerate().map(|(place, row)| (stored::connector(row), place)).collect();
        order.sort_unstable();
        let is_unread = |place: &usize| !rows.get(*place).is_some_and(|row| self.restore(row));
        let mut unread: Vec<_> = order.into_iter().map(|(_, place)| place).filter(is_unread).collect();
        unread.sort_unstable();
        unread
    }

    /// Take up a stored row; whether it could be read.
    pub fn restore(&mut self, row: &[u8]) -> bool {
        let Some(profile) = stored::read(row) else { return false };
        if profile.terms.connector > self.connectors() {
            self.resting.push(profile);
            return true;
        }
        for id in self.replaced_by(&profile) {
            self.remove(id);
        }
        self.insert(profile);
        true
    }

    /// Remove what can never be active again at `now` or later: what is over, and TxProfiles without a transaction.
    pub fn purge(&mut self, now: i64) -> Vec<i64> {
        let mut ids: Vec<_> = self.ends.iter().take_while(|(over, _)| *over <= now).map(|(_, id)| *id).collect();
        for owner in &self.owners {
            if owner.transaction.is_none() {
                ids.extend(owner.profiles.iter().take(owner.tx_count).map(|profile| profile.terms.id));
            }
        }
        self.remove_all(ids)
    }

    /// The first second at which a profile is over.
    #[must_use]
    pub fn next_purge(&self) -> Option<i64> {
        self.ends.first().map(|(over, _)| *over)
    }

    /// A transaction begins; false when there is no such connector or one runs there.
    pub fn start(&mut self, connector: u32, transaction: Transaction) -> bool {
        let connectors = self.connectors();
        match self.owner(connector) {
            Some(owner) if (1..=connectors).contains(&connector) && owner.transaction.is_none() => {
                owner.transaction = Some(transaction);
                self.dirty.mark(connector);
                true
            }
            _ => false,
        }
    }

    /// The time became known: the transaction that runs there began at another one; false when none runs.
    pub fn move_start(&mut self, connector: u32, start: i64) -> bool {
        let transaction = self.owner(connector).and_then(|owner| owner.transaction.as_mut());
        let is_running = transaction.map(|transaction| transaction.start = start).is_some();
        self.dirty.mark(connector);
        is_running
    }

    /// The transaction that runs there has got its id; false when none runs.
    pub fn confirm(&mut self, connector: u32, id: i64) -> bool {
        let transaction = self.owner(connector).and_then(|owner| owner.transaction.as_mut());
        transaction.map(|transaction| transaction.id = Some(id)).is_some()
    }

    /// The transaction is over; the ids of its TxProfiles, which are gone (CORE-SC-06).
    pub fn stop(&mut self, connector: u32) -> Vec<i64> {
        let Some(owner) = self.owner(connector) else { return Vec::new() };
        owner.transaction = None;
        let ids = owner.profiles.iter().take(owner.tx_count).map(|profile| profile.terms.id).collect();
        self.dirty.mark(connector);
        self.remove_all(ids)
    }
}
