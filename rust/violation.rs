//! Why a frame is refused, and the one table from reason to OCPP error code.
//!
//! Implements OCPP-J 1.6 table 7 with the order and the choices of requirements J-251 to J-262. A description is made of
//! fixed text and names of the action table only; nothing received is ever echoed.
#![forbid(unsafe_code)]

use crate::action::NAMES;
use crate::text::Span;
use std::fmt::Write as _;

/// The error codes of OCPP-J 1.6 table 7, with the spelling that is binding on 1.6 (J errata 5.1, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The action is not one of OCPP 1.6.
    NotImplemented,
    /// The action is known but not supported here.
    NotSupported,
    /// The receiver failed.
    InternalError,
    /// Never sent by ocpphub (D-04), accepted from a peer.
    ProtocolError,
    /// A security rule forbids the request.
    SecurityError,
    /// Broken JSON, wrapper or member set.
    FormationViolation,
    /// Right type, value not allowed.
    PropertyConstraintViolation,
    /// A member is missing or occurs too often or too seldom.
    OccurenceConstraintViolation,
    /// Wrong JSON type, or a text that is too long.
    TypeConstraintViolation,
    /// Anything else.
    GenericError,
}

impl Code {
    /// Every code, in the order of table 7.
    pub const ALL: [Self; 10] = [
        Self::NotImplemented,
        Self::NotSupported,
        Self::InternalError,
        Self::ProtocolError,
        Self::SecurityError,
        Self::FormationViolation,
        Self::PropertyConstraintViolation,
        Self::OccurenceConstraintViolation,
        Self::TypeConstraintViolation,
        Self::GenericError,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotImplemented => "NotImplemented",
            Self::NotSupported => "NotSupported",
            Self::InternalError => "InternalError",
            Self::ProtocolError => "ProtocolError",
            Self::SecurityError => "SecurityError",
            Self::FormationViolation => "FormationViolation",
            Self::PropertyConstraintViolation => "PropertyConstraintViolation",
            Self::OccurenceConstraintViolation => "OccurenceConstraintViolation",
            Self::TypeConstraintViolation => "TypeConstraintViolation",
            Self::GenericError => "GenericError",
        }
    }

    /// The code that a peer sent: 2.x spellings are understood, unknown texts count as `GenericError` (J-275).
    #[must_use]
    pub fn from_peer(text: &str) -> Self {
        match text {
            "FormatViolation" => Self::FormationViolation,
            "OccurrenceConstraintViolation" => Self::OccurenceConstraintViolation,
            _ => Self::ALL.into_iter().find(|code| code.name() == text).unwrap_or(Self::GenericError),
        }
    }
}

/// The rule that a frame breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes are not UTF-8 (RFC 6455 section 8.1): the link is closed with 1007.
    NotUtf8,
    /// Not one strict JSON text.
    BadJson,
    /// More than 32 containers deep.
    TooDeep,
    /// Not an array whose first element is a message type number of OCPP-J.
    NoMessageType,
    /// The unique id is no string.
    IdNotString,
    /// The unique id is longer than 36 characters.
    IdTooLong,
    /// A CALL has not exactly four elements, or a CALLRESULT or CALLERROR the wrong number.
    WrongArity,
    /// The action is no string.
    ActionNotString,
    /// The action is not one of OCPP 1.6.
    UnknownAction,
    /// Only the other side may send this action.
    WrongDirection,
    /// The payload is neither an object nor null.
    PayloadNotObject,
    /// A member of the PDU occurs twice.
    Duplicate,
    /// Strict only: a member that the PDU does not have.
    UnknownMember,
    /// A required member is missing.
    Missing,
    /// An array has fewer items than it must have.
    TooFewItems(u32),
    /// An array has more items than it may have.
    TooManyItems(u32),
    /// Wrong JSON type; the text names the right one.
    WrongType(&'static str),
    /// A text of more characters than allowed.
    TooLong(u32),
    /// A text that may not be empty.
    Empty,
    /// U+0000 in a text.
    NulCharacter,
    /// Not one of the values of the enumeration.
    NotInEnumeration,
    /// An integer below or above its range.
    OutOfRange(i64, i64),
    /// A decimal below 0, above 10^14, or (strict) of more than one decimal.
    BadDecimal,
    /// Not a date-time of RFC 3339.
    BadTimestamp,
    /// Not an absolute URI.
    BadUri,
}

