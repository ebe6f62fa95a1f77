//! The vectors of requirements chapter 15 against the engine, and what only the engine can show: stored rows.
//!
//! The vectors were worked out by hand from the text; the Python tests read the same file (tests/oracle/schedule_vectors.py).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ocpphub::action::{CHARGING_PROFILE, Kind as FieldKind};
use ocpphub::composite::Window;
use ocpphub::electrical::{Electrical, Ratings};
use ocpphub::profile::{Kind, Limits, Profile, Purpose, Unit};
use ocpphub::profiles::{Filter, Profiles, Transaction};
use ocpphub::schedules::Schedules;
use ocpphub::stored;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/composite-schedules.jsonl");
const LIMITS: Limits = Limits { max_stack_level: 100, max_periods: 2000, max_installed: 1000, units: [true, true] };

fn vectors() -> Vec<Value> {
    VECTORS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    value.as_i64().and_then(|value| value.try_into().ok())
}

fn station(vector: &Value) -> Profiles {
    let station = &vector["station"];
    let ratings = |it: &Value| -> Ratings {
        let phases = number(&it["phases"]).unwrap();
        (
            number(&it["voltage_mv"]).unwrap(),
            phases,
            it["max_ma"].as_u64(),
            it["max_mw"].as_u64(),
            it["default_ma"].as_u64(),
        )
    };
    let connectors: Vec<_> = station["connectors"].as_array().unwrap().iter().map(ratings).collect();
    let units = station["units"].as_str().unwrap();
    let limits = Limits {
        max_stack_level: number(&station["max_stack_level"]).unwrap(),
        max_periods: number(&station["max_periods"]).unwrap(),
        max_installed: number(&station["max_installed"]).unwrap(),
        units: [units.contains('A'), units.contains('W')],
    };
    let whole = (number(&station["voltage_mv"]).unwrap(), station["max_ma"].as_u64(), station["max_mw"].as_u64());
    Profiles::new(&connectors, whole, limits).unwrap()
}

fn take(profiles: &mut Profiles, step: &Value) -> Value {
    let connector = || number(&step["connector_id"]).unwrap();
    match step["do"].as_str().unwrap() {
        "install" => {
            let json = step["profile"].to_string();
            match profiles.install(connector(), json.as_bytes(), step["now_s"].as_i64().unwrap()).unwrap() {
                Ok(installed) => {
                    assert!(stored::read(installed.row.as_bytes()).is_some(), "{step}");
                    let mut replaced = installed.replaced;
                    replaced.sort_unstable();
                    json!(["Accepted", replaced])
                }
                Err(refused) => {
                    assert!(refused.0.contains(": "), "{refused} names no field");
                    json!(["Rejected", null])
                }
            }
        }
        "clear" => {
            let named = |name: &str| Purpose::ALL.into_iter().find(|purpose| purpose.name() == name);
            json!(profiles.clear(&Filter {
                id: step["charging_profile_id"].as_i64(),
                connector: number(&step["connector_id"]),
                purpose: step["purpose"].as_str().and_then(named),
                level: number(&step["stack_level"]),
            }))
        }
        "purge" => json!(profiles.purge(step["now_s"].as_i64().unwrap())),
        "transaction_started" => {
            let transaction =
                Transaction { start: step["start_s"].as_i64().unwrap(), id: step["transaction_id"].as_i64() };
            assert!(profiles.start(connector(), transaction));
            Value::Null
        }
        "transaction_confirmed" => {
            assert!(profiles.confirm(connector(), step["transaction_id"].as_i64().unwrap()));
            Value::Null
        }
        "transaction_stopped" => json!(profiles.stop(connector())),
        other => panic!("unknown step {other}"),
    }
}

fn expected(step: &Value) -> Value {
    if step["do"] == "install" { json!([step["expect"], step["replaced"]]) } else { step["expect"].clone() }
}

