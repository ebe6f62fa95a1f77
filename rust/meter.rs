//! MeterValues from native numbers: the fixed part of the samples is prepared once, a frame costs only its numbers.
//!
//! Implements the MeterValues.req PDU of OCPP 1.6 section 6.31. The prepared part is checked by the same validator as every
//! other payload.
#![forbid(unsafe_code)]

use crate::action::METER_VALUES_REQ;
use crate::encode::{call_head, check_payload};
use crate::text::write_string;
use crate::time;

/// The members of a sampled value besides `value`, in the order of the standard.
pub const MEMBERS: [&str; 6] = ["context", "format", "measurand", "phase", "location", "unit"];

/// What stands before the number of each sample.
const FRONT: &[u8] = b"{\"value\":\"";

/// Sampled values with everything but their numbers.
#[derive(Debug)]
pub struct MeterLayout {
    /// What follows the number of each sample: `","measurand":"..."},` and the front of the next one.
    tails: Vec<Vec<u8>>,
    /// What one reading takes in bytes, about.
    room: usize,
}

/// One reading: when, and one number per sample.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// UTC milliseconds.
    pub utc_ms: i64,
    /// One number per sample; NaN leaves the sample out.
    pub values: &'a [f64],
}

impl MeterLayout {
    /// Prepare the samples, each given by its members.
    ///
    /// # Errors
    /// What the validator says about the first bad sample.
    pub fn new(samples: &[Vec<(String, String)>]) -> Result<Self, String> {
        let mut tails = Vec::with_capacity(samples.len());
        for (index, sample) in samples.iter().enumerate() {
            let mut tail = b"\"".to_vec();
            for (name, value) in sample {
                if !MEMBERS.contains(&name.as_str()) {
                    return Err(format!(
                        "sample {index}: the members are context, format, measurand, phase, location and unit"
                    ));
                }
                tail.push(b',');
                write_string(&mut tail, name);
                tail.push(b':');
                write_string(&mut tail, value);
            }
            tail.push(b'}');
            let probe = [
                br#"{"connectorId":1,"meterValue":[{"timestamp":"2024-01-01T00:00:00Z","sampledValue":[{"value":"0"#
                    .as_slice(),
                &tail,
                b"]}]}",
            ];
            check_payload(&probe.concat(), &METER_VALUES_REQ).map_err(|why| format!("sample {index}: {why}"))?;
            tail.push(b',');
            tail.extend_from_slice(FRONT);
            tails.push(tail);
        }
        let fixed: usize = tails.iter().map(Vec::len).sum();
        let room = fixed.saturating_add(tails.len().saturating_mul(12)).saturating_add(160);
        Ok(Self { tails, room })
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.tails.len()
    }

    /// A whole MeterValues CALL.
    ///
    /// # Errors
    /// When a reading has no number at all or another count of numbers than samples, a time outside the years 0 to 9999, or
    /// a number that is infinite; when the connector is negative or there is no reading.
    pub fn encode(
        &self,
        unique_id: &str,
        connector_id: i64,
        transaction_id: Option<i64>,
        readings: &[Reading<'_>],
    ) -> Result<Vec<u8>, String> {
        let mut out = self.begin(unique_id, connector_id, transaction_id)?;
        for reading in readings {
            self.add(&mut out, reading)?;
        }
        Self::finish(out)
    }

    /// The frame up to its readings, each of which [`add`](Self::add) appends.
    ///
    /// # Errors
    /// When the connector is negative.
    pub fn begin(&self, unique_id: &str, connector_id: i64, transaction_id: Option<i64>) -> Result<Vec<u8>, String> {
        if !(0..=2_147_483_647).contains(&connector_id) {
            return Err("/connectorId: must be between 0 and 2147483647".into());
        }
        let mut out = call_head(unique_id, "MeterValues", self.room);
        out.extend_from_slice(b"{\"connectorId\":");
        out.extend_from_slice(itoa::Buffer::new().format(connector_id).as_bytes());
        if let Some(transaction_id) = transaction_id {
            out.extend_from_slice(b",\"transactionId\":");
            out.extend_from_slice(itoa::Buffer::new().format(transaction_id).as_bytes());
        }
        out.extend_from_slice(b",\"meterValue\":[");
        Ok(out)
    }

    /// The frame, complete.
    ///
    /// # Errors
    /// When no reading has been added.
    pub fn finish(mut out: Vec<u8>) -> Result<Vec<u8>, String> {
        if out.pop() != Some(b',') {
            return Err("/meterValue: at least 1 item(s) required".into());
        }
        out.extend_from_slice(b"]}]");
        Ok(out)
    }

    /// Append a reading.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn add(&self, out: &mut Vec<u8>, reading: &Reading<'_>) -> Result<(), String> {
        if reading.values.len() != self.tails.len() {
            return Err(format!("/meterValue: {} numbers for {} samples", reading.values.len(), self.tails.len()));
        }
        out.extend_from_slice(b"{\"timestamp\":\"");
        if !time::write(out, reading.utc_ms) {
            return Err("/meterValue: the time is outside the years 0 to 9999".into());
        }
        out.extend_from_slice(b"\",\"sampledValue\":[{\"value\":\"");
        let start = out.len();
        for (value, tail) in reading.values.iter().zip(&self.tails) {
            if !value.is_nan() {
                write_number(out, *value)?;
                out.extend_from_slice(tail);
            }
        }
        if out.len() == start {
            return Err("/meterValue: no number at all".into());
        }
        // The last tail announces one more sample.
        out.truncate(out.len().saturating_sub(FRONT.len().saturating_add(1)));
        out.extend_from_slice(b"]},");
        Ok(())
    }
}

