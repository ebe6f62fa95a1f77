//! A payload against its shape of the action table: one pass, the first violation with its place, values on demand.
//!
//! Implements OCPP-J requirements 1.6 steps 10 and 11: members in document order (duplicate, type, length, value), missing
//! members at the end of each object. What is tolerated unless `strict` is D-07. Recursion follows the shapes, which are
//! at most five deep, never the input.
#![forbid(unsafe_code)]

use crate::action::{Field, Kind, Shape};
pub use crate::build::Mode;

use crate::build::Build;
use crate::json::{Broken, Scanner};
use crate::scalar::{integer, quoted_integer, string};
use crate::text::Text;
use crate::violation::{Path, Reason, Step};

/// Why a payload is refused.
pub type Failure<'a> = Box<Refusal<'a>>;

/// A payload that is refused.
#[derive(Debug)]
pub enum Refusal<'a> {
    /// The text is not JSON.
    Broken(Broken),
    /// The text is JSON up to here, but breaks a rule.
    Rule {
        /// The rule.
        reason: Reason,
        /// The way to the value.
        path: Path,
        /// What follows the value that breaks it, so that the rest of the text can be checked.
        rest: &'a [u8],
    },
}

impl From<Broken> for Failure<'_> {
    #[cold]
    fn from(broken: Broken) -> Self {
        Box::new(Refusal::Broken(broken))
    }
}

