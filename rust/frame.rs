//! CALL, CALLRESULT and CALLERROR, decoded (OCPP-J 1.6 chapter 4).
//!
//! The order of checks is the pipeline of requirements 1.6: syntax of the whole text first, then array and type, id, arity,
//! action, payload. One pass does it: a broken rule is kept until the rest of the text has proved to be JSON.
#![forbid(unsafe_code)]

use crate::action::{Action, Sender, Shape};
use crate::json::{Broken, Scanner};
use crate::number::Integral;
use crate::text::{Span, Text};
use crate::validate::{Failure, Mode, Refusal, payload};
use crate::violation::{Code, Path, Reason, Stage, Violation};

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

/// Longest id that is taken (J-231).
pub const ID_CHARACTERS: usize = 36;
/// Longest id that is echoed in a refusal (J-253).
const ECHOED_ID_CHARACTERS: usize = 255;
pub(crate) const DESCRIPTION_CHARACTERS: usize = 255;

/// Decode and fully validate one frame. `pending` finds the action of an own call by its id.
///
/// # Errors
/// The first rule that the frame breaks.
pub fn decode(
    bytes: &[u8],
    options: Options,
    pending: impl FnOnce(&str) -> Option<&'static Action>,
) -> Result<Frame, Violation> {
    if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
        return Err(refusal(Stage::Utf8, Reason::NotUtf8, None, None));
    }
    let mut reader = Reader { scanner: Scanner::new(bytes), size: bytes.len() };
    let head = reader.head(options.strict)?;
    match head.message_type {
        2 => reader.call(&head, options),
        3 => reader.call_result(&head, options, pending),
        _ => reader.call_error(&head, bytes, pending),
    }
}

#[cold]
fn refusal(stage: Stage, reason: Reason, message_type: Option<u8>, unique_id: Option<Span>) -> Violation {
    Violation { stage, message_type, unique_id, action: None, reason, path: Path::default() }
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
    /// Whether a comma follows the id, which the prefix rule asks for too.
    salvaged: bool,
}

impl Head<'_> {
    /// The text is broken behind the head: the prefix rule decides whether the id counts (J-272, J-273).
    #[cold]
    fn broken(&self, broken: Broken) -> Violation {
        let reason = if broken == Broken::TooDeep { Reason::TooDeep } else { Reason::BadJson };
        let known = self.salvaged && self.plain_type && self.id_reason.is_none();
        refusal(Stage::Syntax, reason, Some(self.message_type), known.then_some(self.id_span))
    }

    /// What is wrong with the id, or that nothing follows it.
    #[inline(always)]
    fn wrong(&self) -> Option<Reason> {
        self.id_reason.or((!self.salvaged).then_some(Reason::WrongArity))
    }

    /// The envelope breaks a rule.
    #[cold]
    fn refused(&self, stage: Stage, reason: Reason) -> Violation {
        refusal(stage, reason, Some(self.message_type), Some(self.id_span))
    }
}

/// A cursor that knows where in the frame it is.
#[derive(Clone, Copy)]
struct Reader<'a> {
    scanner: Scanner<'a>,
    size: usize,
}

impl<'a> Reader<'a> {
    /// Byte offset of the cursor.
    #[inline(always)]
    const fn at(&self) -> usize {
        self.size.wrapping_sub(self.scanner.rest().len())
    }

