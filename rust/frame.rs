//! CALL, CALLRESULT and CALLERROR: decode and encode (OCPP-J 1.6 chapter 4).
//!
//! The order of checks is the pipeline of requirements 1.6: syntax of the whole text first, then array and type, id, arity,
//! action, payload. One pass does it: a broken rule is kept until the rest of the text has proved to be JSON.
#![forbid(unsafe_code)]

use crate::action::{Action, Sender, Shape};
use crate::json::{Broken, Scanner, Text, write_string};
use crate::number::Integral;
use crate::validate::{Failure, Mode, Refusal, payload};
use crate::violation::{Code, Reason, Stage, Violation};

/// Where something stands in the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
}

impl Span {
    /// The text of the span.
    #[must_use]
    pub fn of<'a>(&self, frame: &'a [u8]) -> &'a str {
        frame.get(self.start..self.end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// A frame that may be acted on.
#[derive(Debug)]
pub enum Frame {
    /// `[2, id, action, payload]`, valid.
    Call {
        /// The id, escapes untouched.
        unique_id: Span,
        /// The action.
        action: &'static Action,
        /// The payload: an object, or null for the empty one.
        payload: Span,
    },
    /// `[3, id, payload]`, valid when the call it answers is known.
    CallResult {
        /// The id, escapes untouched.
        unique_id: Span,
        /// The action of the pending call.
        action: Option<&'static Action>,
        /// The payload: an object, or null or an empty array for the empty one.
        payload: Span,
    },
    /// `[4, id, code, description, details]`, from two elements on (J-275).
    CallError {
        /// The id, escapes untouched.
        unique_id: Span,
        /// The action of the pending call.
        action: Option<&'static Action>,
        /// The code; an unknown one counts as GenericError.
        code: Code,
        /// At most 255 characters of the description.
        description: String,
        /// The details, any JSON.
        details: Option<Span>,
    },
}

/// What the decoder knows of the reader's side.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The tolerances of D-07 are off.
    pub strict: bool,
    /// Who sent the frame.
    pub from: Sender,
}

/// Longest id that is taken, and longest that is echoed in a refusal (J-231, J-253).
const ID_CHARACTERS: usize = 36;
const ECHOED_ID_CHARACTERS: usize = 255;
const DESCRIPTION_CHARACTERS: usize = 255;

/// Decode and fully validate one frame. `pending` finds the action of an own call by its id.
///
/// # Errors
/// The first rule that the frame breaks.
pub fn decode(
    bytes: &[u8],
    options: Options,
    pending: impl FnOnce(&str) -> Option<&'static Action>,
) -> Result<Frame, Box<Violation>> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refusal(Stage::Utf8, Reason::NotUtf8, None, None));
    };
    let mut scanner = Scanner::new(text);
    let head = head(&mut scanner, options.strict)?;
    match head.message_type {
        2 => call(scanner, head, options),
        3 => call_result(scanner, head, options, pending),
        _ => call_error(scanner, &head, pending),
    }
}

#[cold]
fn refusal(stage: Stage, reason: Reason, message_type: Option<u8>, unique_id: Option<String>) -> Box<Violation> {
    Box::new(Violation { stage, message_type, unique_id, action: None, reason, path: Vec::new() })
}

/// The start of a frame: `[`, type, `,`, id.
struct Head<'a> {
    message_type: u8,
    /// Whether the type is written as the single digit that the prefix rule asks for (J-272).
    plain_type: bool,
    id: Text<'a>,
    id_span: Span,
    /// Why the id cannot be taken, although it can be echoed.
    id_reason: Option<Reason>,
}

impl Head<'_> {
    /// The id as a text of its own.
    fn owned_id(&self) -> String {
        self.id.unescaped().into_owned()
    }

    /// The text is broken behind the head: the prefix rule decides whether the id counts (J-272, J-273).
    #[cold]
    fn broken(&self, broken: Broken, salvaged: bool) -> Box<Violation> {
        let reason = if broken == Broken::TooDeep { Reason::TooDeep } else { Reason::BadJson };
        let known = salvaged && self.plain_type && self.id_reason.is_none();
        refusal(Stage::Syntax, reason, Some(self.message_type), known.then(|| self.owned_id()))
    }

    /// The envelope breaks a rule.
    #[cold]
    fn refused(&self, stage: Stage, reason: Reason) -> Box<Violation> {
        refusal(stage, reason, Some(self.message_type), Some(self.owned_id()))
    }
}

