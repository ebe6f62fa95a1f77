//! Frames: what `decode` promises of any bytes, as far as it can be decided without a second implementation of the rules.

use ocpphub::action::{ACTIONS, Action, Enumeration, Field, NAMES, Sender, Shape};
use ocpphub::build::Build;
use ocpphub::encode;
use ocpphub::frame::{Frame, Options, decode as decode_frame};
use ocpphub::json::Scanner;
use ocpphub::text::Text;
use ocpphub::validate::{Mode, payload as read_payload, pick};
use ocpphub::violation::{Stage, Verdict, Violation};
use serde_json::{Map, Value, json};

use std::borrow::Cow;

use super::strict_json::is_json;

/// Builds a `serde_json` value, so that what is materialised can be compared.
struct Tree<const TRUSTED: bool>;

impl<'a, const TRUSTED: bool> Build<'a> for Tree<TRUSTED> {
    const TRUSTED: bool = TRUSTED;
    type Value = Value;
    type Object = Map<String, Value>;
    type List = Vec<Value>;

    fn object(&mut self) -> Self::Object {
        Map::new()
    }
    fn put(&mut self, object: &mut Self::Object, field: &'static Field, value: Value) {
        assert!(object.insert(field.name.to_owned(), value).is_none(), "{} twice", field.name);
    }
    fn close_object(&mut self, object: Self::Object) -> Value {
        Value::Object(object)
    }
    fn list(&mut self) -> Self::List {
        Vec::new()
    }
    fn push(&mut self, list: &mut Self::List, value: Value) {
        list.push(value);
    }
    fn close_list(&mut self, list: Self::List) -> Value {
        Value::Array(list)
    }
    fn text(&mut self, text: Text<'a>) -> Value {
        let text = text.to_text().into_owned();
        assert!(!text.contains('\0'), "U+0000 in a text (J-256)");
        Value::String(text)
    }
    fn content(&mut self, content: Cow<'a, [u8]>) -> Value {
        Value::String(String::from_utf8(content.into_owned()).unwrap())
    }
    fn choice(&mut self, enumeration: &'static Enumeration, index: usize) -> Value {
        Value::String(enumeration.values[index].to_owned())
    }
    fn integer(&mut self, value: i64) -> Value {
        json!(value)
    }
    fn tenths(&mut self, value: i64) -> Value {
        json!(value as f64 / 10.0)
    }
    fn boolean(&mut self, value: bool) -> Value {
        json!(value)
    }
}

/// An action that depends on the frame alone, so that every confirmation is reached.
fn some_action(bytes: &[u8]) -> &'static Action {
    let sum = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let named = ACTIONS.iter().find(|action| contains(bytes, format!("\"{}-", action.name).as_bytes()));
    named.unwrap_or(&ACTIONS[sum % ACTIONS.len()])
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Every promise that `decode` makes, for both senders, strictly and leniently.
pub fn decode(bytes: &[u8]) {
    let answered = some_action(bytes);
    for from in [Sender::Csms, Sender::ChargePoint] {
        let accepted = [true, false].map(|strict| {
            let options = Options { strict, from };
            let outcome = decode_frame(bytes, options, |_| Some(answered));
            let again = decode_frame(bytes, options, |_| Some(answered));
            assert_eq!(format!("{outcome:?}"), format!("{again:?}"));
            match &outcome {
                Ok(frame) => accepted(bytes, frame, options),
                Err(violation) => refused(bytes, violation, options),
            }
            outcome.is_ok()
        });
        assert!(!accepted[0] || accepted[1], "strict mode accepts what lenient mode refuses");
    }
}

/// The text of an id that stands between its quotes in a frame.
fn unescaped(raw: &str) -> String {
    serde_json::from_str(&format!("\"{raw}\"")).expect("an id is a JSON string")
}