    /// Read `[`, the type and the id; everything wrong up to here is ignored by the receiver (J-271, J-272).
    #[inline(always)]
    fn head(&mut self, strict: bool) -> Result<Head<'a>, Violation> {
        let (message_type, plain_type) = match self.scanner.rest() {
            [b'[', digit @ b'2'..=b'4', b',', ..] => {
                self.scanner.advance(3);
                (digit.wrapping_sub(b'0'), true)
            }
            _ => self.message_type(strict)?,
        };
        let quoted = self.scanner.peek_token() == b'"';
        let start = self.at();
        let (id, mut reason) = if quoted {
            (self.scanner.string().map_err(|_| ignored(Reason::BadJson))?, None)
        } else {
            (self.number_id()?, Some(Reason::IdNotString))
        };
        let characters = id.characters();
        if characters > ID_CHARACTERS {
            if characters > ECHOED_ID_CHARACTERS {
                return Err(ignored(Reason::IdTooLong));
            }
            reason = reason.or(Some(Reason::IdTooLong));
        }
        let quotes = usize::from(quoted);
        let id_span = Span { start: start.wrapping_add(quotes), end: self.at().wrapping_sub(quotes) };
        let salvaged = self.scanner.peek_token() == b',';
        Ok(Head { message_type, plain_type, id, id_span, id_reason: reason, salvaged })
    }

    /// `[`, the type and a comma in any legal writing.
    #[cold]
    fn message_type(&mut self, strict: bool) -> Result<(u8, bool), Violation> {
        let scanner = &mut self.scanner;
        scanner.space();
        if !scanner.take(b'[') {
            return Err(ignored(Reason::NoMessageType));
        }
        scanner.space();
        let start = scanner.rest();
        let message_type = match scanner.number().map(|number| (number, number.integral())) {
            Ok((number, Integral::Value(value @ 2..=4))) if number.is_plain() || !strict => u8::try_from(value).ok(),
            _ => None,
        };
        let message_type = message_type.ok_or_else(|| ignored(Reason::NoMessageType))?;
        let plain = scanner.since(start).len() == 1;
        scanner.space();
        if !scanner.take(b',') {
            return Err(ignored(Reason::WrongArity));
        }
        Ok((message_type, plain))
    }

    /// An id that is a number is echoed as its text.
    #[cold]
    fn number_id(&mut self) -> Result<Text<'a>, Violation> {
        let start = self.scanner.rest();
        self.scanner.number().map_err(|_| ignored(Reason::IdNotString))?;
        Ok(Text { ascii: true, ..Text::plain(self.scanner.since(start)) })
    }

    /// Skip the elements that are left and the end of the text; how many elements there were.
    #[inline(always)]
    fn rest(&mut self) -> Result<usize, Broken> {
        if self.scanner.rest() == b"]" {
            return Ok(0);
        }
        self.long_rest()
    }

    #[cold]
    fn long_rest(&mut self) -> Result<usize, Broken> {
        let mut count = 0_usize;
        loop {
            self.scanner.space();
            if self.scanner.take(b']') {
                self.scanner.end()?;
                return Ok(count);
            }
            self.scanner.expect(b',')?;
            self.scanner.skip(1)?;
            count = count.wrapping_add(1);
        }
    }

    /// Nothing but the end of the text can still matter: the envelope breaks a rule.
    #[cold]
    fn refuse(mut self, head: &Head<'a>, reason: Reason) -> Violation {
        match self.rest() {
            Ok(_) => head.refused(Stage::Envelope, reason),
            Err(broken) => head.broken(broken),
        }
    }

    #[inline(always)]
    fn call(mut self, head: &Head<'a>, options: Options) -> Result<Frame, Violation> {
        if let Some(reason) = head.wrong() {
            return Err(self.refuse(head, reason));
        }
        self.scanner.advance(1);
        if self.scanner.peek_token() != b'"' {
            return Err(self.action_not_string(head));
        }
        let name = self.scanner.string().map_err(|broken| head.broken(broken))?;
        let action = if name.shrinks == 0 { Action::named(name.raw) } else { Action::named(&name.unescaped()) };
        if self.scanner.peek_token() != b',' {
            return Err(self.refuse(head, Reason::WrongArity));
        }
        self.scanner.advance(1);
        self.scanner.space();
        let start = self.at();
        let mode = Mode { strict: options.strict, confirmation: false };
        let outcome = match action {
            Some(action) if action.is_sent_by(options.from) => element(&mut self.scanner, action.request, mode),
            Some(_) => unread(&mut self.scanner, Reason::WrongDirection),
            None => unread(&mut self.scanner, Reason::UnknownAction),
        };
        let span = Span { start, end: self.at() };
        match (action, outcome) {
            (Some(action), Ok(())) => match self.rest() {
                Ok(0) => Ok(Frame::Call { unique_id: head.id_span, action, payload: span }),
                Ok(_) => Err(head.refused(Stage::Envelope, Reason::WrongArity)),
                Err(broken) => Err(head.broken(broken)),
            },
            (action, outcome) => Err(self.payload_refused(head, action, outcome)),
        }
    }

    /// A CALL whose action is no string: with four elements that is it, otherwise their number.
    #[cold]
    fn action_not_string(mut self, head: &Head<'a>) -> Violation {
        match self.scanner.skip(1).and_then(|()| self.rest()) {
            Ok(1) => head.refused(Stage::Envelope, Reason::ActionNotString),
            Ok(_) => head.refused(Stage::Envelope, Reason::WrongArity),
            Err(broken) => head.broken(broken),
        }
    }

    /// Action or payload break a rule; syntax and arity of the rest come first.
    #[cold]
    fn payload_refused(
        mut self,
        head: &Head<'a>,
        action: Option<&'static Action>,
        outcome: Result<(), Failure<'a>>,
    ) -> Violation {
        let (reason, path) = match outcome.map_err(|failure| *failure) {
            Err(Refusal::Broken(broken)) => return head.broken(broken),
            Err(Refusal::Rule { reason, path, .. }) => (reason, path),
            Ok(()) => (Reason::UnknownAction, Path::default()),
        };
        match self.rest() {
            Ok(0) => {}
            Ok(_) if head.message_type == 3 => {}
            Ok(_) => return head.refused(Stage::Envelope, Reason::WrongArity),
            Err(broken) => return head.broken(broken),
        }
        let stage = match reason {
            Reason::UnknownAction | Reason::WrongDirection => Stage::Action,
            _ => Stage::Payload,
        };
        let mut violation = head.refused(stage, reason);
        violation.action = action.map(|action| action.name);
        violation.path = path;
        violation
    }

    #[inline(always)]
    fn call_result(
        mut self,
        head: &Head<'a>,
        options: Options,
        pending: impl FnOnce(&str) -> Option<&'static Action>,
    ) -> Result<Frame, Violation> {
        if let Some(reason) = head.wrong() {
            return Err(self.refuse(head, reason));
        }
        self.scanner.advance(1);
        self.scanner.space();
        let action = pending(&head.id.to_text());
        let mode = Mode { strict: options.strict, confirmation: true };
        let start = self.at();
        let outcome = match action {
            Some(action) => element(&mut self.scanner, action.confirmation, mode),
            None => self.scanner.skip(1).map_err(Failure::from),
        };
        let span = Span { start, end: self.at() };
        match outcome {
            Ok(()) => match self.rest() {
                // An extra element behind a usable payload is tolerated (row result-extra-element).
                Ok(more) if more == 0 || !options.strict => {
                    Ok(Frame::CallResult { unique_id: head.id_span, action, payload: span })
                }
                Ok(_) => Err(head.refused(Stage::Envelope, Reason::WrongArity)),
                Err(broken) => Err(head.broken(broken)),
            },
            outcome => Err(self.payload_refused(head, action, outcome)),
        }
    }

    fn call_error(
        mut self,
        head: &Head<'a>,
        frame: &'a [u8],
        pending: impl FnOnce(&str) -> Option<&'static Action>,
    ) -> Result<Frame, Violation> {
        if let Some(reason) = head.id_reason {
            return Err(self.refuse(head, reason));
        }
        let broken = |broken| head.broken(broken);
        let mut spans = [None; 3];
        let mut count = 0_usize;
        while self.scanner.peek_token() != b']' {
            self.scanner.expect(b',').map_err(broken)?;
            self.scanner.space();
            let start = self.at();
            self.scanner.skip(1).map_err(broken)?;
            if let Some(span) = spans.get_mut(count) {
                *span = Some(Span { start, end: self.at() });
            }
            count = count.wrapping_add(1);
        }
        self.scanner.advance(1);
        self.scanner.end().map_err(broken)?;
        if count > 3 {
            return Err(head.refused(Stage::Envelope, Reason::WrongArity));
        }
        let text = |span: Option<Span>| {
            let text = span.and_then(|span| Scanner::new(span.of(frame).as_bytes()).string().ok());
            text.map(|text| text.to_text().chars().take(DESCRIPTION_CHARACTERS).collect::<String>()).unwrap_or_default()
        };
        let [code, description, details] = spans;
        Ok(Frame::CallError {
            unique_id: head.id_span,
            action: pending(&head.id.to_text()),
            code: Code::from_peer(&text(code)),
            description: text(description),
            details,
        })
    }
}