/// Read `[`, the type and the id; everything wrong up to here is ignored by the receiver (J-271, J-272).
fn head<'a>(scanner: &mut Scanner<'a>, strict: bool) -> Result<Head<'a>, Box<Violation>> {
    let ignored = |reason| refusal(Stage::Envelope, reason, None, None);
    scanner.space();
    if !scanner.take(b'[') {
        return Err(ignored(Reason::NoMessageType));
    }
    scanner.space();
    let start = scanner.at();
    let message_type = match scanner.number().map(|number| (number, number.integral())) {
        Ok((number, Integral::Value(value @ 2..=4))) if number.is_plain() || !strict => {
            u8::try_from(value).unwrap_or_default()
        }
        _ => return Err(ignored(Reason::NoMessageType)),
    };
    let plain_type = scanner.at().wrapping_sub(start) == 1;
    scanner.space();
    if !scanner.take(b',') {
        return Err(ignored(Reason::WrongArity));
    }
    scanner.space();
    let start = scanner.at();
    let (id, id_span, mut id_reason) = match scanner.peek() {
        b'"' => {
            let id = scanner.string().map_err(|_| ignored(Reason::BadJson))?;
            (id, Span { start: start.wrapping_add(1), end: scanner.at().wrapping_sub(1) }, None)
        }
        b'-' | b'0'..=b'9' => {
            scanner.number().map_err(|_| ignored(Reason::BadJson))?;
            let raw = scanner.since(start);
            (
                Text { raw, shrinks: 0, ascii: true, nul: false },
                Span { start, end: scanner.at() },
                Some(Reason::IdNotString),
            )
        }
        _ => return Err(ignored(Reason::IdNotString)),
    };
    let characters = id.characters();
    if characters > ECHOED_ID_CHARACTERS {
        return Err(ignored(Reason::IdTooLong));
    }
    if characters > ID_CHARACTERS && id_reason.is_none() {
        id_reason = Some(Reason::IdTooLong);
    }
    scanner.space();
    Ok(Head { message_type, plain_type, id, id_span, id_reason })
}

/// Skip the elements that are left and the end of the text; how many elements there were.
fn rest(scanner: &mut Scanner<'_>) -> Result<usize, Broken> {
    let mut count = 0_usize;
    loop {
        scanner.space();
        if scanner.take(b']') {
            scanner.end()?;
            return Ok(count);
        }
        scanner.expect(b',')?;
        scanner.skip(1)?;
        count = count.wrapping_add(1);
    }
}

fn call(mut scanner: Scanner<'_>, head: Head<'_>, options: Options) -> Result<Frame, Box<Violation>> {
    let salvaged = scanner.peek() == b',';
    let broken = |broken| head.broken(broken, salvaged);
    if !salvaged || head.id_reason.is_some() {
        rest(&mut scanner).map_err(broken)?;
        return Err(head.refused(Stage::Envelope, head.id_reason.unwrap_or(Reason::WrongArity)));
    }
    scanner.advance(1);
    scanner.space();
    if scanner.peek() != b'"' {
        scanner.skip(1).map_err(broken)?;
        let more = rest(&mut scanner).map_err(broken)?;
        let reason = if more == 1 { Reason::ActionNotString } else { Reason::WrongArity };
        return Err(head.refused(Stage::Envelope, reason));
    }
    let name = scanner.string().map_err(broken)?;
    let action = Action::named(&name.unescaped());
    scanner.space();
    if !scanner.take(b',') {
        rest(&mut scanner).map_err(broken)?;
        return Err(head.refused(Stage::Envelope, Reason::WrongArity));
    }
    scanner.space();
    let start = scanner.at();
    let mode = Mode { strict: options.strict, confirmation: false };
    let outcome = match action {
        Some(action) if action.is_sent_by(options.from) => element(&mut scanner, action.request, mode),
        Some(_) => unread(&mut scanner, Reason::WrongDirection),
        None => unread(&mut scanner, Reason::UnknownAction),
    };
    if let Err(failure) = &outcome
        && let Refusal::Broken(why) = **failure
    {
        return Err(broken(why));
    }
    let span = Span { start, end: scanner.at() };
    if rest(&mut scanner).map_err(broken)? != 0 {
        return Err(head.refused(Stage::Envelope, Reason::WrongArity));
    }
    match (action, outcome) {
        (Some(action), Ok(())) => Ok(Frame::Call { unique_id: head.id_span, action, payload: span }),
        (action, outcome) => Err(call_refused(&head, action, outcome)),
    }
}

