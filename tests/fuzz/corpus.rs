//! What each target starts from: the bad frames, frames drawn from the action table, small seeds of its own, and every
//! input that ever broke it (`tests/fuzz/regressions/<target>/`).

use std::path::Path;

use ocpphub::profile::{Limits, Profile};
use ocpphub::stored;

use super::generate::frames;
use super::mutate::Random;
use super::rows::rows;

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "7",
    "10",
    "1.5",
    "12345.6",
    "123456.7",
    "0.05e1",
    "6e1",
    "1E+2",
    "1e-400",
    "1e999999",
    "0e99999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "922337203685477580.7",
    "100e-2",
    "123456789012345678.9",
    "000",
    "1.",
    "-",
    "1e",
    "00.1",
    "0.00000000000000000000000000001e29",
];
const TEXTS: &[&str] = &[
    "",
    "plain",
    "a longer plain text of more than forty characters, all ASCII",
    "\\u0041\\ud83d\\ude00",
    "\\n\\/\\\"",
    "é電\u{1f50c}",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "tail\\",
    "\"",
    "\\x",
    "\u{1}",
    "1234567\\",
];
const TIMES: &[&str] = &[
    "2024-01-01T00:00:00Z",
    "2024-02-29T23:59:59.999+23:59",
    "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00-23:59",
    "9999-12-31T23:59:59.999999999999Z",
    "2024-01-01 00:00:00",
    "2024-01-01T00:00:00+0100",
    "1969-12-31T23:59:59.9999Z",
    "2024-01-01T00:00:00.5z",
    "2024-13-01T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01t00:00:00-00:00",
];

/// The bad frames and one frame per message of the action table.
fn all_frames() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = rows().iter().map(|row| row.bytes()).collect();
    seeds.extend(frames(&mut Random::new(1)));
    seeds.extend(bounds());
    seeds
}

/// Texts at the bounds of the scanner: around 32 containers of every kind, and members that repeat among few and many.
fn bounds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for depth in 28..=34 {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let levels = depth / open.matches(['[', '{']).count();
            let nested = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            seeds.push(format!("[2,\"d\",\"Reset\",{{\"type\":\"Soft\",\"x\":{nested}}}]"));
            seeds.push(nested.replace('1', if open == "[" { "" } else { "[]" }));
            seeds.push(nested);
        }
    }
    for members in [2, 11, 12, 13, 14, 40] {
        for repeated in [0, members / 2, members] {
            let name = |index: usize| format!("\"m{}\":{index}", if index == members { repeated } else { index });
            seeds.push(format!("{{{}}}", (0..=members).map(name).collect::<Vec<_>>().join(",")));
        }
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

/// The seeds of a target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut seeds = match target {
        "numbers" => texts(NUMBERS),
        "texts" => texts(TEXTS),
        "times" => texts(TIMES),
        "encode_payload" => all_frames().iter().filter_map(|frame| payload(frame)).collect(),
        "meter_layout" => (0..64).map(|seed| noise(seed, 120)).collect(),
        "charging_profile" => charging_profiles(),
        "stored_row" => charging_profiles().iter().filter_map(|json| stored_row(json)).collect(),
        _ => all_frames(),
    };
    seeds.extend(regressions(target).into_iter().map(|(_, bytes)| bytes));
    seeds
}

/// From the first brace to the end of the frame.
fn payload(frame: &[u8]) -> Option<Vec<u8>> {
    let start = frame.iter().position(|byte| *byte == b'{')?;
    Some(frame[start..].strip_suffix(b"]").unwrap_or(&frame[start..]).to_vec())
}

/// The profiles of the vectors of chapter 15.
fn charging_profiles() -> Vec<Vec<u8>> {
    let vectors = include_str!("../vectors/composite-schedules.jsonl").lines();
    let steps = vectors.flat_map(|line| {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        vector["steps"].as_array().unwrap().clone()
    });
    let mut found: Vec<_> = steps.filter_map(|step| Some(step.get("profile")?.to_string().into_bytes())).collect();
    found.sort();
    found.dedup();
    found
}

fn stored_row(json: &[u8]) -> Option<Vec<u8>> {
    let limits = Limits { max_stack_level: 1000, max_periods: 2000, max_installed: 1, units: [true, true] };
    let profile = Profile::read(json, 1, 1_704_067_200, &limits).ok()?.ok()?;
    Some(stored::write(&profile).into_bytes())
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..size).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

/// Inputs that once broke a target, by file name.
pub fn regressions(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    found
}