fn answer(profiles: &mut Profiles, schedules: &mut Schedules, window: &Window, connector: u32) -> Value {
    let written =
        |(start, tenths, phases): (u32, i64, u8)| json!([start, format!("{}.{}", tenths / 10, tenths % 10), phases]);
    if connector == 0 {
        schedules.zero(profiles, window);
        return schedules.kept(0).map(written).collect();
    }
    let pieces = schedules.one(profiles, window, connector);
    pieces.iter().map(|piece| written((piece.start, i64::from(piece.tenths), piece.phases))).collect()
}

// req: CORE-SC-01 CORE-SC-02 CORE-SC-03 CORE-SC-04 CORE-SC-05 CORE-SC-06 CORE-SC-08 CORE-SC-09 CORE-SC-10 CORE-SC-19
// req: CORE-SC-20 CORE-SC-21 CORE-SC-22 CORE-SC-26 CORE-SC-27 CORE-SC-28 CORE-SC-35 CORE-SC-39 SCA-01 SCA-03 SCA-18 SCA-20
#[test]
fn engine_vector_gives_the_answers_worked_out_by_hand() {
    for vector in vectors() {
        let mut profiles = station(&vector);
        let mut schedules = Schedules::default();
        for step in vector["steps"].as_array().unwrap() {
            let found = take(&mut profiles, step);
            assert_eq!(found, expected(step), "{}: {step}", vector["name"]);
        }
        for query in vector["queries"].as_array().unwrap() {
            let start = query["start_s"].as_i64().unwrap();
            let window = Window {
                start,
                duration: number(&query["duration_s"]).unwrap(),
                unit: if query["unit"] == "A" { Unit::A } else { Unit::W },
                query: query["query_s"].as_i64().unwrap_or(start),
            };
            let connector = number(&query["connector_id"]).unwrap();
            let found = answer(&mut profiles, &mut schedules, &window, connector);
            assert_eq!(found, query["expect"], "{}: {query}", vector["name"]);
        }
    }
}

fn read(profile: &Value) -> Profile {
    Profile::read(profile.to_string().as_bytes(), 7, 1_700_000_000, &LIMITS).unwrap().unwrap()
}

/// One profile for each mix of what may be absent, of units, kinds and sizes of numbers.
fn profiles() -> impl Iterator<Item = Value> {
    let purposes = ["TxDefaultProfile", "TxProfile"];
    (0..1024_i64).map(move |bits| {
        let bit = |place: u32| bits >> place & 1 == 1;
        let kind = ["Absolute", "Recurring", "Relative", "Recurring"][usize::try_from(bits & 3).unwrap()];
        let mut schedule = json!({"chargingRateUnit": if bit(2) { "W" } else { "A" }});
        let mut profile = json!({
            "chargingProfileId": if bit(3) { i64::from(i32::MIN) } else { bits },
            "stackLevel": bits % 100, "chargingProfilePurpose": purposes[usize::from(bit(4))], "chargingProfileKind": kind,
        });
        if kind == "Recurring" {
            profile["recurrencyKind"] = json!(if bits & 3 == 1 { "Daily" } else { "Weekly" });
        }
        if bit(5) || kind == "Recurring" {
            schedule["startSchedule"] = json!("9999-12-31T23:59:59Z");
        }
        if bit(6) {
            schedule["duration"] = json!(i32::MAX);
            profile["transactionId"] = json!(i64::MIN);
        }
        if bit(7) {
            profile["validFrom"] = json!("0001-01-01T00:00:00Z");
            schedule["minChargingRate"] = json!(6.5);
        }
        if bit(8) {
            profile["validTo"] = json!("9999-12-31T23:59:59Z");
        }
        let count = [1, 2, 24, 1000][usize::try_from(bits & 3).unwrap()];
        let step = if bit(9) { 2_000_000 } else { 60 };
        let periods = (0..count).map(|place| {
            let mut period = json!({"startPeriod": place * step + place * i64::from(bit(3)) % 7, "limit": place * 3 % 320});
            if bit(5) {
                period["numberPhases"] = json!(1 + place % 3);
            }
            if bit(6) && place == 0 {
                period["limit"] = json!(99_999_999_999_999.9);
            }
            period
        });
        schedule["chargingSchedulePeriod"] = periods.collect();
        profile["chargingSchedule"] = schedule;
        profile
    })
}