/// `reason` is broken by a value before the cursor.
#[cold]
#[inline(never)]
pub(crate) fn rule(reason: Reason, scanner: Scanner<'_>) -> Failure<'_> {
    Box::new(Refusal::Rule { reason, path: Path::default(), rest: scanner.rest() })
}

/// Leave a container at `step`: what is left of it must still be JSON.
#[cold]
#[inline(never)]
fn abandon(mut failure: Failure<'_>, step: Step, depth: u32) -> Failure<'_> {
    if let Refusal::Rule { path, rest, .. } = failure.as_mut() {
        path.push(step);
        let mut scanner = Scanner::new(rest);
        if let Err(broken) = scanner.skip_rest(step.is_member(), depth) {
            return broken.into();
        }
        *rest = scanner.rest();
    }
    failure
}

/// The cursor behind one value of any kind.
#[inline(never)]
fn skipped(mut scanner: Scanner<'_>, depth: u32) -> Result<Scanner<'_>, Broken> {
    scanner.skip(depth)?;
    Ok(scanner)
}

/// Give up a value that has not been read.
#[cold]
#[inline(never)]
fn unread(reason: Reason, mut scanner: Scanner<'_>, depth: u32) -> Failure<'_> {
    match scanner.skip(depth) {
        Ok(()) => rule(reason, scanner),
        Err(broken) => broken.into(),
    }
}

/// Containers that are open when a payload starts: the frame and the payload itself.
const PAYLOAD_DEPTH: u32 = 2;

/// Validate the object under the cursor against `shape`, building its value. Returns it and what follows it.
///
/// # Errors
/// What is wrong first; it tells what follows the payload.
#[inline(always)]
pub fn payload<'a, B: Build<'a>>(
    scanner: Scanner<'a>,
    shape: &'static Shape,
    mode: Mode,
    build: &mut B,
) -> Result<(B::Value, &'a [u8]), Failure<'a>> {
    // Each way of reading is compiled on its own: what it does not ask costs it nothing.
    match (mode.strict, mode.confirmation) {
        (false, false) => object(Context::<false, false>::payload(), scanner, shape, build),
        (false, true) => object(Context::<false, true>::payload(), scanner, shape, build),
        (true, false) => object(Context::<true, false>::payload(), scanner, shape, build),
        (true, true) => object(Context::<true, true>::payload(), scanner, shape, build),
    }
}

/// One member of a payload that has been validated, built alone; `None` when it is absent.
///
/// # Errors
/// None for a payload that [`payload`] has accepted.
pub fn pick<'a, B: Build<'a>>(
    mut scanner: Scanner<'a>,
    shape: &'static Shape,
    mode: Mode,
    wanted: &'static Field,
    build: &mut B,
) -> Result<Option<B::Value>, Failure<'a>> {
    let mut found = None;
    while scanner.take(b'{') || scanner.take(b',') {
        if scanner.peek_token() == b'}' {
            break;
        }
        match member(&mut scanner, shape, shape.fields)? {
            Some((field, _)) if std::ptr::eq(field, wanted) => {
                found = if mode.confirmation {
                    member_value(Context::<false, true>::payload(), &mut scanner, field, build)?
                } else {
                    member_value(Context::<false, false>::payload(), &mut scanner, field, build)?
                };
            }
            _ => scanner.skip(PAYLOAD_DEPTH)?,
        }
        scanner.space();
    }
    Ok(found)
}

/// The JSON text of one member of a payload that has been validated; `None` when it is absent or null.
#[must_use]
pub fn raw<'a>(mut scanner: Scanner<'a>, shape: &'static Shape, wanted: &str) -> Option<&'a [u8]> {
    while scanner.take(b'{') || scanner.take(b',') {
        if scanner.peek_token() == b'}' {
            break;
        }
        let found = member(&mut scanner, shape, shape.fields).ok()?;
        scanner.space();
        let start = scanner.rest();
        scanner.skip(PAYLOAD_DEPTH).ok()?;
        if found.is_some_and(|(field, _)| field.name == wanted) {
            return Some(scanner.since(start)).filter(|text| *text != b"null");
        }
        scanner.space();
    }
    None
}

/// What a value needs to know of its surroundings; one machine word.
#[derive(Clone, Copy)]
struct Context<const STRICT: bool, const CONFIRMATION: bool> {
    /// Containers that are open, up to [`MAX_DEPTH`](crate::json::MAX_DEPTH).
    depth: u32,
}

impl<const STRICT: bool, const CONFIRMATION: bool> Context<STRICT, CONFIRMATION> {
    /// Of a payload.
    const fn payload() -> Self {
        Self { depth: PAYLOAD_DEPTH }
    }

    /// Inside one more container.
    #[inline(always)]
    const fn inner(self) -> Self {
        Self { depth: self.depth.wrapping_add(1) }
    }

    /// How strictly it is read.
    #[inline(always)]
    const fn mode(self) -> Mode {
        Mode { strict: STRICT, confirmation: CONFIRMATION }
    }
}

/// Whether the member name under the cursor is `field`'s, quotes and colon included; `head` is the first word there.
#[inline(always)]
fn is_named(scanner: &Scanner<'_>, head: u64, field: &Field) -> bool {
    let [first, second, last] = field.words;
    if head & field.mask != first {
        return false;
    }
    let size = field.name.len().wrapping_add(3);
    if size <= 8 {
        return true;
    }
    scanner.word_at(size.wrapping_sub(8)) == last && (size <= 16 || scanner.word_at(8) == second)
}

/// A member name and its colon; the member and those that come after it in the shape. `upcoming` are the likely ones.
#[inline(always)]
fn member<'a>(
    scanner: &mut Scanner<'a>,
    shape: &'static Shape,
    upcoming: &'static [Field],
) -> Result<Option<(&'static Field, &'static [Field])>, Broken> {
    let head = scanner.word();
    let mut candidates = upcoming;
    while let [field, after @ ..] = candidates {
        if is_named(scanner, head, field) {
            scanner.advance(field.name.len().wrapping_add(3));
            return Ok(Some((field, after)));
        }
        candidates = after;
    }
    let (found, rest) = odd_member(*scanner, shape)?;
    *scanner = Scanner::new(rest);
    Ok(found)
}

/// What [`odd_member`] found, and what follows.
type Found<'a> = (Option<(&'static Field, &'static [Field])>, &'a [u8]);

/// A member name that is not one of the next fields: out of order, escaped, spaced, unknown.
#[cold]
#[inline(never)]
fn odd_member<'a>(mut scanner: Scanner<'a>, shape: &'static Shape) -> Result<Found<'a>, Broken> {
    let name = scanner.name()?;
    let place = shape.fields.iter().position(|field| name.is(field.name));
    let found = place.and_then(|place| shape.fields.get(place..)?.split_first());
    Ok((found, scanner.rest()))
}

/// An object, its brace under the cursor; `depth` containers are open once it is. Returns what follows it too.
fn object<'a, const STRICT: bool, const CONFIRMATION: bool, B: Build<'a>>(
    context: Context<STRICT, CONFIRMATION>,
    mut scanner: Scanner<'a>,
    shape: &'static Shape,
    build: &mut B,
) -> Result<(B::Value, &'a [u8]), Failure<'a>> {
    let (mode, depth) = (context.mode(), context.depth);
    scanner.advance(1);
    let mut object = build.object();
    let mut seen = 0_u32;
    let mut absent = 0_u32;
    let mut upcoming = shape.fields;
    let mut unknown = false;
    scanner.space();
    if !scanner.take(b'}') {
        loop {
            if let Some((field, after)) = member(&mut scanner, shape, upcoming)? {
                if seen & field.bit != 0 {
                    return Err(abandon(unread(Reason::Duplicate, scanner, depth), Step::member(field.name_id), depth));
                }
                seen |= field.bit;
                upcoming = after;
                match member_value(context, &mut scanner, field, build) {
                    Ok(Some(value)) => build.put(&mut object, field, value),
                    Ok(None) => absent |= field.bit,
                    Err(failure) => return Err(abandon(failure, Step::member(field.name_id), depth)),
                }
            } else {
                unknown = true;
                scanner = skipped(scanner, depth)?;
            }
            match scanner.peek_token() {
                b',' => scanner.advance(1),
                b'}' => break,
                _ => return Err(Broken::Syntax.into()),
            }
        }
        scanner.advance(1);
    }
    complete(mode, shape, seen & !absent, unknown, scanner)?;
    Ok((build.close_object(object), scanner.rest()))
}

/// What is judged at the end of an object: missing members, then, in strict mode, unknown ones.
#[inline(always)]
fn complete<'a>(
    mode: Mode,
    shape: &'static Shape,
    present: u32,
    unknown: bool,
    scanner: Scanner<'a>,
) -> Result<(), Failure<'a>> {
    if present & shape.required != shape.required && !shape.is_excused(present) {
        return Err(missing(shape, present, scanner));
    }
    if unknown && mode.is_strict() {
        return Err(rule(Reason::UnknownMember, scanner));
    }
    Ok(())
}

/// The value of a member; `None` when it counts as absent.
#[inline(always)]
fn member_value<'a, const STRICT: bool, const CONFIRMATION: bool, B: Build<'a>>(
    context: Context<STRICT, CONFIRMATION>,
    scanner: &mut Scanner<'a>,
    field: &'static Field,
    build: &mut B,
) -> Result<Option<B::Value>, Failure<'a>> {
    let mode = context.mode();
    let first = scanner.peek_token();
    if first == b'n' {
        scanner.literal("null")?;
        // null: absent, but in strict mode of the wrong type.
        let wrong = Reason::WrongType(field.kind.type_name());
        return if mode.is_strict() { Err(rule(wrong, *scanner)) } else { Ok(None) };
    }
    if mode.confirmation && !field.required && first == b'"' && is_empty_text(scanner, &field.kind) {
        scanner.advance(2);
        return Ok(None);
    }
    value(context, scanner, &field.kind, build).map(Some)
}

