//! A frame read and fully validated with jiter's pull parser, driven by the action table of ocpphub.
//!
//! Owns the lenient rules of a good frame, one pass, nothing kept. It may be laxer than ocpphub where that costs jiter less
//! (pointer, error codes, salvage): the comparison then flatters jiter. Source: OCPP-J 1.6 section 4, messages.md.

use jiter::{Jiter, NumberInt, Peek};
use ocpphub::action::{Action, Field, Kind, Shape};

/// Whether a frame is good. `pending` is the action of the open call, for a CALLRESULT.
pub fn is_valid(data: &[u8], pending: (&str, &'static Action)) -> Option<()> {
    let mut json = Jiter::new(data);
    let first = json.next_array().ok()??;
    let NumberInt::Int(message_type) = json.known_int(first).ok()?;
    step(&mut json)?;
    let unique_id = json.next_str().ok()?;
    if unique_id.chars().count() > 36 {
        return None;
    }
    let shape = match message_type {
        2 => {
            step(&mut json)?;
            Action::named(json.next_str().ok()?.as_bytes())?.request
        }
        3 => (unique_id == pending.0).then_some(pending.1.confirmation)?,
        _ => return None,
    };
    let peek = step(&mut json)?;
    if peek == Peek::Null {
        json.known_null().ok()?;
    } else {
        object(&mut json, peek, shape)?;
    }
    match json.array_step().ok()? {
        None => json.finish().ok(),
        Some(_) => None,
    }
}

fn step(json: &mut Jiter<'_>) -> Option<Peek> {
    json.array_step().ok()?
}

fn object(json: &mut Jiter<'_>, peek: Peek, shape: &'static Shape) -> Option<()> {
    if peek != Peek::Object {
        return None;
    }
    let (mut seen, mut hint) = (0_u32, 0);
    let mut key = json.known_object().ok()?;
    while let Some(name) = key {
        match find(shape, name, hint) {
            Some((index, field)) => {
                let bit = 1 << index;
                if seen & bit != 0 {
                    return None;
                }
                hint = index + 1;
                let peek = json.peek().ok()?;
                if peek == Peek::Null {
                    json.known_null().ok()?;
                } else {
                    seen |= bit;
                    value(json, peek, &field.kind)?;
                }
            }
            None => json.next_skip().ok()?,
        }
        key = json.next_key().ok()?;
    }
    (seen & shape.required == shape.required).then_some(())
}

/// The member of this name; members usually come in the order of the table, so the next one is tried first.
fn find(shape: &'static Shape, name: &str, hint: usize) -> Option<(usize, &'static Field)> {
    let rest = shape.fields.get(hint..).unwrap_or_default();
    let found = rest.iter().position(|field| field.name == name).map(|index| hint + index);
    let index = found.or_else(|| shape.fields.iter().position(|field| field.name == name))?;
    Some((index, shape.fields.get(index)?))
}

fn value(json: &mut Jiter<'_>, peek: Peek, kind: &'static Kind) -> Option<()> {
    match kind {
        Kind::Text { min, max } => {
            let text = string(json, peek)?;
            let long = text.len() > *max as usize && text.chars().count() > *max as usize;
            (!long && text.len() >= *min as usize && !text.as_bytes().contains(&0)).then_some(())
        }
        Kind::AnyText if peek == Peek::String => json.known_str().ok().map(|_| ()),
        Kind::AnyText => json.known_skip(peek).ok(),
        Kind::LooseTimestamp => string(json, peek).map(|_| ()),
        Kind::Timestamp => ocpphub::time::is_valid(string(json, peek)?.as_bytes(), false).then_some(()),
        Kind::Uri => {
            let (scheme, rest) = string(json, peek)?.split_once(':')?;
            (!rest.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))).then_some(())
        }
        Kind::Integer { min, max, .. } => {
            let NumberInt::Int(number) = json.known_int(peek).ok()?;
            (*min <= number && number <= *max).then_some(())
        }
        Kind::Decimal => decimal(json.known_number_bytes(peek).ok()?),
        Kind::Boolean => json.known_bool(peek).ok().map(|_| ()),
        Kind::Choice(set, _) => {
            let text = string(json, peek)?;
            set.values.contains(&text).then_some(())
        }
        Kind::OpenChoice(_) => string(json, peek).map(|_| ()),
        Kind::Object(shape) => object(json, peek, shape),
        Kind::List { item, min, max } => {
            if peek != Peek::Array {
                return None;
            }
            let mut next = json.known_array().ok()?;
            let mut count = 0;
            while let Some(peek) = next {
                value(json, peek, item)?;
                count += 1;
                next = json.array_step().ok()?;
            }
            (*min <= count && count <= *max).then_some(())
        }
    }
}

fn string<'a>(json: &'a mut Jiter<'_>, peek: Peek) -> Option<&'a str> {
    if peek == Peek::String { json.known_str().ok() } else { None }
}

/// A number of at least 0 whose text has at most one decimal, as integer tenths.
fn decimal(text: &[u8]) -> Option<()> {
    let mut tenths = 0_i64;
    let mut decimals = None;
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                tenths = tenths.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                decimals = decimals.map(|count: u32| count + 1);
            }
            b'.' => decimals = Some(0),
            _ => return None,
        }
    }
    (decimals.unwrap_or(0) <= 1 && tenths >= 0).then_some(())
}
