//! A payload against its shape of the action table: one pass, the first violation with its place, values on demand.
//!
//! Implements OCPP-J requirements 1.6 steps 10 and 11: members in document order (duplicate, type, length, value), missing
//! members at the end of each object. What is tolerated unless `strict` is D-07. Recursion follows the shapes, which are
//! at most five deep, never the input.
#![forbid(unsafe_code)]

use crate::action::{Enumeration, Field, Kind, Shape};
use crate::json::{Broken, Integral, Number, Scanner, Text};
use crate::time;
use crate::violation::{Reason, Step};
use std::borrow::Cow;

/// Receives the values of a payload; `()` receives nothing, which is bare validation.
pub trait Build<'a> {
    /// A finished value.
    type Value;
    /// An object being filled.
    type Object;
    /// An array being filled.
    type List;

    /// Whether the value of this member of the payload's top level is wanted.
    fn wants(&self, field: &'static Field) -> bool;
    /// A new object.
    fn object(&mut self) -> Self::Object;
    /// Add a member.
    fn put(&mut self, object: &mut Self::Object, field: &'static Field, value: Self::Value);
    /// The object is complete.
    fn close_object(&mut self, object: Self::Object) -> Self::Value;
    /// A new array.
    fn list(&mut self) -> Self::List;
    /// Add an item.
    fn push(&mut self, list: &mut Self::List, value: Self::Value);
    /// The array is complete.
    fn close_list(&mut self, list: Self::List) -> Self::Value;
    /// A text.
    fn text(&mut self, text: Cow<'a, str>) -> Self::Value;
    /// A value of an enumeration.
    fn choice(&mut self, enumeration: &'static Enumeration, index: usize) -> Self::Value;
    /// An integer.
    fn integer(&mut self, value: i64) -> Self::Value;
    /// A decimal in tenths.
    fn tenths(&mut self, value: i64) -> Self::Value;
    /// A boolean.
    fn boolean(&mut self, value: bool) -> Self::Value;
}

impl<'a> Build<'a> for () {
    type Value = ();
    type Object = ();
    type List = ();

    #[inline(always)]
    fn wants(&self, _: &'static Field) -> bool {
        true
    }
    #[inline(always)]
    fn object(&mut self) {}
    #[inline(always)]
    fn put(&mut self, (): &mut (), _: &'static Field, (): ()) {}
    #[inline(always)]
    fn close_object(&mut self, (): ()) {}
    #[inline(always)]
    fn list(&mut self) {}
    #[inline(always)]
    fn push(&mut self, (): &mut (), (): ()) {}
    #[inline(always)]
    fn close_list(&mut self, (): ()) {}
    #[inline(always)]
    fn text(&mut self, _: Cow<'a, str>) {}
    #[inline(always)]
    fn choice(&mut self, _: &'static Enumeration, _: usize) {}
    #[inline(always)]
    fn integer(&mut self, _: i64) {}
    #[inline(always)]
    fn tenths(&mut self, _: i64) {}
    #[inline(always)]
    fn boolean(&mut self, _: bool) {}
}

/// How strictly a payload is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The tolerances of D-07 are off.
    pub strict: bool,
    /// The payload is a confirmation that was received, which is read leniently whatever the switch says (J-276).
    pub confirmation: bool,
}

impl Mode {
    /// Whether members that are null or unknown are refused.
    #[inline(always)]
    const fn is_strict(self) -> bool {
        self.strict && !self.confirmation
    }
}

/// Why a payload is refused.
#[derive(Debug)]
pub enum Failure {
    /// The text is not JSON.
    Broken(Broken),
    /// The text is JSON up to the end of the payload, but breaks a rule.
    Rule(Box<Rule>),
}

/// A broken rule and its place, innermost step first.
#[derive(Debug)]
pub struct Rule {
    /// The rule.
    pub reason: Reason,
    /// The way to the value, innermost step first.
    pub path: Vec<Step>,
}

impl From<Broken> for Failure {
    #[inline]
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

#[cold]
fn rule<T>(reason: Reason) -> Result<T, Failure> {
    Err(Failure::Rule(Box::new(Rule { reason, path: Vec::new() })))
}

#[cold]
fn at(mut failure: Failure, step: Step) -> Failure {
    if let Failure::Rule(rule) = &mut failure {
        rule.path.push(step);
    }
    failure
}

/// What an absent value and a value of the wrong kind have in common: `Ok(None)` counts as absent.
type Outcome<T> = Result<Option<T>, Failure>;

/// Containers that are open when a payload starts: the frame and the payload itself.
pub const PAYLOAD_DEPTH: u32 = 2;

/// Validate the object under the cursor against `shape`, building its value.
///
/// Leaves the cursor behind the object, also when a rule is broken, so that the rest of the frame can still be read.
#[inline]
pub fn payload<'a, B: Build<'a>>(
    scanner: &mut Scanner<'a>,
    shape: &'static Shape,
    mode: Mode,
    build: &mut B,
) -> Result<B::Value, Failure> {
    Reader { scanner, mode }.object(shape, PAYLOAD_DEPTH, build)
}

struct Reader<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    mode: Mode,
}

/// Whether the member name at the cursor (behind its opening quote) is `field`'s; `head` is the first word there.
#[inline(always)]
fn is_named(scanner: &Scanner<'_>, head: u64, field: &Field) -> bool {
    let [first, second, last] = field.words;
    if head & field.mask != first {
        return false;
    }
    let quoted = field.name.len().wrapping_add(1);
    if quoted <= 8 {
        return true;
    }
    let tail = quoted.wrapping_sub(8);
    scanner.word(tail) == Some(last) && (quoted <= 16 || scanner.word(8) == Some(second))
}

impl<'a> Reader<'_, 'a> {
    /// An object, its brace under the cursor; `depth` containers are open once it is.
    fn object<B: Build<'a>>(&mut self, shape: &'static Shape, depth: u32, build: &mut B) -> Result<B::Value, Failure> {
        self.scanner.advance(1);
        let mut object = build.object();
        let mut seen = 0_u32;
        let mut present = 0_u32;
        let mut next = 0_usize;
        let mut unknown = false;
        self.scanner.space();
        if !self.scanner.take(b'}') {
            loop {
                match self.member(shape, next)? {
                    Some((index, field)) => {
                        let bit = 1_u32.wrapping_shl(u32::try_from(index).unwrap_or(0));
                        next = index.wrapping_add(1);
                        if seen & bit != 0 {
                            return self.abandon_value(Reason::Duplicate, Step::Member(field.name), depth);
                        }
                        seen |= bit;
                        match self.member_value(field, depth, build) {
                            Ok(Some(value)) => {
                                present |= self.place(field, bit);
                                build.put(&mut object, field, value);
                            }
                            Ok(None) => {}
                            Err(failure) => return self.abandon_object(at(failure, Step::Member(field.name)), depth),
                        }
                    }
                    None => {
                        self.scanner.skip(depth)?;
                        unknown = true;
                    }
                }
                self.scanner.space();
                if self.scanner.take(b',') {
                    self.scanner.space();
                    continue;
                }
                self.scanner.expect(b'}')?;
                break;
            }
        }
        if present & shape.required != shape.required {
            return missing(shape, present);
        }
        if unknown && self.mode.is_strict() {
            return rule(Reason::UnknownMember);
        }
        Ok(build.close_object(object))
    }

    /// The bits that a present member fills: its own, and that of the member it stands for.
    #[inline(always)]
    fn place(&self, field: &Field, bit: u32) -> u32 {
        match field.alias_of {
            Some(index) if self.mode.confirmation => bit | 1_u32.wrapping_shl(u32::try_from(index).unwrap_or(0)),
            _ => bit,
        }
    }

    /// A member name and its colon; the member when it is one of the shape.
    #[inline(always)]
    fn member(&mut self, shape: &'static Shape, next: usize) -> Result<Option<(usize, &'static Field)>, Failure> {
        if let Some(head) = self.scanner.word(1)
            && self.scanner.peek() == b'"'
        {
            let mut name = self.scanner.clone();
            name.advance(1);
            for (index, field) in shape.fields.iter().enumerate().skip(next) {
                if is_named(&name, head, field) {
                    self.scanner.advance(field.name.len().wrapping_add(2));
                    self.scanner.colon()?;
                    return Ok(Some((index, field)));
                }
            }
        }
        self.odd_member(shape)
    }

    /// A member name that is not one of the next fields: out of order, escaped, or unknown.
    #[inline(never)]
    fn odd_member(&mut self, shape: &'static Shape) -> Result<Option<(usize, &'static Field)>, Failure> {
        let name = self.scanner.name()?;
        Ok(shape.fields.iter().enumerate().find(|(_, field)| name.is(field.name)))
    }

    /// The value of a member.
    #[inline(always)]
    fn member_value<B: Build<'a>>(&mut self, field: &'static Field, depth: u32, build: &mut B) -> Outcome<B::Value> {
        if self.scanner.peek() == b'n' {
            return self.null(&field.kind);
        }
        if self.mode.confirmation && !field.required && self.takes_empty_text(&field.kind) {
            return Ok(None);
        }
        if depth == PAYLOAD_DEPTH && !build.wants(field) {
            return self.value(&field.kind, depth, &mut ()).map(|_| None);
        }
        self.value(&field.kind, depth, build).map(Some)
    }

    /// `null`: absent, but in strict mode of the wrong type.
    #[cold]
    fn null<T>(&mut self, kind: &Kind) -> Outcome<T> {
        self.scanner.literal("null")?;
        if self.mode.is_strict() { rule(Reason::WrongType(type_name(kind))) } else { Ok(None) }
    }

    /// An empty text where a confirmation has an optional text counts as absent (J-276).
    #[inline(always)]
    fn takes_empty_text(&mut self, kind: &Kind) -> bool {
        if !matches!(kind, Kind::Text { .. } | Kind::Timestamp | Kind::AnyText) || self.scanner.peek() != b'"' {
            return false;
        }
        let mut ahead = self.scanner.clone();
        ahead.advance(1);
        let empty = ahead.peek() == b'"';
        if empty {
            self.scanner.advance(2);
        }
        empty
    }

    /// Give up an object: its rest must still be JSON.
    #[cold]
    fn abandon_object<T>(&mut self, failure: Failure, depth: u32) -> Result<T, Failure> {
        if matches!(failure, Failure::Rule(_)) {
            self.scanner.skip_rest(true, depth)?;
        }
        Err(failure)
    }

    /// Give up an object at a member whose value has not been read.
    #[cold]
    fn abandon_value<T>(&mut self, reason: Reason, step: Step, depth: u32) -> Result<T, Failure> {
        self.scanner.skip(depth)?;
        rule(reason).or_else(|failure| self.abandon_object(at(failure, step), depth))
    }

    /// Give up a value of the wrong type.
    #[cold]
    fn wrong_type<T>(&mut self, kind: &Kind, depth: u32) -> Result<T, Failure> {
        self.scanner.skip(depth)?;
        rule(Reason::WrongType(type_name(kind)))
    }

    /// A value of the given kind, inside `depth` open containers.
    #[inline(always)]
    fn value<B: Build<'a>>(&mut self, kind: &'static Kind, depth: u32, build: &mut B) -> Result<B::Value, Failure> {
        let first = self.scanner.peek();
        match kind {
            Kind::Integer { min, max, strict, text } => {
                if !is_number(first) {
                    if *text && first == b'"' && self.mode.confirmation {
                        return self.number_in_text(*min, *max, build);
                    }
                    return self.wrong_type(kind, depth);
                }
                let (min, max) = if self.mode.strict { *strict } else { (*min, *max) };
                let number = self.scanner.number()?;
                self.integer(number, min, max).map(|value| build.integer(value))
            }
            Kind::Decimal => {
                if !is_number(first) {
                    return self.wrong_type(kind, depth);
                }
                let number = self.scanner.number()?;
                self.decimal(number).map(|value| build.tenths(value))
            }
            Kind::Object(shape) if first == b'{' => self.object(shape, depth.wrapping_add(1), build),
            Kind::List { item, min, max } if first == b'[' => self.list(item, (*min, *max), depth, build),
            Kind::Boolean if first == b't' => {
                self.scanner.literal("true")?;
                Ok(build.boolean(true))
            }
            Kind::Boolean if first == b'f' => {
                self.scanner.literal("false")?;
                Ok(build.boolean(false))
            }
            Kind::AnyText if first != b'"' && !self.mode.strict => {
                let start = self.scanner.at();
                self.scanner.skip(depth)?;
                Ok(build.text(Cow::Borrowed(self.scanner.since(start))))
            }
            Kind::Object(_) | Kind::List { .. } | Kind::Boolean => self.wrong_type(kind, depth),
            _ if first != b'"' => self.wrong_type(kind, depth),
            _ => {
                let text = self.scanner.string()?;
                self.text(kind, text, build)
            }
        }
    }

    /// A string value.
    #[inline(always)]
    fn text<B: Build<'a>>(&mut self, kind: &'static Kind, text: Text<'a>, build: &mut B) -> Result<B::Value, Failure> {
        match kind {
            Kind::Choice(enumeration, fallback) => {
                let tolerant = self.mode.confirmation;
                match chosen(enumeration, &text).or(fallback.filter(|_| tolerant)) {
                    Some(index) => Ok(build.choice(enumeration, index)),
                    None => rule(Reason::NotInEnumeration),
                }
            }
            Kind::Text { min, max } => {
                let characters = text.characters();
                if characters > usize::try_from(*max).unwrap_or(usize::MAX) {
                    return rule(Reason::TooLong(*max));
                }
                if characters < usize::try_from(*min).unwrap_or(0) {
                    return rule(Reason::Empty);
                }
                plain(text, build)
            }
            Kind::Timestamp => {
                if time::parse(&text.unescaped(), self.mode.strict).is_none() {
                    return rule(Reason::BadTimestamp);
                }
                Ok(build.text(text.unescaped()))
            }
            Kind::Uri if !is_uri(&text.unescaped()) => rule(Reason::BadUri),
            _ => plain(text, build),
        }
    }

    /// An array, its bracket under the cursor, inside `depth` open containers.
    fn list<B: Build<'a>>(
        &mut self,
        item: &'static Kind,
        (min, max): (u32, u32),
        depth: u32,
        build: &mut B,
    ) -> Result<B::Value, Failure> {
        self.scanner.advance(1);
        let inner = depth.wrapping_add(1);
        let mut list = build.list();
        let mut count = 0_usize;
        self.scanner.space();
        if !self.scanner.take(b']') {
            loop {
                match self.value(item, inner, build) {
                    Ok(value) => build.push(&mut list, value),
                    Err(failure @ Failure::Rule(_)) => {
                        self.scanner.skip_rest(false, inner)?;
                        return Err(at(failure, Step::Item(count)));
                    }
                    Err(failure @ Failure::Broken(_)) => return Err(failure),
                }
                count = count.wrapping_add(1);
                self.scanner.space();
                if self.scanner.take(b',') {
                    if count >= usize::try_from(max).unwrap_or(usize::MAX) {
                        self.scanner.skip(inner)?;
                        self.scanner.skip_rest(false, inner)?;
                        return rule(Reason::TooManyItems(max));
                    }
                    self.scanner.space();
                    continue;
                }
                self.scanner.expect(b']')?;
                break;
            }
        }
        if count < usize::try_from(min).unwrap_or(0) {
            return rule(Reason::TooFewItems(min));
        }
        Ok(build.close_list(list))
    }

    /// An integer within its range.
    #[inline(always)]
    fn integer(&self, number: Number<'a>, min: i64, max: i64) -> Result<i64, Failure> {
        let value = match number {
            Number::Integer(value) => value,
            _ => match number.integral() {
                Integral::Value(value) if number.is_plain() || !self.mode.strict => value,
                Integral::TooBig => return rule(Reason::OutOfRange(min, max)),
                Integral::Value(_) | Integral::Fraction => return rule(Reason::WrongType("an integer")),
            },
        };
        if value < min || value > max { rule(Reason::OutOfRange(min, max)) } else { Ok(value) }
    }

    /// A decimal in tenths; what is finer is rounded down, in strict mode refused.
    #[inline(always)]
    fn decimal(&self, number: Number<'a>) -> Result<i64, Failure> {
        match number.tenths() {
            Some((tenths @ 0..=MAX_TENTHS, exact)) if exact || !self.mode.strict => Ok(tenths),
            _ => rule(Reason::BadDecimal),
        }
    }

    /// Digits in quotes where a confirmation carries an id (J-276).
    #[cold]
    fn number_in_text<B: Build<'a>>(&mut self, min: i64, max: i64, build: &mut B) -> Result<B::Value, Failure> {
        let text = self.scanner.string()?.unescaped();
        match text.parse::<i64>() {
            Ok(value) if value >= min && value <= max => Ok(build.integer(value)),
            _ => rule(Reason::WrongType("an integer")),
        }
    }
}