/// A CALL whose action or payload breaks a rule.
#[cold]
fn call_refused(head: &Head<'_>, action: Option<&'static Action>, outcome: Result<(), Failure>) -> Box<Violation> {
    let (reason, path) = match outcome.map_err(|failure| *failure) {
        Err(Refusal::Rule { reason, path, .. }) => (reason, path.into_iter().rev().collect()),
        _ => (Reason::UnknownAction, Vec::new()),
    };
    let stage = match reason {
        Reason::UnknownAction | Reason::WrongDirection => Stage::Action,
        _ => Stage::Payload,
    };
    let mut violation = head.refused(stage, reason);
    violation.action = action.map(|action| action.name);
    violation.path = path;
    violation
}

/// Skip a payload that nothing is known of.
#[cold]
fn unread(scanner: &mut Scanner<'_>, reason: Reason) -> Result<(), Failure> {
    scanner.skip(1)?;
    Err(Box::new(Refusal::Rule { reason, path: Vec::new(), resume: scanner.at() }))
}

/// The payload element: an object, or null for the empty object (J-207); in a confirmation without members also an empty
/// array (J-276). The cursor is left behind it, also when it breaks a rule.
#[inline(always)]
fn element(scanner: &mut Scanner<'_>, shape: &'static Shape, mode: Mode) -> Result<(), Failure> {
    if scanner.peek() != b'{' {
        return odd_element(scanner, shape, mode);
    }
    match payload(*scanner, shape, mode, &mut ()) {
        Ok(((), at)) => {
            scanner.seek(at);
            Ok(())
        }
        Err(failure) => {
            if let Refusal::Rule { resume, .. } = *failure {
                scanner.seek(resume);
            }
            Err(failure)
        }
    }
}

/// A payload that is not an object.
#[cold]
fn odd_element(scanner: &mut Scanner<'_>, shape: &'static Shape, mode: Mode) -> Result<(), Failure> {
    let (first, start) = (scanner.peek(), scanner.at());
    scanner.skip(1)?;
    let empty = || scanner.since(start).bytes().all(|byte| matches!(byte, b'[' | b']') || byte <= b' ');
    if first == b'n' {
        return payload(Scanner::new("{}"), shape, mode, &mut ()).map(drop).map_err(|mut failure| {
            if let Refusal::Rule { resume, .. } = failure.as_mut() {
                *resume = scanner.at();
            }
            failure
        });
    }
    if first == b'[' && mode.confirmation && shape.fields.is_empty() && empty() {
        return Ok(());
    }
    Err(Box::new(Refusal::Rule { reason: Reason::PayloadNotObject, path: Vec::new(), resume: scanner.at() }))
}

fn call_result(
    mut scanner: Scanner<'_>,
    head: Head<'_>,
    options: Options,
    pending: impl FnOnce(&str) -> Option<&'static Action>,
) -> Result<Frame, Box<Violation>> {
    let salvaged = scanner.peek() == b',';
    let broken = |broken| head.broken(broken, salvaged);
    if !salvaged || head.id_reason.is_some() {
        rest(&mut scanner).map_err(broken)?;
        return Err(head.refused(Stage::Envelope, head.id_reason.unwrap_or(Reason::WrongArity)));
    }
    scanner.advance(1);
    scanner.space();
    let action = pending(&head.id.unescaped());
    let mode = Mode { strict: options.strict, confirmation: true };
    let start = scanner.at();
    let outcome = match action {
        Some(action) => element(&mut scanner, action.confirmation, mode),
        None => scanner.skip(1).map_err(Failure::from),
    };
    if let Err(failure) = &outcome
        && let Refusal::Broken(why) = **failure
    {
        return Err(broken(why));
    }
    let span = Span { start, end: scanner.at() };
    // An extra element behind a usable payload is tolerated (row result-extra-element).
    if rest(&mut scanner).map_err(broken)? != 0 && options.strict {
        return Err(head.refused(Stage::Envelope, Reason::WrongArity));
    }
    match outcome {
        Ok(()) => Ok(Frame::CallResult { unique_id: head.id_span, action, payload: span }),
        outcome => Err(call_refused(&head, action, outcome)),
    }
}