/// An empty text where a confirmation has an optional text counts as absent (J-276).
fn is_empty_text(scanner: &Scanner<'_>, kind: &Kind) -> bool {
    let mut ahead = *scanner;
    ahead.advance(1);
    ahead.peek() == b'"' && matches!(kind, Kind::Text { .. } | Kind::Timestamp | Kind::AnyText)
}

/// A value of the given kind, inside `depth` open containers.
#[inline(always)]
fn value<'a, const STRICT: bool, const CONFIRMATION: bool, B: Build<'a>>(
    context: Context<STRICT, CONFIRMATION>,
    scanner: &mut Scanner<'a>,
    kind: &'static Kind,
    build: &mut B,
) -> Result<B::Value, Failure<'a>> {
    let (mode, depth) = (context.mode(), context.depth);
    let first = scanner.peek_token();
    match kind {
        Kind::Integer { min, max, strict, text }
            if is_number(first) || (*text && mode.confirmation && first == b'"') =>
        {
            let (min, max) = if mode.strict { *strict } else { (*min, *max) };
            let value = if first == b'"' { quoted_integer(scanner)? } else { integer(mode, scanner)? };
            match value {
                Some(value) if value >= min && value <= max => Ok(build.integer(value)),
                _ => Err(rule(Reason::OutOfRange(min, max), *scanner)),
            }
        }
        Kind::Decimal if is_number(first) => match scanner.number()?.tenths() {
            // What is finer than a tenth is rounded down, in strict mode refused.
            Some((tenths @ 0..=MAX_TENTHS, exact)) if exact || !mode.strict => Ok(build.tenths(tenths)),
            _ => Err(rule(Reason::BadDecimal, *scanner)),
        },
        Kind::Object(shape) if first == b'{' => {
            let (value, rest) = object(context.inner(), *scanner, shape, build)?;
            *scanner = Scanner::new(rest);
            Ok(value)
        }
        Kind::List { item, min, max } if first == b'[' => {
            let (value, rest) = list(context.inner(), *scanner, item, (*min, *max), build)?;
            *scanner = Scanner::new(rest);
            Ok(value)
        }
        Kind::Boolean if first == b't' || first == b'f' => {
            scanner.literal(if first == b't' { "true" } else { "false" })?;
            Ok(build.boolean(first == b't'))
        }
        Kind::AnyText if first != b'"' && !mode.strict => {
            let start = scanner.rest();
            *scanner = skipped(*scanner, depth)?;
            Ok(build.text(Text::plain(scanner.since(start))))
        }
        Kind::Integer { .. } | Kind::Decimal | Kind::Object(_) | Kind::List { .. } | Kind::Boolean => {
            Err(unread(Reason::WrongType(kind.type_name()), *scanner, depth))
        }
        _ if first != b'"' => Err(unread(Reason::WrongType(kind.type_name()), *scanner, depth)),
        _ if B::TRUSTED && !matches!(kind, Kind::Choice(..)) => Ok(build.content(scanner.content()?)),
        _ => {
            let text = scanner.string()?;
            string(mode, kind, text, build).map_err(|reason| rule(reason, *scanner))
        }
    }
}

