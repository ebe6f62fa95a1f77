//! Strict JSON, slowly: `serde_json` for the grammar, the depth, number and duplicate rules counted beside it.
//!
//! Listed differences from `serde_json` alone: containers more than 32 deep are refused; a number of any size is legal
//! grammar (its range is the reader's business); a byte order mark is refused by both.

use ocpphub::check;
use ocpphub::json::MAX_DEPTH;
use serde_json::Value;

/// What a text holds outside its strings.
struct Outline {
    /// The text with each number replaced by `1`, and by `x` where it is none.
    text: Vec<u8>,
    /// The numbers.
    numbers: Vec<String>,
    /// The most containers that are open at once.
    depth: usize,
    /// The members of all objects.
    members: usize,
}

/// Take a text apart. For a broken text only the part before its first error is right, which is enough to refuse it.
fn outline(bytes: &[u8]) -> Outline {
    let mut found = Outline { text: Vec::new(), numbers: Vec::new(), depth: 0, members: 0 };
    let (mut open, mut at, mut quoted) = (0_usize, 0, false);
    while let Some(&byte) = bytes.get(at) {
        if !quoted && (byte == b'-' || byte.is_ascii_digit()) {
            let is_part = |byte: &&u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            let size = bytes[at..].iter().take_while(is_part).count();
            let number = String::from_utf8_lossy(&bytes[at..at + size]).into_owned();
            found.text.push(if is_number(&number) { b'1' } else { b'x' });
            found.numbers.push(number);
            at += size;
            continue;
        }
        found.text.push(byte);
        match byte {
            b'\\' if quoted => {
                found.text.extend(bytes.get(at + 1));
                at += 1;
            }
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                open += 1;
                found.depth = found.depth.max(open);
            }
            b']' | b'}' if !quoted => open = open.saturating_sub(1),
            b':' if !quoted => found.members += 1,
            _ => {}
        }
        at += 1;
    }
    found
}

/// RFC 8259 section 6.
pub fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole) && digits(fraction) && digits(exponent) && (whole == "0" || !whole.starts_with('0'))
}

/// The value of a text, its numbers replaced, when it is UTF-8, RFC 8259 and at most 32 deep.
fn value(outline: &Outline) -> Option<Value> {
    let shallow = outline.depth <= usize::try_from(MAX_DEPTH).unwrap();
    shallow.then(|| serde_json::from_slice(&outline.text).ok()).flatten()
}

/// Whether a text is UTF-8, RFC 8259 and at most 32 deep.
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && value(&outline(bytes)).is_some()
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(array) => array.iter().map(members).sum(),
        _ => 0,
    }
}

fn fits_64_bits(number: &str) -> bool {
    if number.contains(['.', 'e', 'E']) {
        number.parse::<f64>().is_ok_and(f64::is_finite)
    } else {
        number.parse::<i64>().is_ok()
    }
}

/// The socket's check accepts exactly strict JSON without duplicate members and with numbers of 64 bits.
pub fn check_json(bytes: &[u8]) {
    let outline = outline(bytes);
    let right = std::str::from_utf8(bytes).is_ok()
        && value(&outline).is_some_and(|value| members(&value) == outline.members)
        && outline.numbers.iter().all(|number| fits_64_bits(number));
    let verdict = check::check(bytes);
    assert_eq!(verdict.is_ok(), right, "{verdict:?}");
    if let Err((wrong, at)) = verdict {
        assert!(wrong.is_ascii() && at <= bytes.len(), "{wrong} at {at}");
    }
}
