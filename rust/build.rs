//! How a payload is read and what its values become: the mode, and the trait that a reader of payloads feeds.
#![forbid(unsafe_code)]

use crate::action::{Enumeration, Field};
use crate::text::Text;
use std::borrow::Cow;

/// Receives the values of a payload; `()` receives nothing, which is bare validation.
pub trait Build<'a> {
    /// Whether the payload has been validated before, so that what only refuses need not be computed again.
    const TRUSTED: bool;
    /// A finished value.
    type Value;
    /// An object being filled.
    type Object;
    /// An array being filled.
    type List;

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
    fn text(&mut self, text: Text<'a>) -> Self::Value;
    /// The content of a text, where it has been validated before.
    fn content(&mut self, content: Cow<'a, [u8]>) -> Self::Value;
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
    const TRUSTED: bool = false;
    type Value = ();
    type Object = ();
    type List = ();

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
    fn text(&mut self, _: Text<'a>) {}
    #[inline(always)]
    fn content(&mut self, _: Cow<'a, [u8]>) {}
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
    pub(crate) const fn is_strict(self) -> bool {
        self.strict && !self.confirmation
    }
}