/// An array, its bracket under the cursor; `depth` containers are open once it is. Returns what follows it too.
fn list<'a, const STRICT: bool, const CONFIRMATION: bool, B: Build<'a>>(
    context: Context<STRICT, CONFIRMATION>,
    mut scanner: Scanner<'a>,
    item: &'static Kind,
    (min, max): (u32, u32),
    build: &mut B,
) -> Result<(B::Value, &'a [u8]), Failure<'a>> {
    let depth = context.depth;
    scanner.advance(1);
    let mut list = build.list();
    let mut count = 0_usize;
    scanner.space();
    if !scanner.take(b']') {
        loop {
            if count == usize::try_from(max).unwrap_or(usize::MAX) {
                return Err(too_many(scanner, max, depth));
            }
            // Most arrays are of objects: their way is short.
            let read = match item {
                Kind::Object(shape) if scanner.peek() == b'{' => object(context.inner(), scanner, shape, build)
                    .map(|(value, rest)| (scanner = Scanner::new(rest), value).1),
                _ => value(context, &mut scanner, item, build),
            };
            match read {
                Ok(value) => build.push(&mut list, value),
                Err(failure) => return Err(abandon(failure, Step::item(count), depth)),
            }
            count = count.wrapping_add(1);
            match scanner.peek_token() {
                b',' => scanner.advance(1),
                b']' => break,
                _ => return Err(Broken::Syntax.into()),
            }
        }
        scanner.advance(1);
    }
    if count < usize::try_from(min).unwrap_or(0) {
        return Err(rule(Reason::TooFewItems(min), scanner));
    }
    Ok((build.close_list(list), scanner.rest()))
}

/// An array with an item too many under the cursor.
#[cold]
fn too_many(mut scanner: Scanner<'_>, max: u32, depth: u32) -> Failure<'_> {
    match scanner.skip(depth).and_then(|()| scanner.skip_rest(false, depth)) {
        Ok(()) => rule(Reason::TooManyItems(max), scanner),
        Err(broken) => broken.into(),
    }
}

/// 10^14 in tenths: far above any limit, far below what 64 bits hold after conversions.
const MAX_TENTHS: i64 = 1_000_000_000_000_000;

#[inline(always)]
const fn is_number(byte: u8) -> bool {
    byte == b'-' || byte.is_ascii_digit()
}

#[cold]
fn missing<'a>(shape: &'static Shape, present: u32, scanner: Scanner<'a>) -> Failure<'a> {
    let absent = (shape.required & !present).trailing_zeros();
    let field = shape.fields.get(usize::try_from(absent).unwrap_or(usize::MAX));
    let mut path = Path::default();
    if let Some(field) = field {
        path.push(Step::member(field.name_id));
    }
    Box::new(Refusal::Rule { reason: Reason::Missing, path, rest: scanner.rest() })
}
