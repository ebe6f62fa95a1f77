//! A payload against its shape of the action table: one pass, the first violation with its place, values on demand.
//!
//! Implements OCPP-J requirements 1.6 steps 10 and 11: members in document order (duplicate, type, length, value), missing
//! members at the end of each object. What is tolerated unless `strict` is D-07. Recursion follows the shapes, which are
//! at most five deep, never the input.
#![forbid(unsafe_code)]

use crate::action::{Enumeration, Field, Kind, Shape, key};
use crate::json::{Broken, Scanner, Text};
use crate::number::{Integral, Number};
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
pub type Failure = Box<Refusal>;

/// A payload that is refused.
#[derive(Debug)]
pub enum Refusal {
    /// The text is not JSON.
    Broken(Broken),
    /// The text is JSON up to `resume`, but breaks a rule.
    Rule {
        /// The rule.
        reason: Reason,
        /// The way to the value, innermost step first.
        path: Vec<Step>,
        /// Byte offset behind what has been read, from where the rest of the text can be checked.
        resume: usize,
    },
}

impl From<Broken> for Failure {
    #[cold]
    fn from(broken: Broken) -> Self {
        Box::new(Refusal::Broken(broken))
    }
}

/// `reason` is broken by a value that ends at `resume`.
#[cold]
#[inline(never)]
fn rule(reason: Reason, resume: usize) -> Failure {
    Box::new(Refusal::Rule { reason, path: Vec::new(), resume })
}

/// Leave a container at `step`: what is left of it must still be JSON.
#[cold]
#[inline(never)]
fn abandon(mut failure: Failure, mut scanner: Scanner<'_>, step: Step, depth: u32) -> Failure {
    if let Refusal::Rule { path, resume, .. } = failure.as_mut() {
        path.push(step);
        scanner.seek(*resume);
        if let Err(broken) = scanner.skip_rest(matches!(step, Step::Member(_)), depth) {
            return broken.into();
        }
        *resume = scanner.at();
    }
    failure
}

/// Give up a value that has not been read.
#[cold]
#[inline(never)]
fn unread(reason: Reason, mut scanner: Scanner<'_>, depth: u32) -> Failure {
    match scanner.skip(depth) {
        Ok(()) => rule(reason, scanner.at()),
        Err(broken) => broken.into(),
    }
}

/// Containers that are open when a payload starts: the frame and the payload itself.
pub const PAYLOAD_DEPTH: u32 = 2;

/// Validate the object under the cursor against `shape`, building its value. Returns it and the offset behind it.
///
/// # Errors
/// What is wrong first; the offset in it lets the caller read on.
#[inline(always)]
pub fn payload<'a, B: Build<'a>>(
    scanner: Scanner<'a>,
    shape: &'static Shape,
    mode: Mode,
    build: &mut B,
) -> Result<(B::Value, usize), Failure> {
    object(mode, scanner, shape, PAYLOAD_DEPTH, build)
}

/// Whether the member name behind the quote at the cursor is `field`'s; `head` is the first word there.
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
    // The name starts one byte behind the cursor, so its last word is seven bytes before its end.
    scanner.word(quoted.wrapping_sub(7)) == Some(last) && (quoted <= 16 || scanner.word(9) == Some(second))
}

/// A member name and its colon; the index of the member, or `usize::MAX` when it is not one of the shape.
#[inline(always)]
fn member(scanner: &mut Scanner<'_>, shape: &'static Shape, next: usize) -> Result<usize, Broken> {
    let mut found = None;
    if let Some(head) = scanner.word(1)
        && scanner.peek() == b'"'
    {
        let mut index = next;
        while let Some(field) = shape.fields.get(index) {
            if is_named(scanner, head, field) {
                scanner.advance(field.name.len().wrapping_add(2));
                found = Some(index);
                break;
            }
            index = index.wrapping_add(1);
        }
    }
    match found {
        Some(index) => {
            scanner.colon()?;
            Ok(index)
        }
        None => {
            let (index, at) = odd_member(*scanner, shape)?;
            scanner.seek(at);
            Ok(index)
        }
    }
}

