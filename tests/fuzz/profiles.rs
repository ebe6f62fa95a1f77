//! Charging profiles and stored rows: whatever is read is a sound profile, is stored and read back as the same, and gives
//! schedules that begin at 0, rise in time and stay within the connector's maximum.

use ocpphub::composite::Window;
use ocpphub::explain::explain;
use ocpphub::profile::{Limits, Unit};
use ocpphub::profiles::{Profiles, Transaction};
use ocpphub::schedules::{Entry, Schedules};
use ocpphub::stored;

const NOW: i64 = 1_709_251_200;
const LAST: i64 = 253_402_300_799;
const LIMITS: Limits = Limits { max_stack_level: u32::MAX, max_periods: 2000, max_installed: 9, units: [true, true] };
const USUAL: &str = concat!(
    r#"{"chargingProfileId":-7,"stackLevel":0,"chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Recurring","#,
    r#""recurrencyKind":"Daily","chargingSchedule":{"startSchedule":"2024-02-29T00:00:00Z","duration":7200,"#,
    r#""chargingRateUnit":"W","chargingSchedulePeriod":[{"startPeriod":0,"limit":1700.5,"numberPhases":1}]}}"#
);

/// Connector 1 charges, 2 and 3 do not; three voltages, one maximum in W.
fn station() -> Profiles {
    let connectors = [
        (230_000, 3, Some(32_000), None, None),
        (230_940, 1, Some(16_000), None, Some(6_000)),
        (400_000, 2, None, Some(22_000_500), None),
    ];
    let mut profiles = Profiles::new(&connectors, (230_000, Some(40_000), None), LIMITS).unwrap();
    assert!(profiles.start(1, Transaction { start: NOW - 90, id: Some(7) }));
    profiles.install(2, USUAL.as_bytes(), NOW).unwrap().unwrap();
    profiles
}

fn check(entries: impl Iterator<Item = Entry>, window: &Window, most: i64) {
    let mut last: Option<Entry> = None;
    for (start, tenths, phases) in entries {
        assert!((0..=most).contains(&tenths) && (1..=3).contains(&phases) && start < window.duration);
        match last {
            None => assert_eq!(start, 0),
            Some((before, other, others)) => assert!(before < start && (other, others) != (tenths, phases)),
        }
        last = Some((start, tenths, phases));
    }
    assert!(last.is_some(), "a schedule has a period");
}

fn ask(profiles: &mut Profiles) {
    let mut schedules = Schedules::default();
    for (start, duration) in [(NOW, 600), (NOW - 50_000, 20_000), (LAST, 7200), (-62_135_596_800, 60)] {
        for unit in [Unit::A, Unit::W] {
            let window = Window { start, duration, unit, query: start };
            for connector in 1..=3 {
                let pieces = schedules.one(profiles, &window, connector).to_vec();
                let entries = pieces.iter().map(|piece| (piece.start, i64::from(piece.tenths), piece.phases));
                check(entries, &window, if unit == Unit::A { 4_400_100 } else { 220_800 });
                let explained = explain(profiles, &mut schedules, &window, connector);
                assert!(explained.is_none_or(|text| text.starts_with("[{\"start\":")));
            }
            schedules.zero(profiles, &window);
            check(schedules.kept(0), &window, if unit == Unit::A { 400 } else { 3 * 92_000 });
        }
    }
}

/// The JSON text of a ChargingProfile, installed on a connector that its length decides.
pub fn charging_profile(bytes: &[u8]) {
    let mut profiles = station();
    let connector = u32::try_from(bytes.len() % 4).unwrap();
    let Ok(Ok(installed)) = profiles.install(connector, bytes, NOW) else {
        assert_eq!(profiles.count(), 1, "what is refused changes nothing");
        return;
    };
    let profile = stored::read(installed.row.as_bytes()).expect("what is stored is read");
    assert_eq!(stored::write(&profile), installed.row);
    assert_eq!(profile.terms.id, installed.id);
    ask(&mut profiles);
}

/// A stored row, possibly damaged.
pub fn stored_row(bytes: &[u8]) {
    let Some(profile) = stored::read(bytes) else { return };
    assert_eq!(stored::read(stored::write(&profile).as_bytes()), Some(profile));
    let mut profiles = station();
    if profiles.restore(bytes) {
        ask(&mut profiles);
    }
}