#[cold]
fn ignored(reason: Reason) -> Violation {
    refusal(Stage::Envelope, reason, None, None)
}

/// Skip a payload that nothing is known of.
#[cold]
fn unread<'a>(scanner: &mut Scanner<'a>, reason: Reason) -> Result<(), Failure<'a>> {
    scanner.skip(1)?;
    Err(Box::new(Refusal::Rule { reason, path: Path::default(), rest: scanner.rest() }))
}

/// The payload element: an object, or null for the empty object (J-207); in a confirmation without members also an empty
/// array (J-276). The cursor is left behind it, also when it breaks a rule.
#[inline(always)]
pub(crate) fn element<'a>(scanner: &mut Scanner<'a>, shape: &'static Shape, mode: Mode) -> Result<(), Failure<'a>> {
    if scanner.peek() != b'{' {
        return odd_element(scanner, shape, mode);
    }
    match payload(*scanner, shape, mode, &mut ()) {
        Ok(((), rest)) => {
            *scanner = Scanner::new(rest);
            Ok(())
        }
        Err(failure) => {
            if let Refusal::Rule { rest, .. } = *failure {
                *scanner = Scanner::new(rest);
            }
            Err(failure)
        }
    }
}

/// A payload that is not an object.
#[cold]
fn odd_element<'a>(scanner: &mut Scanner<'a>, shape: &'static Shape, mode: Mode) -> Result<(), Failure<'a>> {
    let (first, start) = (scanner.peek(), scanner.rest());
    scanner.skip(1)?;
    let refused = |reason, path| Err(Box::new(Refusal::Rule { reason, path, rest: scanner.rest() }));
    if first == b'n' {
        return match payload(Scanner::new(b"{}"), shape, mode, &mut ()).map_err(|failure| *failure) {
            Err(Refusal::Rule { reason, path, .. }) => refused(reason, path),
            _ => Ok(()),
        };
    }
    let hollow = |byte: &u8| matches!(byte, b'[' | b']') || *byte <= b' ';
    if first == b'[' && mode.confirmation && shape.fields.is_empty() && scanner.since(start).iter().all(hollow) {
        return Ok(());
    }
    refused(Reason::PayloadNotObject, Path::default())
}
