//! Python objects from a validated payload: dicts with interned keys, enumeration values that are made once.
#![forbid(unsafe_code)]

use crate::action::{ACTIONS, Action, ENUMERATIONS, Enumeration, Field, NAMES};
use crate::build::Build;
use crate::json::Scanner;
use crate::text::{Span, Text};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use std::borrow::Cow;

/// Strings that are made once: member names and enumeration values.
struct Interned {
    names: Vec<Py<PyString>>,
    values: Vec<Vec<Py<PyString>>>,
    actions: Vec<Py<PyString>>,
}

static INTERNED: PyOnceLock<Interned> = PyOnceLock::new();

fn interned(py: Python<'_>) -> &'static Interned {
    INTERNED.get_or_init(py, || {
        let string = |text: &&str| PyString::intern(py, text).unbind();
        Interned {
            names: NAMES.iter().map(string).collect(),
            values: ENUMERATIONS.iter().map(|enumeration| enumeration.values.iter().map(string).collect()).collect(),
            actions: ACTIONS.iter().map(|action| string(&action.name)).collect(),
        }
    })
}

/// The name of an action, made once.
pub(super) fn action_name<'py>(py: Python<'py>, action: &'static Action) -> Bound<'py, PyString> {
    match interned(py).actions.get(action.id) {
        Some(name) => name.bind(py).clone(),
        None => PyString::new(py, action.name),
    }
}

/// Builds Python objects from a payload that has been validated; the first Python error is kept.
pub(super) struct Objects<'py> {
    py: Python<'py>,
    interned: &'static Interned,
    error: Option<PyErr>,
}

impl<'py> Objects<'py> {
    /// A builder.
    pub(super) fn new(py: Python<'py>) -> Self {
        Self { py, interned: interned(py), error: None }
    }

    /// The first error that Python raised while building.
    pub(super) fn into_error(self) -> Option<PyErr> {
        self.error
    }

    fn note(&mut self, outcome: PyResult<()>) {
        if let Err(error) = outcome {
            self.error.get_or_insert(error);
        }
    }
}

impl<'a, 'py> Build<'a> for Objects<'py> {
    const TRUSTED: bool = true;
    type Value = Bound<'py, PyAny>;
    type Object = Bound<'py, PyDict>;
    type List = Bound<'py, PyList>;

    #[inline(always)]
    fn object(&mut self) -> Self::Object {
        PyDict::new(self.py)
    }
    #[inline(always)]
    fn put(&mut self, object: &mut Self::Object, field: &'static Field, value: Self::Value) {
        if let Some(name) = self.interned.names.get(field.name_id) {
            let outcome = object.set_item(name.bind(self.py), value);
            self.note(outcome);
        }
    }
    #[inline(always)]
    fn close_object(&mut self, object: Self::Object) -> Self::Value {
        object.into_any()
    }
    #[inline(always)]
    fn list(&mut self) -> Self::List {
        PyList::empty(self.py)
    }
    #[inline(always)]
    fn push(&mut self, list: &mut Self::List, value: Self::Value) {
        let outcome = list.append(value);
        self.note(outcome);
    }
    #[inline(always)]
    fn close_list(&mut self, list: Self::List) -> Self::Value {
        list.into_any()
    }
    #[inline(always)]
    fn text(&mut self, text: Text<'a>) -> Self::Value {
        self.content(text.unescaped())
    }
    #[inline(always)]
    fn content(&mut self, content: Cow<'a, [u8]>) -> Self::Value {
        // The frame is valid UTF-8 and Python checks it once more; a failure is kept like any other error.
        match PyString::from_bytes(self.py, &content) {
            Ok(text) => text.into_any(),
            Err(error) => {
                self.note(Err(error));
                self.py.None().into_bound(self.py)
            }
        }
    }
    #[inline(always)]
    fn choice(&mut self, enumeration: &'static Enumeration, index: usize) -> Self::Value {
        match self.interned.values.get(enumeration.id).and_then(|values| values.get(index)) {
            Some(value) => value.bind(self.py).clone().into_any(),
            None => PyString::new(self.py, "").into_any(),
        }
    }
    #[inline(always)]
    fn integer(&mut self, value: i64) -> Self::Value {
        PyInt::new(self.py, value).into_any()
    }
    #[inline(always)]
    fn tenths(&mut self, value: i64) -> Self::Value {
        #[allow(clippy::as_conversions)] // below 2^53, so exact
        PyFloat::new(self.py, value as f64 / 10.0).into_any()
    }
    #[inline(always)]
    fn boolean(&mut self, value: bool) -> Self::Value {
        PyBool::new(self.py, value).to_owned().into_any()
    }
}

/// The text of a span of a frame, its escapes undone.
pub(super) fn text_of<'py>(py: Python<'py>, frame: &Py<PyBytes>, span: Span) -> Bound<'py, PyString> {
    let raw = span.of(frame.as_bytes(py));
    if !raw.contains('\\') {
        return PyString::new(py, raw);
    }
    let quoted = format!("\"{raw}\"");
    let text = Scanner::new(quoted.as_bytes()).string().map(|text| text.to_text().into_owned()).unwrap_or_default();
    PyString::new(py, &text)
}

static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn orjson<'py>(py: Python<'py>, cell: &'static PyOnceLock<Py<PyAny>>, name: &str) -> PyResult<&'py Bound<'py, PyAny>> {
    cell.get_or_try_init(py, || Ok::<_, PyErr>(py.import("orjson")?.getattr(name)?.unbind())).map(|f| f.bind(py))
}

/// JSON of which nothing is known; an empty dict where its numbers are beyond Python's reader.
pub(super) fn loaded<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    Ok(orjson(py, &LOADS, "loads")?.call1((json,)).unwrap_or_else(|_| PyDict::new(py).into_any()))
}

/// Give the value of a member's alias to the member, when it has none of its own (J-213).
pub(super) fn unaliased(object: &Bound<'_, PyDict>, alias: &str, member: &str) -> PyResult<()> {
    if let Some(value) = object.get_item(alias)? {
        object.del_item(alias)?;
        if !object.contains(member)? {
            object.set_item(member, value)?;
        }
    }
    Ok(())
}

/// The payload as JSON; what orjson refuses has no place in a PDU either.
pub(super) fn dumped<'py>(payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let json = orjson(payload.py(), &DUMPS, "dumps")?.call1((payload,));
    json.map_err(|_| PyValueError::new_err("the payload cannot be written as JSON"))?.cast_into().map_err(PyErr::from)
}