impl Reason {
    /// The error code that answers this reason (J-251 to J-260).
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NotUtf8
            | Self::BadJson
            | Self::TooDeep
            | Self::NoMessageType
            | Self::IdNotString
            | Self::IdTooLong
            | Self::WrongArity
            | Self::ActionNotString
            | Self::PayloadNotObject
            | Self::Duplicate
            | Self::UnknownMember => Code::FormationViolation,
            Self::UnknownAction => Code::NotImplemented,
            Self::WrongDirection => Code::NotSupported,
            Self::Missing | Self::TooFewItems(_) | Self::TooManyItems(_) => Code::OccurenceConstraintViolation,
            Self::WrongType(_) | Self::TooLong(_) => Code::TypeConstraintViolation,
            Self::Empty
            | Self::NulCharacter
            | Self::NotInEnumeration
            | Self::OutOfRange(..)
            | Self::BadDecimal
            | Self::BadTimestamp
            | Self::BadUri => Code::PropertyConstraintViolation,
        }
    }

    /// What is wrong and what is allowed, in ASCII.
    fn text(self) -> String {
        match self {
            Self::NotUtf8 => "the message is not valid UTF-8".into(),
            Self::BadJson => "the message is not valid JSON".into(),
            Self::TooDeep => "the message is nested more than 32 containers deep".into(),
            Self::NoMessageType => "the message is not an array that starts with type 2, 3 or 4".into(),
            Self::IdNotString => "the unique id must be a string".into(),
            Self::IdTooLong => "the unique id must have at most 36 characters".into(),
            Self::WrongArity => "wrong number of elements: CALL has 4, CALLRESULT 3, CALLERROR 5".into(),
            Self::ActionNotString => "the action must be a string".into(),
            Self::UnknownAction => "this action is not part of OCPP 1.6 or its security extension".into(),
            Self::WrongDirection => "this action may only be sent by the other side".into(),
            Self::PayloadNotObject => "the payload must be an object".into(),
            Self::Duplicate => "the member occurs twice".into(),
            Self::UnknownMember => "a member is not part of the PDU".into(),
            Self::Missing => "the required member is missing".into(),
            Self::TooFewItems(least) => format!("at least {least} item(s) required"),
            Self::TooManyItems(most) => format!("at most {most} items allowed"),
            Self::WrongType(right) => format!("must be {right}"),
            Self::TooLong(most) => format!("at most {most} characters allowed"),
            Self::Empty => "must not be empty".into(),
            Self::NulCharacter => "must not contain U+0000".into(),
            Self::NotInEnumeration => "not one of the values of the enumeration".into(),
            Self::OutOfRange(least, most) => match (least, most) {
                (i64::MIN, i64::MAX) => "must be a 64-bit integer".into(),
                (_, i64::MAX) => format!("must be at least {least}"),
                _ => format!("must be between {least} and {most}"),
            },
            Self::BadDecimal => "must be a decimal from 0 to 10^14 with one digit after the point".into(),
            Self::BadTimestamp => "must be a date-time of RFC 3339".into(),
            Self::BadUri => "must be an absolute URI".into(),
        }
    }
}

/// One step of the way from the payload to the offending value: a member of the action table, or an item of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(u32);

/// Marks a [`Step`] that is the index of an item.
const ITEM: u32 = 1 << 31;

impl Step {
    /// To a member, by its place in [`NAMES`].
    #[must_use]
    pub fn member(name_id: usize) -> Self {
        Self(u32::try_from(name_id).unwrap_or(0) & !ITEM)
    }

