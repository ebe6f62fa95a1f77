//! What is sent: CALLERRORs, checked payloads and MeterValues are read back.

use ocpphub::action::{ACTIONS, ENUMERATIONS, Sender};
use ocpphub::encode;
use ocpphub::frame::{Frame, Options, decode as decode_frame};
use ocpphub::json::Scanner;
use ocpphub::meter::{MEMBERS, MeterLayout, Reading};
use ocpphub::time;
use ocpphub::validate::{Mode, payload as read_payload};
use ocpphub::violation::Code;
use serde_json::{Value, json};

use super::strict_json::is_json;

/// Text from raw bytes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A CALLERROR of any parts is JSON, bounded, and says what it was given.
pub fn encode_error(bytes: &[u8]) {
    let (head, rest) = bytes.split_at(bytes.len().min(2));
    let code = Code::ALL[usize::from(head.first().copied().unwrap_or(0)) % Code::ALL.len()];
    let (id, description) = rest.split_at(rest.len().min(usize::from(head.get(1).copied().unwrap_or(0))));
    let (id, description) = (text(id), text(description));
    let out = encode::encode_error(&id, code, &description, "{}");
    let shown: String = description
        .chars()
        .take(255)
        .map(|character| if matches!(character, ' '..='~') { character } else { '?' })
        .collect();
    assert_eq!(
        serde_json::from_slice::<Value>(&out).expect("an answer is JSON"),
        json!([4, id, code.name(), shown, {}])
    );
    assert!(out.len() <= 6 * id.len() + 6 * 255 + 64, "{} bytes", out.len());
    if id.chars().count() <= 36 {
        let read = decode_frame(&out, Options { strict: true, from: Sender::ChargePoint }, |_| None);
        assert!(matches!(&read, Ok(Frame::CallError { code: read, .. }) if *read == code), "{read:?}");
    }
}

/// A payload that may be sent is accepted by the other side's strict reader, and only JSON may be sent.
pub fn encode_payload(bytes: &[u8]) {
    for action in ACTIONS {
        if encode::check_payload(bytes, action.request).is_ok() {
            assert!(std::str::from_utf8(bytes).is_err() || starts_with_json(bytes), "sent what is not JSON");
            let mode = Mode { strict: true, confirmation: false };
            let read = read_payload(Scanner::new(bytes), action.request, mode, &mut ());
            assert!(read.is_ok() || bytes.starts_with(b"null"), "{read:?}");
        }
    }
}

/// Whether a JSON text stands at the start; what follows is the caller's business, which is `orjson`.
fn starts_with_json(bytes: &[u8]) -> bool {
    is_json(bytes) || (1..bytes.len()).rev().any(|end| is_json(&bytes[..end]))
}

/// A source of numbers that runs dry in zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }
    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| (word << 8) | u64::from(self.byte()))
    }
    /// Numbers of meters, or any bits.
    fn number(&mut self) -> f64 {
        match self.byte() % 4 {
            0 => f64::from_bits(self.word()),
            1 => f64::from(u16::try_from(self.word() & 0xffff).unwrap()) / 10.0,
            2 => (self.word() as i64 >> 20) as f64 / 1000.0,
            _ => f64::from(self.byte()) - 128.0,
        }
    }
}

/// One sample: members of the standard with values of the standard.
fn sample(source: &mut Bytes<'_>) -> Vec<(String, String)> {
    let enumerations = ["ReadingContext", "ValueFormat", "Measurand", "Phase", "Location", "UnitOfMeasure"];
    let present = source.byte();
    let member = |(index, name): (usize, &&str)| {
        let enumeration = ENUMERATIONS.iter().find(|item| item.name == enumerations[index]);
        let values = enumeration.expect("an enumeration of the standard").values;
        let value = values[usize::from(source.byte()) % values.len()];
        (present >> index & 1 == 1).then(|| ((*name).to_owned(), value.to_owned()))
    };
    MEMBERS.iter().enumerate().filter_map(member).collect()
}

/// A MeterValues frame is encoded exactly when its parts are within the PDU, and reads back as the same numbers.
pub fn meter_layout(bytes: &[u8]) {
    let mut source = Bytes(bytes);
    let samples: Vec<_> = (0..source.byte() % 4).map(|_| sample(&mut source)).collect();
    let layout = MeterLayout::new(&samples).expect("values of the standard");
    let connector_id = (source.word() as i64) >> (source.byte() & 63);
    // The least of the 64-bit integers is a listed difference of the target `numbers`.
    let transaction_id = (source.byte() % 2 == 1).then(|| source.word() as i64);
    let count = samples.len() - usize::from(source.byte() == 255 && !samples.is_empty());
    let mut readings = Vec::new();
    for _ in 0..source.byte() % 4 {
        let utc_ms = (source.word() as i64) >> (source.byte() & 63);
        readings.push((utc_ms, (0..count).map(|_| source.number()).collect::<Vec<f64>>()));
    }
    let id = text(source.0).chars().take(36).collect::<String>();
    let given: Vec<_> = readings.iter().map(|(utc_ms, values)| Reading { utc_ms: *utc_ms, values }).collect();
    let outcome = layout.encode(&id, connector_id, transaction_id, &given);
    let sound = |(utc_ms, values): &(i64, Vec<f64>)| {
        values.len() == samples.len()
            && values.iter().any(|value| !value.is_nan())
            && !values.iter().any(|value| value.is_infinite())
            && time::format(*utc_ms).is_some()
    };
    let right = (0..=2_147_483_647).contains(&connector_id) && !readings.is_empty() && readings.iter().all(sound);
    assert_eq!(outcome.is_ok(), right, "{outcome:?}");
    if let Ok(frame) = outcome {
        let read = decode_frame(&frame, Options { strict: true, from: Sender::ChargePoint }, |_| None);
        assert!(matches!(read, Ok(Frame::Call { .. })), "{read:?}: {}", text(&frame));
        same_numbers(&serde_json::from_slice(&frame).expect("a frame is JSON"), &id, &readings);
    }
}

fn same_numbers(frame: &Value, id: &str, readings: &[(i64, Vec<f64>)]) {
    assert_eq!(frame[1], json!(id));
    for (index, (utc_ms, values)) in readings.iter().enumerate() {
        let written = &frame[3]["meterValue"][index];
        let timestamp = written["timestamp"].as_str().expect("a text");
        assert_eq!(time::parse(timestamp.as_bytes(), true), Some(*utc_ms));
        let sent: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        let read = written["sampledValue"].as_array().expect("a list").iter();
        let read: Vec<f64> = read.map(|sample| sample["value"].as_str().expect("a text").parse().unwrap()).collect();
        assert_eq!(read, sent);
    }
}