fn accepted(bytes: &[u8], frame: &Frame, options: Options) {
    assert!(is_json(bytes), "accepted a text that is not JSON");
    let strict = options.strict;
    match frame {
        Frame::Call { unique_id, action, payload } => {
            let id = unescaped(unique_id.of(bytes));
            assert!(id.chars().count() <= 36);
            let raw = payload.of_bytes(bytes);
            materialised(raw, action.request, Mode { strict, confirmation: false });
            let mut again = encode::call_head(&id, action.name, 0);
            again.extend_from_slice(raw);
            again.push(b']');
            let again = decode_frame(&again, options, |_| None);
            assert!(
                matches!(again, Ok(Frame::Call { action: other, .. }) if std::ptr::eq(*action, other)),
                "{again:?}"
            );
            if strict && raw != b"null" {
                assert_eq!(encode::check_payload(raw, action.request), Ok(()));
            }
        }
        Frame::CallResult { unique_id, action, payload } => {
            assert!(unescaped(unique_id.of(bytes)).chars().count() <= 36);
            let action = action.expect("the id is pending");
            materialised(payload.of_bytes(bytes), action.confirmation, Mode { strict, confirmation: true });
        }
        Frame::CallError { unique_id, description, details, .. } => {
            assert!(unescaped(unique_id.of(bytes)).chars().count() <= 36);
            assert!(description.chars().count() <= 255);
            assert!(details.is_none_or(|span| is_json(span.of_bytes(bytes))));
        }
    }
}

/// An accepted payload can be read, trusted or not, as a whole and member by member, and says what `serde_json` says.
fn materialised(raw: &[u8], shape: &'static Shape, mode: Mode) {
    if raw.first() != Some(&b'{') {
        return;
    }
    let (trusted, rest) = read_payload(Scanner::new(raw), shape, mode, &mut Tree::<true>).expect("validated before");
    assert!(rest.is_empty());
    let (value, _) = read_payload(Scanner::new(raw), shape, mode, &mut Tree::<false>).expect("validated before");
    assert_eq!(trusted, value);
    for field in shape.fields {
        let alone = pick(Scanner::new(raw), shape, mode, field, &mut Tree::<true>).expect("validated before");
        assert_eq!(alone.as_ref(), value.get(field.name), "/{}", field.name);
    }
    if let Ok(Value::Object(plain)) = serde_json::from_slice(raw) {
        for (name, found) in value.as_object().expect("an object") {
            match (found, plain.get(name)) {
                // An unknown status that reads Invalid (J-276) is inside idTagInfo; data of a DataTransfer is its text.
                (Value::String(text), Some(Value::String(other))) => assert_eq!(text, other),
                (Value::Bool(_), other) => assert_eq!(Some(found), other),
                (Value::Number(number), Some(Value::Number(other))) if number.is_i64() && other.is_i64() => {
                    assert_eq!(number, other);
                }
                _ => {}
            }
        }
    }
}

fn refused(bytes: &[u8], violation: &Violation, options: Options) {
    let json = is_json(bytes);
    match violation.stage {
        Stage::Utf8 => assert!(std::str::from_utf8(bytes).is_err()),
        Stage::Syntax => assert!(!json && std::str::from_utf8(bytes).is_ok(), "refused a JSON text as broken"),
        // Listed difference: where not even type and id can be read the frame is ignored at once, broken or not.
        Stage::Envelope if violation.message_type.is_none() => assert_eq!(violation.verdict(), Verdict::Ignore),
        Stage::Envelope | Stage::Action | Stage::Payload => assert!(json, "judged a broken text"),
    }
    assert_eq!(violation.verdict() == Verdict::Close, violation.stage == Stage::Utf8);
    let (pointer, description) = (violation.pointer(), violation.description());
    assert!(pointer.is_empty() || (pointer.starts_with('/') && violation.stage == Stage::Payload), "{pointer}");
    let known = |segment: &str| NAMES.contains(&segment) || segment.bytes().all(|byte| byte.is_ascii_digit());
    assert!(pointer.split('/').skip(1).all(known), "{pointer}");
    assert!(description.is_ascii() && description.len() <= 255 && description.starts_with(&pointer), "{description}");
    if violation.verdict() == Verdict::CallError {
        answered(bytes, violation, options);
    }
}

/// The answer is a CALLERROR for the id that was received.
fn answered(bytes: &[u8], violation: &Violation, options: Options) {
    let raw = violation.unique_id.expect("only a known id is answered").of(bytes);
    let id = unescaped(raw);
    assert!(id.chars().count() <= 255);
    let answer = encode::encode_error(&id, violation.reason.code(), &violation.description(), "{}");
    assert!(answer.len() <= 512 || id.len() > 36, "{} bytes", answer.len());
    let read: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    assert_eq!(read[1], Value::String(id.clone()));
    if id.chars().count() <= 36 {
        let read = decode_frame(&answer, options, |_| None);
        assert!(matches!(read, Ok(Frame::CallError { code, .. }) if code == violation.reason.code()), "{read:?}");
    }
}