    /// To an item.
    #[must_use]
    pub fn item(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX) | ITEM)
    }

    /// Whether it leads to a member of an object.
    #[must_use]
    pub const fn is_member(self) -> bool {
        self.0 & ITEM == 0
    }
}

/// The deepest value of any PDU is this many steps below its payload.
const MAX_STEPS: usize = 6;

/// The way from the payload to the offending value, noted from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    steps: [Option<Step>; MAX_STEPS],
}

impl Path {
    /// Note the step that led to what has been noted so far.
    pub fn push(&mut self, step: Step) {
        if let Some(free) = self.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some(step);
        }
    }
}

/// How far the decoder came: the stage of the pipeline of requirements 1.6 that refused the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not UTF-8.
    Utf8,
    /// JSON syntax or depth.
    Syntax,
    /// Array, type number, id, arity.
    Envelope,
    /// Action known, and meant for this side.
    Action,
    /// Payload.
    Payload,
}

/// What to do with the refused frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer a CALLERROR.
    CallError,
    /// Send nothing (J-261, J-271, J-272).
    Ignore,
    /// Close the connection with 1007.
    Close,
}

/// The first rule that a frame breaks, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How far the decoder came.
    pub stage: Stage,
    /// 2, 3 or 4 as far as it could be read.
    pub message_type: Option<u8>,
    /// Where the id to answer or to fail stands in the frame, escapes untouched, when it could be read.
    pub unique_id: Option<Span>,
    /// The known action.
    pub action: Option<&'static str>,
    /// The rule.
    pub reason: Reason,
    /// From the payload to the offending value.
    pub path: Path,
}

impl Violation {
    /// What to do with the frame: only a CALL whose id is known is answered (J-261, J-272).
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (self.reason, self.message_type, self.unique_id) {
            (Reason::NotUtf8, _, _) => Verdict::Close,
            (_, Some(2), Some(_)) => Verdict::CallError,
            _ => Verdict::Ignore,
        }
    }

    /// JSON pointer (RFC 6901) of the offending value, relative to the payload.
    #[must_use]
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.path.steps.iter().rev().flatten() {
            let place = usize::try_from(step.0 & !ITEM).unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = match NAMES.get(place) {
                Some(name) if step.is_member() => write!(pointer, "/{name}"),
                _ => write!(pointer, "/{place}"),
            };
        }
        pointer
    }

    /// ASCII text of at most 255 characters for the CALLERROR (J-262).
    #[must_use]
    pub fn description(&self) -> String {
        let pointer = self.pointer();
        if pointer.is_empty() { self.reason.text() } else { format!("{pointer}: {}", self.reason.text()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_of_any_reason_is_short_ascii() {
        // req: J-262
        let reasons = [
            Reason::NoMessageType,
            Reason::OutOfRange(i64::MIN, i64::MAX),
            Reason::OutOfRange(0, i64::MAX),
            Reason::OutOfRange(-2_147_483_648, 2_147_483_647),
            Reason::WrongType("an array of objects"),
            Reason::WrongArity,
            Reason::BadDecimal,
        ];
        for reason in reasons {
            let mut path = Path::default();
            for step in [
                Step::item(usize::MAX),
                Step::member(NAMES.len() - 1),
                Step::member(0),
                Step::member(1),
                Step::member(2),
            ] {
                path.push(step);
            }
            let violation =
                Violation { stage: Stage::Payload, message_type: Some(2), unique_id: None, action: None, reason, path };
            assert!(violation.description().is_ascii());
            assert!(violation.description().len() <= 255);
        }
    }

    #[test]
    fn code_from_peer_understands_both_spellings_and_unknown_texts() {
        // req: J-275
        assert_eq!(Code::from_peer("FormatViolation"), Code::FormationViolation);
        assert_eq!(Code::from_peer("OccurrenceConstraintViolation"), Code::OccurenceConstraintViolation);
        assert_eq!(Code::from_peer("TeapotError"), Code::GenericError);
        for code in Code::ALL {
            assert_eq!(Code::from_peer(code.name()), code);
        }
    }
}