/// A member name that is not one of the next fields: out of order, escaped, unknown, or near the end of the text.
#[inline(never)]
fn odd_member(mut scanner: Scanner<'_>, shape: &'static Shape) -> Result<(usize, usize), Broken> {
    let name = scanner.name()?;
    let index = shape.fields.iter().position(|field| name.is(field.name)).unwrap_or(usize::MAX);
    Ok((index, scanner.at()))
}

/// An object, its brace under the cursor; `depth` containers are open once it is. Returns the offset behind it too.
fn object<'a, B: Build<'a>>(
    mode: Mode,
    mut scanner: Scanner<'a>,
    shape: &'static Shape,
    depth: u32,
    build: &mut B,
) -> Result<(B::Value, usize), Failure> {
    scanner.advance(1);
    let mut object = build.object();
    let mut seen = 0_u32;
    let mut present = 0_u32;
    let mut next = 0_usize;
    let mut unknown = false;
    scanner.space();
    if !scanner.take(b'}') {
        loop {
            let index = member(&mut scanner, shape, next)?;
            if let Some(field) = shape.fields.get(index) {
                let bit = 1_u32.wrapping_shl(u32::try_from(index).unwrap_or(0));
                if seen & bit != 0 {
                    let failure = unread(Reason::Duplicate, scanner, depth);
                    return Err(abandon(failure, scanner, Step::Member(field.name), depth));
                }
                seen |= bit;
                next = index.wrapping_add(1);
                match member_value(mode, &mut scanner, field, depth, build) {
                    Ok(Some(value)) => {
                        present |= bit | alias(field);
                        build.put(&mut object, field, value);
                    }
                    Ok(None) => {}
                    Err(failure) => return Err(abandon(failure, scanner, Step::Member(field.name), depth)),
                }
            } else {
                unknown = true;
                let mut rest = scanner;
                rest.skip(depth)?;
                scanner.seek(rest.at());
            }
            scanner.space();
            match scanner.peek() {
                b',' => scanner.advance(1),
                b'}' => break,
                _ => return Err(Broken::Syntax.into()),
            }
            scanner.space();
        }
        scanner.advance(1);
    }
    if present & shape.required != shape.required {
        return Err(missing(shape, present, scanner.at()));
    }
    if unknown && mode.is_strict() {
        return Err(rule(Reason::UnknownMember, scanner.at()));
    }
    Ok((build.close_object(object), scanner.at()))
}

/// The bit of the member that this one stands for (J-213).
#[inline(always)]
fn alias(field: &Field) -> u32 {
    field.alias_of.map_or(0, |index| 1_u32.wrapping_shl(u32::try_from(index).unwrap_or(0)))
}

/// The value of a member; `None` when it counts as absent.
#[inline(always)]
fn member_value<'a, B: Build<'a>>(
    mode: Mode,
    scanner: &mut Scanner<'a>,
    field: &'static Field,
    depth: u32,
    build: &mut B,
) -> Result<Option<B::Value>, Failure> {
    let first = scanner.peek();
    if first == b'n' {
        scanner.literal("null")?;
        // null: absent, but in strict mode of the wrong type.
        let wrong = Reason::WrongType(type_name(&field.kind));
        return if mode.is_strict() { Err(rule(wrong, scanner.at())) } else { Ok(None) };
    }
    if mode.confirmation && !field.required && first == b'"' && is_empty_text(scanner, &field.kind) {
        scanner.advance(2);
        return Ok(None);
    }
    if depth == PAYLOAD_DEPTH && !build.wants(field) {
        return value(mode, scanner, &field.kind, depth, &mut ()).map(|()| None);
    }
    value(mode, scanner, &field.kind, depth, build).map(Some)
}

/// An empty text where a confirmation has an optional text counts as absent (J-276).
fn is_empty_text(scanner: &Scanner<'_>, kind: &Kind) -> bool {
    let mut ahead = *scanner;
    ahead.advance(1);
    ahead.peek() == b'"' && matches!(kind, Kind::Text { .. } | Kind::Timestamp | Kind::AnyText)
}

