//! A ChargingProfile while it is read: what the validator's walk builds instead of objects.
#![forbid(unsafe_code)]

use crate::action::{Enumeration, Field};
use crate::build::Build;
use crate::periods::Period;
use crate::profile::{Kind, Purpose, Refused, Terms, Unit, rule};
use crate::text::Text;
use crate::time;
use std::borrow::Cow;

/// The builder; it keeps nothing between values.
pub(crate) struct Draft;

/// A value of a ChargingProfile. Texts of it are date-times only.
pub(crate) enum Value {
    /// An integer, tenths, whole seconds of a date-time, the place in an enumeration.
    Number(i64),
    /// A ChargingSchedulePeriod.
    Period(Period),
    /// A ChargingSchedule or a ChargingProfile.
    Members(Box<Members>),
    /// The periods of a schedule.
    List(Vec<Period>),
}

/// The members of any of the three classes, absent until read.
#[derive(Default)]
pub(crate) struct Members {
    id: i64,
    transaction_id: Option<i64>,
    level: i64,
    purpose: i64,
    kind: i64,
    recurrency: Option<i64>,
    valid_from: Option<i64>,
    valid_to: Option<i64>,
    duration: Option<i64>,
    start_schedule: Option<i64>,
    unit: i64,
    min_charging_rate: Option<i64>,
    periods: Vec<Period>,
    schedule: Option<Box<Members>>,
}

/// An object that is being read: most are periods, which need no members of their own on the heap.
#[derive(Default)]
pub(crate) struct Object {
    start: i64,
    limit: i64,
    phases: i64,
    members: Option<Box<Members>>,
}

impl Object {
    fn number(&mut self, name: &str, value: i64) {
        match name {
            "startPeriod" => self.start = value,
            "limit" => self.limit = value,
            "numberPhases" => self.phases = value,
            _ => self.members.get_or_insert_default().number(name, value),
        }
    }
}

impl Members {
    fn number(&mut self, name: &str, value: i64) {
        match name {
            "chargingProfileId" => self.id = value,
            "transactionId" => self.transaction_id = Some(value),
            "stackLevel" => self.level = value,
            "chargingProfilePurpose" => self.purpose = value,
            "chargingProfileKind" => self.kind = value,
            "recurrencyKind" => self.recurrency = Some(value),
            "validFrom" => self.valid_from = Some(value),
            "validTo" => self.valid_to = Some(value),
            "duration" => self.duration = Some(value),
            "startSchedule" => self.start_schedule = Some(value),
            "chargingRateUnit" => self.unit = value,
            "minChargingRate" => self.min_charging_rate = Some(value),
            _ => {}
        }
    }
}

impl Value {
    /// The terms of a whole ChargingProfile and its periods, `None` when this is none; the terms are refused where a
    /// Recurring profile does not say how.
    pub(crate) fn into_profile(self, connector: u32, accepted: i64) -> Option<(Result<Terms, Refused>, Vec<Period>)> {
        let Self::Members(mut profile) = self else { return None };
        let schedule = *profile.schedule.take()?;
        // The order of the enumerations is that of action.rs; a test holds the names to it.
        let purpose = match profile.purpose {
            0 => Purpose::ChargePointMax,
            1 => Purpose::TxDefault,
            _ => Purpose::Tx,
        };
        let kind = match (profile.kind, profile.recurrency) {
            (0, _) => Some(Kind::Absolute),
            (1, Some(0)) => Some(Kind::Daily),
            (1, Some(_)) => Some(Kind::Weekly),
            (1, None) => None,
            _ => Some(Kind::Relative),
        };
        let terms = |kind| {
            Some(Terms {
                id: profile.id,
                connector,
                purpose,
                kind,
                level: u32::try_from(profile.level).ok()?,
                transaction_id: profile.transaction_id,
                valid_from: profile.valid_from,
                valid_to: profile.valid_to,
                start_schedule: schedule.start_schedule,
                duration: schedule.duration.map(u32::try_from).transpose().ok()?,
                unit: if schedule.unit == 0 { Unit::A } else { Unit::W },
                min_charging_rate: schedule.min_charging_rate,
                accepted,
            })
        };
        let recurring = rule(kind.is_none(), || "recurrencyKind: a Recurring profile needs one".to_owned());
        let terms = terms(kind.unwrap_or(Kind::Daily))?;
        Some((recurring.map(|()| terms), schedule.periods))
    }
}

impl<'a> Build<'a> for Draft {
    const TRUSTED: bool = false;
    type Value = Value;
    type Object = Object;
    type List = Vec<Period>;

    #[inline(always)]
    fn object(&mut self) -> Object {
        Object::default()
    }
    #[inline(always)]
    fn put(&mut self, object: &mut Object, field: &'static Field, value: Value) {
        match value {
            Value::Number(number) => object.number(field.name, number),
            Value::Members(members) => object.members.get_or_insert_default().schedule = Some(members),
            Value::List(periods) => object.members.get_or_insert_default().periods = periods,
            Value::Period(_) => {} // periods stand in lists alone
        }
    }
    #[inline(always)]
    fn close_object(&mut self, object: Object) -> Value {
        match object.members {
            Some(members) => Value::Members(members),
            None => Value::Period(Period {
                start: u32::try_from(object.start).unwrap_or(u32::MAX),
                limit: object.limit,
                phases: u8::try_from(object.phases).unwrap_or(0),
            }),
        }
    }
    #[inline(always)]
    fn list(&mut self) -> Vec<Period> {
        Vec::new()
    }
    #[inline(always)]
    fn push(&mut self, list: &mut Vec<Period>, value: Value) {
        if let Value::Period(period) = value {
            list.push(period);
        }
    }
    #[inline(always)]
    fn close_list(&mut self, list: Vec<Period>) -> Value {
        Value::List(list)
    }
    #[inline(always)]
    fn text(&mut self, text: Text<'a>) -> Value {
        self.content(text.unescaped())
    }
    #[inline(always)]
    fn content(&mut self, content: Cow<'a, [u8]>) -> Value {
        // The validator has just read it as a date-time; SCA-06: whole seconds.
        Value::Number(time::parse(&content, false).unwrap_or(0).div_euclid(1000))
    }
    #[inline(always)]
    fn choice(&mut self, _: &'static Enumeration, index: usize) -> Value {
        Value::Number(i64::try_from(index).unwrap_or(0))
    }
    #[inline(always)]
    fn integer(&mut self, value: i64) -> Value {
        Value::Number(value)
    }
    #[inline(always)]
    fn tenths(&mut self, value: i64) -> Value {
        Value::Number(value)
    }
    #[inline(always)]
    fn boolean(&mut self, value: bool) -> Value {
        Value::Number(i64::from(value))
    }
}