fn call_error(
    mut scanner: Scanner<'_>,
    head: &Head<'_>,
    pending: impl FnOnce(&str) -> Option<&'static Action>,
) -> Result<Frame, Box<Violation>> {
    if let Some(reason) = head.id_reason {
        return Err(head.refused(Stage::Envelope, reason));
    }
    let broken = |broken| head.broken(broken, true);
    let mut spans = [None; 3];
    let mut count = 0_usize;
    loop {
        scanner.space();
        if scanner.take(b']') {
            break;
        }
        scanner.expect(b',').map_err(broken)?;
        scanner.space();
        let start = scanner.at();
        scanner.skip(1).map_err(broken)?;
        if let Some(span) = spans.get_mut(count) {
            *span = Some(Span { start, end: scanner.at() });
        }
        count = count.wrapping_add(1);
    }
    scanner.end().map_err(broken)?;
    if count > 3 {
        return Err(head.refused(Stage::Envelope, Reason::WrongArity));
    }
    let frame = scanner.since(0).as_bytes();
    let text = |span: Option<Span>| {
        let text = span.and_then(|span| Scanner::new(span.of(frame)).string().ok());
        text.map(|text| text.unescaped().chars().take(DESCRIPTION_CHARACTERS).collect::<String>()).unwrap_or_default()
    };
    let [code, description, details] = spans;
    Ok(Frame::CallError {
        unique_id: head.id_span,
        action: pending(&head.id.unescaped()),
        code: Code::from_peer(&text(code)),
        description: text(description),
        details,
    })
}

/// Check a payload that is about to be sent, strictly.
///
/// # Errors
/// Pointer and text of the first violation.
pub fn check_payload(bytes: &[u8], shape: &'static Shape) -> Result<(), String> {
    let violation = |reason, path| Violation {
        stage: Stage::Payload,
        message_type: None,
        unique_id: None,
        action: None,
        reason,
        path,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| violation(Reason::NotUtf8, Vec::new()).description())?;
    let mut scanner = Scanner::new(text);
    let outcome = element(&mut scanner, shape, Mode { strict: true, confirmation: false });
    outcome.map_err(|failure| match *failure {
        Refusal::Rule { reason, path, .. } => violation(reason, path.into_iter().rev().collect()).description(),
        Refusal::Broken(_) => violation(Reason::BadJson, Vec::new()).description(),
    })
}

/// `[2,"id","action",` : what stands before the payload of a CALL.
#[must_use]
pub fn call_head(unique_id: &str, action: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(unique_id.len().saturating_add(action.len()).saturating_add(10));
    out.extend_from_slice(b"[2,");
    write_string(&mut out, unique_id);
    out.push(b',');
    write_string(&mut out, action);
    out.push(b',');
    out
}

/// `[3,"id",` : what stands before the payload of a CALLRESULT.
#[must_use]
pub fn result_head(unique_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(unique_id.len().saturating_add(8));
    out.extend_from_slice(b"[3,");
    write_string(&mut out, unique_id);
    out.push(b',');
    out
}

/// A whole CALLERROR; the description is cut to 255 characters and made ASCII (J-262), `details` is JSON text.
#[must_use]
pub fn encode_error(unique_id: &str, code: Code, description: &str, details: &str) -> Vec<u8> {
    let ascii = |character: char| if character.is_ascii() && !character.is_control() { character } else { '?' };
    let description: String = description.chars().take(DESCRIPTION_CHARACTERS).map(ascii).collect();
    let mut out = Vec::with_capacity(description.len().saturating_add(details.len()).saturating_add(96));
    out.extend_from_slice(b"[4,");
    write_string(&mut out, unique_id);
    out.push(b',');
    write_string(&mut out, code.name());
    out.push(b',');
    write_string(&mut out, &description);
    out.push(b',');
    out.extend_from_slice(details.as_bytes());
    out.push(b']');
    out
}