/// 10^14 in tenths: far above any limit, far below what 64 bits hold after conversions.
const MAX_TENTHS: i64 = 1_000_000_000_000_000;

#[inline(always)]
const fn is_number(byte: u8) -> bool {
    byte == b'-' || byte.is_ascii_digit()
}

/// A text as it is, but not U+0000.
#[inline(always)]
fn plain<'a, B: Build<'a>>(text: Text<'a>, build: &mut B) -> Result<B::Value, Failure> {
    if text.has_nul() { rule(Reason::NulCharacter) } else { Ok(build.text(text.unescaped())) }
}

/// The place of `text` in the enumeration.
#[inline(always)]
fn chosen(enumeration: &'static Enumeration, text: &Text<'_>) -> Option<usize> {
    if text.escaped {
        let unescaped = text.unescaped();
        return enumeration.values.iter().position(|value| *value == unescaped);
    }
    enumeration.values.iter().position(|value| *value == text.raw)
}

/// An absolute URI as far as a message can tell: a scheme, a colon, something after it, no blanks (RFC 3986 section 3).
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && !rest.contains(|character: char| character.is_whitespace() || character.is_control())
}

#[cold]
fn missing<T>(shape: &'static Shape, present: u32) -> Result<T, Failure> {
    let absent = (shape.required & !present).trailing_zeros();
    let field = shape.fields.get(usize::try_from(absent).unwrap_or(usize::MAX));
    rule(Reason::Missing).map_err(|failure| match field {
        Some(field) => at(failure, Step::Member(field.name)),
        None => failure,
    })
}

/// How a kind is called in a description.
const fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text { .. } | Kind::AnyText | Kind::Uri | Kind::Timestamp | Kind::LooseTimestamp => "a string",
        Kind::Choice(..) | Kind::OpenChoice(_) => "a string",
        Kind::Integer { .. } => "an integer",
        Kind::Decimal => "a number",
        Kind::Boolean => "a boolean",
        Kind::Object(_) => "an object",
        Kind::List { .. } => "an array",
    }
}