// req: CORE-SC-16 SCA-32
#[test]
fn row_of_any_profile_is_read_back_as_the_same_profile() {
    let mut count = 0;
    for profile in profiles() {
        let profile = read(&profile);
        let row = stored::write(&profile);
        assert_eq!(stored::read(row.as_bytes()).as_ref(), Some(&profile), "{row}");
        assert_eq!(stored::connector(row.as_bytes()), 7, "{row}");
        count += 1;
    }
    assert_eq!(count, 1024);
}

// req: CORE-SC-16
#[test]
fn row_of_96_periods_takes_less_than_a_kibibyte() {
    for (unit, most) in [("A", 320.0), ("W", 22_080.0)] {
        let period = |place: i32| json!({"startPeriod": place * 900 + place % 2, "limit": most - f64::from(place) / 10.0, "numberPhases": 3});
        let profile = json!({
            "chargingProfileId": i32::MAX, "stackLevel": 99, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
            "validFrom": "2026-01-01T00:00:00Z", "validTo": "2036-01-01T00:00:00Z", "transactionId": i32::MAX,
            "chargingSchedule": {"chargingRateUnit": unit, "startSchedule": "2026-01-01T00:00:00Z", "duration": 86400,
                "chargingSchedulePeriod": (0..96).map(period).collect::<Value>()},
        });
        let row = stored::write(&read(&profile));
        assert!(row.len() <= 1024, "{unit}: {} bytes", row.len());
    }
}

// req: CORE-SC-16
#[test]
fn row_that_is_damaged_is_refused_or_a_sound_profile() {
    let row = stored::write(&read(&profiles().nth(7).unwrap()));
    let mut refused = 0;
    for place in 0..row.len() {
        let cut = row.as_bytes().split_at(place).0;
        assert_eq!(stored::read(cut), None);
        for other in [b'A', b'/', b'"', 0xff] {
            let mut damaged = row.clone().into_bytes();
            damaged[place] = other;
            refused += usize::from(stored::read(&damaged).is_none());
        }
    }
    assert!(refused > row.len(), "{refused} refusals");
    let mut bytes = STANDARD_NO_PAD.decode(row.trim_matches('"')).unwrap();
    assert_eq!(bytes[0], 1, "the version");
    bytes[0] = 2;
    let newer = format!("\"{}\"", STANDARD_NO_PAD.encode(bytes));
    assert_eq!(stored::read(newer.as_bytes()), None, "a newer version");
}

#[test]
fn draft_reads_the_enumerations_in_the_order_of_the_action_table() {
    let field = |name: &str| CHARGING_PROFILE.fields.iter().find(|field| field.name == name).unwrap();
    let FieldKind::Choice(purposes, _) = field("chargingProfilePurpose").kind else { panic!() };
    let FieldKind::Choice(kinds, _) = field("chargingProfileKind").kind else { panic!() };
    let mut profile = profiles().next().unwrap();
    for purpose in purposes.values {
        profile["chargingProfilePurpose"] = json!(purpose);
        let json = profile.to_string();
        let terms =
            Profile::read(json.as_bytes(), u32::from(*purpose == "TxProfile"), 0, &LIMITS).unwrap().unwrap().terms;
        assert_eq!(terms.purpose.name(), *purpose);
    }
    profile["chargingProfilePurpose"] = json!("TxDefaultProfile");
    for (kind, recurrency) in kinds.values.iter().flat_map(|kind| ["Daily", "Weekly"].map(|again| (kind, again))) {
        profile["chargingProfileKind"] = json!(kind);
        profile["recurrencyKind"] = json!(recurrency);
        profile["chargingSchedule"]["startSchedule"] = json!("2026-01-01T00:00:00Z");
        let terms = read(&profile).terms;
        assert_eq!(terms.kind.name(), *kind);
        assert_eq!(terms.kind.recurrency(), (*kind == "Recurring").then_some(recurrency));
        assert_eq!(terms.kind == Kind::Relative, *kind == "Relative");
    }
}