/// A value of the given kind, inside `depth` open containers.
#[inline(always)]
fn value<'a, B: Build<'a>>(
    mode: Mode,
    scanner: &mut Scanner<'a>,
    kind: &'static Kind,
    depth: u32,
    build: &mut B,
) -> Result<B::Value, Failure> {
    let first = scanner.peek();
    match kind {
        Kind::Integer { min, max, strict, text }
            if is_number(first) || (*text && mode.confirmation && first == b'"') =>
        {
            let (min, max) = if mode.strict { *strict } else { (*min, *max) };
            let value = if first == b'"' { quoted_integer(scanner)? } else { integer(mode, scanner)? };
            match value {
                Some(value) if value >= min && value <= max => Ok(build.integer(value)),
                _ => Err(rule(Reason::OutOfRange(min, max), scanner.at())),
            }
        }
        Kind::Decimal if is_number(first) => match scanner.number()?.tenths() {
            // What is finer than a tenth is rounded down, in strict mode refused.
            Some((tenths @ 0..=MAX_TENTHS, exact)) if exact || !mode.strict => Ok(build.tenths(tenths)),
            _ => Err(rule(Reason::BadDecimal, scanner.at())),
        },
        Kind::Object(shape) if first == b'{' => {
            let (value, at) = object(mode, *scanner, shape, depth.wrapping_add(1), build)?;
            scanner.seek(at);
            Ok(value)
        }
        Kind::List { item, min, max } if first == b'[' => {
            let (value, at) = list(mode, *scanner, item, (*min, *max), depth.wrapping_add(1), build)?;
            scanner.seek(at);
            Ok(value)
        }
        Kind::Boolean if first == b't' || first == b'f' => {
            scanner.literal(if first == b't' { "true" } else { "false" })?;
            Ok(build.boolean(first == b't'))
        }
        Kind::AnyText if first != b'"' && !mode.strict => {
            let mut rest = *scanner;
            rest.skip(depth)?;
            let start = scanner.at();
            scanner.seek(rest.at());
            Ok(build.text(Cow::Borrowed(rest.since(start))))
        }
        Kind::Integer { .. } | Kind::Decimal | Kind::Object(_) | Kind::List { .. } | Kind::Boolean => {
            Err(unread(Reason::WrongType(type_name(kind)), *scanner, depth))
        }
        _ if first != b'"' => Err(unread(Reason::WrongType(type_name(kind)), *scanner, depth)),
        _ => {
            let text = scanner.string()?;
            string(mode, kind, text, build).map_err(|reason| rule(reason, scanner.at()))
        }
    }
}

/// A string value.
#[inline(always)]
fn string<'a, B: Build<'a>>(
    mode: Mode,
    kind: &'static Kind,
    text: Text<'a>,
    build: &mut B,
) -> Result<B::Value, Reason> {
    match kind {
        Kind::Choice(enumeration, fallback) => {
            match chosen(enumeration, &text).or(fallback.filter(|_| mode.confirmation)) {
                Some(index) => Ok(build.choice(enumeration, index)),
                None => Err(Reason::NotInEnumeration),
            }
        }
        Kind::Timestamp => {
            let text = text.unescaped();
            if time::is_valid(&text, mode.strict) { Ok(build.text(text)) } else { Err(Reason::BadTimestamp) }
        }
        Kind::Text { min, max } => {
            let characters = text.characters();
            if characters > usize::try_from(*max).unwrap_or(usize::MAX) {
                return Err(Reason::TooLong(*max));
            }
            if characters < usize::try_from(*min).unwrap_or(0) {
                return Err(Reason::Empty);
            }
            plain(text, build)
        }
        Kind::Uri if !is_uri(&text.unescaped()) => Err(Reason::BadUri),
        _ => plain(text, build),
    }
}

