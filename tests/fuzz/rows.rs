//! The rows of `tests/vectors/bad-frames.jsonl`: their fields and the bytes of their messages.
//!
//! Format: requirements-j-security.md section 5.

use serde_json::Value;

const ROWS: &str = include_str!("../vectors/bad-frames.jsonl");
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One row.
pub struct Row(pub Value);

impl Row {
    /// A text field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0[field].as_str()
    }

    /// Its unique name.
    pub fn name(&self) -> &str {
        self.text("name").expect("every row has a name")
    }

    /// The message as it is on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let frame = self.text("frame").expect("every row has a frame");
        if self.text("encoding") == Some("base64") {
            return base64(frame);
        }
        let mut frame = frame.to_owned();
        for part in self.0["expand"].as_array().into_iter().flatten() {
            let (token, text) = (part[0].as_str().unwrap(), part[1].as_str().unwrap());
            frame = frame.replace(token, &text.repeat(usize::try_from(part[2].as_u64().unwrap()).unwrap()));
        }
        frame.into_bytes()
    }

    /// The own call that is outstanding: its id and action.
    pub fn pending(&self) -> Option<(&str, &str)> {
        Some((self.0["pending"]["id"].as_str()?, self.0["pending"]["action"].as_str()?))
    }
}

/// Every row.
pub fn rows() -> Vec<Row> {
    ROWS.lines().map(|line| Row(serde_json::from_str(line).expect("a row is JSON"))).collect()
}

fn base64(text: &str) -> Vec<u8> {
    let digits = text.bytes().take_while(|byte| *byte != b'=');
    let sixes: Vec<u8> = digits
        .map(|byte| u8::try_from(BASE64.iter().position(|digit| *digit == byte).expect("base64")).unwrap())
        .collect();
    let mut out = Vec::new();
    for group in sixes.chunks(4) {
        let word = group.iter().enumerate().fold(0_u32, |word, (at, six)| word | u32::from(*six) << (18 - 6 * at));
        out.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    out
}