// req: SCA-22
#[test]
fn electrical_what_cannot_be_summed_exactly_is_refused_with_the_key() {
    let station = (230_000, None, None);
    let voltages = (0..60).map(|place| (200_000 + 997 * place, 3, Some(32_000), None, None));
    let refused = Electrical::new(&voltages.collect::<Vec<_>>(), station).err().unwrap();
    assert!(refused.starts_with("nominal_voltage_v: "), "{refused}");
    for usual in [&[230_000, 230_940, 400_000][..], &[120_000, 208_000, 240_000, 277_000, 480_000]] {
        let classes: Vec<_> = usual.iter().map(|volts| (*volts, 3, Some(32_000), None, None)).collect();
        assert!(Electrical::new(&classes.repeat(20_000), station).is_ok());
    }
    for wrong in [(0, 3, Some(1), None, None), (230_000, 4, Some(1), None, None), (230_000, 3, None, None, None)] {
        assert!(Electrical::new(&[wrong], station).is_err());
    }
}

// req: CORE-SC-11 SCA-22
#[test]
fn engine_voltages_without_a_common_measure_overflow_nothing() {
    let connectors = [(229_997, 2, Some(63_000), None, None), (400_001, 1, None, Some(100_000_000_000), None)];
    let station = (229_997, Some(1), None);
    let mut profiles = Profiles::new(&connectors, station, LIMITS).unwrap();
    let mut schedules = Schedules::default();
    for (unit, limit) in [(Unit::A, "0.0"), (Unit::W, "0.4")] {
        let window = Window { start: 0, duration: 10, unit, query: 0 };
        // 1 mA x 229.997 V x 2 phases.
        assert_eq!(answer(&mut profiles, &mut schedules, &window, 0), json!([[0, limit, 2]]));
    }
    let more = [connectors[0], connectors[1], (230_941, 3, Some(1), None, None)];
    assert!(Profiles::new(&more, station, LIMITS).is_err());
}

// req: CORE-SC-11 SCA-22
#[test]
fn engine_largest_numbers_overflow_nothing() {
    let connectors = vec![(1_500_000, 3, Some(88_000), None, Some(88_000)); 1000];
    let mut profiles = Profiles::new(&connectors, (1_499_999, Some(u64::MAX), Some(u64::MAX)), LIMITS).unwrap();
    let mut schedules = Schedules::default();
    let profile = |id: i64, purpose: &str, unit: &str| {
        json!({"chargingProfileId": id, "stackLevel": id, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute",
            "chargingSchedule": {"startSchedule": "0001-01-01T00:00:00Z", "chargingRateUnit": unit,
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 99_999_999_999_999.9}, {"startPeriod": i32::MAX, "limit": 1e13}]}})
    };
    for (id, purpose) in [(0, "TxDefaultProfile"), (1, "ChargePointMaxProfile")] {
        for unit in ["A", "W"] {
            profiles.install(0, profile(id, purpose, unit).to_string().as_bytes(), 0).unwrap().unwrap();
            for unit in [Unit::A, Unit::W] {
                let window = Window { start: 253_402_300_799, duration: 31_622_400, unit, query: 253_402_300_799 };
                let total = answer(&mut profiles, &mut schedules, &window, 0);
                let (own, sum) = if unit == Unit::A { ("88.0", "88000.0") } else { ("396000.0", "396000000.0") };
                assert_eq!(answer(&mut profiles, &mut schedules, &window, 1), json!([[0, own, 3]]));
                assert_eq!(total, json!([[0, sum, 3]]));
            }
        }
    }
}