/// A number as decimal text without exponent. What has up to three decimals, as meters have, takes the integer way.
#[allow(clippy::float_cmp, clippy::as_conversions)] // exact on purpose; the rounded number is below 1e15, so it fits both
fn write_number(out: &mut Vec<u8>, value: f64) -> Result<(), String> {
    if !value.is_finite() {
        return Err("/meterValue: a number is infinite".into());
    }
    if value.abs() < 1e12 {
        let thousandths = value * 1000.0;
        // Half away from zero, without a call into the maths library.
        let rounded = (thousandths + 0.5_f64.copysign(thousandths)) as i64;
        // The text must read back as the same number, so the short form is only taken when it does.
        if rounded as f64 / 1000.0 == value {
            write_thousandths(out, rounded);
            return Ok(());
        }
    }
    out.extend_from_slice(format!("{value}").as_bytes());
    Ok(())
}

fn write_thousandths(out: &mut Vec<u8>, thousandths: i64) {
    let mut text = [0_u8; 24];
    let mut places = text.iter_mut().rev();
    let mut length = 0_usize;
    let mut write = |byte: u8| {
        if let Some(place) = places.next() {
            *place = byte;
            length = length.wrapping_add(1);
        }
    };
    let mut rest = thousandths.unsigned_abs();
    let mut digit = || {
        let digit = b'0'.wrapping_add(u8::try_from(rest.wrapping_rem(10)).unwrap_or(0));
        rest = rest.wrapping_div(10);
        (digit, rest == 0)
    };
    let mut decimals = false;
    for _ in 0..3 {
        let (digit, _) = digit();
        decimals |= digit != b'0';
        if decimals {
            write(digit);
        }
    }
    if decimals {
        write(b'.');
    }
    loop {
        let (digit, last) = digit();
        write(digit);
        if last {
            break;
        }
    }
    if thousandths < 0 {
        write(b'-');
    }
    out.extend_from_slice(text.get(24_usize.wrapping_sub(length)..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_number(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn number_reads_back_as_itself() {
        for value in [
            0.0,
            1.0,
            -1.5,
            230.1,
            16.05,
            1e11,
            123_456_789.001,
            0.000_123,
            1e300,
            -0.001,
            999_999_999_999.999,
            1.0 / 3.0,
        ] {
            assert_eq!(text(value).parse::<f64>(), Ok(value));
        }
        assert_eq!(text(230.1), "230.1");
        assert_eq!(text(-0.001), "-0.001");
        assert_eq!(text(7.25), "7.25");
        assert_eq!(text(1200.0), "1200");
    }

    #[test]
    fn frame_is_a_valid_call() {
        // req: CORE-RPC-18
        let sample = |measurand: &str| vec![("measurand".to_owned(), measurand.to_owned())];
        let layout = MeterLayout::new(&[sample("Voltage"), sample("SoC")]).unwrap();
        let readings = [
            Reading { utc_ms: 1_704_067_200_123, values: &[230.1, f64::NAN] },
            Reading { utc_ms: 1_704_067_260_000, values: &[229.0, 55.0] },
        ];
        let frame = layout.encode("m-1", 3, Some(-7), &readings).unwrap();
        let text = String::from_utf8(frame).unwrap();
        assert_eq!(
            text,
            "[2,\"m-1\",\"MeterValues\",{\"connectorId\":3,\"transactionId\":-7,\"meterValue\":[\
             {\"timestamp\":\"2024-01-01T00:00:00.123Z\",\"sampledValue\":[{\"value\":\"230.1\",\"measurand\":\"Voltage\"}]},\
             {\"timestamp\":\"2024-01-01T00:01:00.000Z\",\"sampledValue\":[{\"value\":\"229\",\"measurand\":\"Voltage\"},\
             {\"value\":\"55\",\"measurand\":\"SoC\"}]}]}]"
        );
    }

    #[test]
    fn layout_and_frame_refuse_what_the_pdu_has_not() {
        let sample = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(MeterLayout::new(&[sample("unit", "Hertz")]).unwrap_err().contains("/unit"));
        assert!(MeterLayout::new(&[sample("value", "1")]).is_err());
        let layout = MeterLayout::new(&[sample("unit", "V")]).unwrap();
        for values in [&[f64::NAN][..], &[f64::INFINITY], &[], &[1.0, 2.0]] {
            assert!(layout.encode("m", 1, None, &[Reading { utc_ms: 0, values }]).is_err());
        }
        assert!(layout.encode("m", -1, None, &[Reading { utc_ms: 0, values: &[1.0] }]).is_err());
        assert!(layout.encode("m", 1, None, &[Reading { utc_ms: i64::MAX, values: &[1.0] }]).is_err());
        assert!(layout.encode("m", 1, None, &[]).is_err());
    }
}