/// An array, its bracket under the cursor; `depth` containers are open once it is. Returns the offset behind it too.
fn list<'a, B: Build<'a>>(
    mode: Mode,
    mut scanner: Scanner<'a>,
    item: &'static Kind,
    (min, max): (u32, u32),
    depth: u32,
    build: &mut B,
) -> Result<(B::Value, usize), Failure> {
    scanner.advance(1);
    let mut list = build.list();
    let mut count = 0_usize;
    scanner.space();
    if !scanner.take(b']') {
        loop {
            if count == usize::try_from(max).unwrap_or(usize::MAX) {
                return Err(too_many(scanner, max, depth));
            }
            match value(mode, &mut scanner, item, depth, build) {
                Ok(value) => build.push(&mut list, value),
                Err(failure) => return Err(abandon(failure, scanner, Step::Item(count), depth)),
            }
            count = count.wrapping_add(1);
            scanner.space();
            match scanner.peek() {
                b',' => scanner.advance(1),
                b']' => break,
                _ => return Err(Broken::Syntax.into()),
            }
            scanner.space();
        }
        scanner.advance(1);
    }
    if count < usize::try_from(min).unwrap_or(0) {
        return Err(rule(Reason::TooFewItems(min), scanner.at()));
    }
    Ok((build.close_list(list), scanner.at()))
}

/// An array with an item too many under the cursor.
#[cold]
fn too_many(mut scanner: Scanner<'_>, max: u32, depth: u32) -> Failure {
    match scanner.skip(depth).and_then(|()| scanner.skip_rest(false, depth)) {
        Ok(()) => rule(Reason::TooManyItems(max), scanner.at()),
        Err(broken) => broken.into(),
    }
}

/// An integer; `None` beyond 64 bits.
#[inline(always)]
fn integer(mode: Mode, scanner: &mut Scanner<'_>) -> Result<Option<i64>, Failure> {
    let number = scanner.number()?;
    match number {
        Number::Integer(value) => Ok(Some(value)),
        Number::Tenths(_) | Number::Other(_) => odd_integer(mode, number, scanner.at()),
    }
}

/// A number that is not written as a short integer.
#[cold]
fn odd_integer(mode: Mode, number: Number<'_>, at: usize) -> Result<Option<i64>, Failure> {
    match number.integral() {
        Integral::Value(value) if number.is_plain() || !mode.strict => Ok(Some(value)),
        Integral::TooBig => Ok(None),
        Integral::Value(_) | Integral::Fraction => Err(rule(Reason::WrongType("an integer"), at)),
    }
}

/// Digits in quotes where a confirmation carries an id (J-276).
#[cold]
fn quoted_integer(scanner: &mut Scanner<'_>) -> Result<Option<i64>, Failure> {
    let text = scanner.string()?.unescaped();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(rule(Reason::WrongType("an integer"), scanner.at()));
    }
    Ok(text.parse().ok())
}

/// 10^14 in tenths: far above any limit, far below what 64 bits hold after conversions.
const MAX_TENTHS: i64 = 1_000_000_000_000_000;

#[inline(always)]
const fn is_number(byte: u8) -> bool {
    byte == b'-' || byte.is_ascii_digit()
}

/// A text as it is, but not U+0000.
#[inline(always)]
fn plain<'a, B: Build<'a>>(text: Text<'a>, build: &mut B) -> Result<B::Value, Reason> {
    if text.nul { Err(Reason::NulCharacter) } else { Ok(build.text(text.unescaped())) }
}

/// The place of `text` in the enumeration.
#[inline(always)]
fn chosen(enumeration: &'static Enumeration, text: &Text<'_>) -> Option<usize> {
    if text.shrinks != 0 {
        let unescaped = text.unescaped();
        return enumeration.values.iter().position(|value| *value == unescaped);
    }
    let key = key(text.raw.as_bytes());
    let mut index = 0_usize;
    for candidate in enumeration.keys {
        if *candidate == key && enumeration.values.get(index) == Some(&text.raw) {
            return Some(index);
        }
        index = index.wrapping_add(1);
    }
    None
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
fn missing(shape: &'static Shape, present: u32, at: usize) -> Failure {
    let absent = (shape.required & !present).trailing_zeros();
    let field = shape.fields.get(usize::try_from(absent).unwrap_or(usize::MAX));
    let path = field.map(|field| Step::Member(field.name)).into_iter().collect();
    Box::new(Refusal::Rule { reason: Reason::Missing, path, resume: at })
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
