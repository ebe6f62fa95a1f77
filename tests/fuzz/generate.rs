//! Valid frames drawn from the action table: what mutation starts from besides the bad frames.

use ocpphub::action::{ACTIONS, Kind, Shape};

use super::mutate::Random;

/// A frame for every request and every confirmation, drawn by `random`.
///
/// The id of a confirmation starts with its action, so that the decode target takes it as the answer to that call.
pub fn frames(random: &mut Random) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for action in ACTIONS {
        let request = object(random, action.request);
        frames.push(format!("[2,\"g-{}\",\"{}\",{request}]", random.below(1000), action.name).into_bytes());
        let confirmation = object(random, action.confirmation);
        frames.push(format!("[3,\"{}-1\",{confirmation}]", action.name).into_bytes());
    }
    frames
}

fn object(random: &mut Random, shape: &Shape) -> String {
    let mut members = Vec::new();
    for field in shape.fields {
        if field.required || random.below(2) == 0 {
            members.push(format!("\"{}\":{}", field.name, value(random, &field.kind)));
        }
    }
    format!("{{{}}}", members.join(","))
}

fn value(random: &mut Random, kind: &Kind) -> String {
    const TIMES: [&str; 3] = ["2026-11-21T08:00:00Z", "2026-11-21T08:00:00.123+01:00", "1999-12-31t23:59:60z"];
    const TEXTS: [&str; 4] = ["A", "0001", "\\u00e9\\n", "電\u{1f50c}"];
    match kind {
        Kind::Text { .. } | Kind::AnyText => format!("\"{}\"", random.pick(&TEXTS)),
        Kind::Uri => "\"https://h.example/f?x=1\"".into(),
        Kind::Timestamp | Kind::LooseTimestamp => format!("\"{}\"", random.pick(&TIMES)),
        Kind::Integer { strict: (min, max), .. } => {
            let near = i64::try_from(random.below(1000)).unwrap();
            // The least of the 64-bit integers is a listed difference of the target `numbers`.
            random.pick(&[*max, near.clamp(*min, *max), *min]).to_string()
        }
        Kind::Decimal => format!("{}.{}", random.below(64), random.below(10)),
        Kind::Boolean => (*random.pick(&["true", "false"])).into(),
        Kind::Choice(enumeration, _) | Kind::OpenChoice(enumeration) => {
            format!("\"{}\"", random.pick(enumeration.values))
        }
        Kind::Object(shape) => object(random, shape),
        Kind::List { item, min, .. } => {
            let count = usize::try_from(*min).unwrap() + random.below(3);
            let items: Vec<_> = (0..count).map(|_| value(random, item)).collect();
            format!("[{}]", items.join(","))
        }
    }
}
