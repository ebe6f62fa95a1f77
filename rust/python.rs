//! The seam: this file and its folder alone name PyO3. `_native.pyi` is its documentation; `mypy.stubtest` holds the two together.
//!
//! Nothing panics across it: bodies that read input run under `catch_unwind` and a panic becomes a RuntimeError.
#![deny(unsafe_code)]
#![allow(missing_docs)] // documented in _native.pyi

mod allocation;
mod meter;
mod objects;
mod profiles;

use self::allocation::Allocation;
use self::meter::MeterLayout;
use self::objects::{Objects, action_name, dumped, loaded, text_of, unaliased};
use self::profiles::{Installed, Profiles};

use crate::action::{Action, Sender, Shape};
use crate::check;
use crate::encode;
use crate::frame::{self, Frame, Options};
use crate::json::Scanner;
use crate::table;
use crate::text::{self, Span};
use crate::validate::{self, Failure, Mode};
use crate::violation;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Run `body`; a panic in it is a bug of ours and becomes an ordinary exception (reliability.md 6.2).
fn guarded<T>(body: impl FnOnce() -> T) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|_| PyRuntimeError::new_err("ocpphub._native failed; please report this"))
}

/// What [`Call`] and [`CallResult`] share: a frame and where its parts stand.
struct Message {
    frame: Py<PyBytes>,
    unique_id: Span,
    payload: Span,
    shape: Option<&'static Shape>,
    mode: Mode,
}

impl Message {
    fn unique_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        text_of(py, &self.frame, self.unique_id)
    }

    /// Run `read` over the payload with a builder of Python objects.
    fn built<'py, T>(
        &self,
        py: Python<'py>,
        read: impl for<'a> FnOnce(Scanner<'a>, &mut Objects<'py>) -> Result<T, Failure<'a>>,
    ) -> PyResult<T> {
        let raw = self.payload.of_bytes(self.frame.as_bytes(py));
        let raw = if raw.first() == Some(&b'{') { raw } else { b"{}" };
        let mut objects = Objects::new(py);
        let built = guarded(|| {
            read(Scanner::new(raw), &mut objects)
                .map_err(|_| PyRuntimeError::new_err("a validated payload cannot be read"))
        })?;
        objects.into_error().map_or(built, Err)
    }

    fn objects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(shape) = self.shape else {
            let any = loaded(py, self.payload.of(self.frame.as_bytes(py)))?;
            return Ok(if any.is_instance_of::<PyDict>() { any } else { PyDict::new(py).into_any() });
        };
        let object = self.built(py, |scanner, objects| {
            validate::payload(scanner, shape, self.mode, objects).map(|(object, _)| object)
        })?;
        if let Some((alias, member)) = shape.alias() {
            unaliased(object.cast::<PyDict>()?, alias.name, member.name)?;
        }
        Ok(object)
    }

    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(shape) = self.shape else { return Ok(None) };
        let Some(field) = shape.fields.iter().find(|field| field.name == name) else { return Ok(None) };
        let pick = |field| self.built(py, |scanner, objects| validate::pick(scanner, shape, self.mode, field, objects));
        match (pick(field)?, shape.alias()) {
            (None, Some((alias, member))) if std::ptr::eq(member, field) => pick(alias),
            (value, _) => Ok(value),
        }
    }
}

#[pyclass(frozen, module = "ocpphub._native")]
struct Call {
    message: Message,
    action: &'static Action,
}

#[pymethods]
impl Call {
    #[getter]
    fn unique_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.message.unique_id(py)
    }
    #[getter]
    fn action<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        action_name(py, self.action)
    }
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.message.objects(py)
    }
    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.message.get(py, name)
    }
    fn raw<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        let payload = self.message.payload.of_bytes(self.message.frame.as_bytes(py));
        validate::raw(Scanner::new(payload), self.message.shape?, name).map(|text| PyBytes::new(py, text))
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Call {} {}>", self.action.name, self.message.unique_id(py))
    }
}

#[pyclass(frozen, module = "ocpphub._native")]
struct CallResult {
    message: Message,
    action: Option<&'static Action>,
}

#[pymethods]
impl CallResult {
    #[getter]
    fn unique_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.message.unique_id(py)
    }
    #[getter]
    fn action<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.action.map(|action| action_name(py, action))
    }
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.message.objects(py)
    }
    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.message.get(py, name)
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<CallResult {} {}>", self.action.map_or("unknown", |action| action.name), self.message.unique_id(py))
    }
}

#[pyclass(frozen, module = "ocpphub._native")]
struct CallError {
    frame: Py<PyBytes>,
    unique_id: Span,
    action: Option<&'static Action>,
    #[pyo3(get)]
    code: &'static str,
    #[pyo3(get)]
    description: String,
    details: Option<Span>,
}

#[pymethods]
impl CallError {
    #[getter]
    fn unique_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        text_of(py, &self.frame, self.unique_id)
    }
    #[getter]
    fn action<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.action.map(|action| action_name(py, action))
    }
    #[getter]
    fn details<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.details {
            Some(span) => loaded(py, span.of(self.frame.as_bytes(py))),
            None => Ok(PyDict::new(py).into_any()),
        }
    }
}

#[pyclass(frozen, module = "ocpphub._native")]
struct Violation {
    frame: Py<PyBytes>,
    violation: violation::Violation,
}

#[pymethods]
impl Violation {
    #[getter]
    fn verdict(&self) -> &'static str {
        match self.violation.verdict() {
            violation::Verdict::CallError => "callerror",
            violation::Verdict::Ignore => "ignore",
            violation::Verdict::Close => "close",
        }
    }
    #[getter]
    fn stage(&self) -> &'static str {
        match self.violation.stage {
            violation::Stage::Utf8 => "utf8",
            violation::Stage::Syntax => "syntax",
            violation::Stage::Envelope => "envelope",
            violation::Stage::Action => "action",
            violation::Stage::Payload => "payload",
        }
    }
    #[getter]
    fn message_type(&self) -> Option<u8> {
        self.violation.message_type
    }
    #[getter]
    fn unique_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.violation.unique_id.map(|span| text_of(py, &self.frame, span))
    }
    #[getter]
    fn action(&self) -> Option<&'static str> {
        self.violation.action
    }
    #[getter]
    fn code(&self) -> &'static str {
        self.violation.reason.code().name()
    }
    #[getter]
    fn pointer(&self) -> String {
        self.violation.pointer()
    }
    #[getter]
    fn description(&self) -> String {
        self.violation.description()
    }
    fn __repr__(&self) -> String {
        format!("<Violation {} {}: {}>", self.verdict(), self.code(), self.violation.description())
    }
}

/// The action of the pending call with this id.
fn pending_action(pending: &Bound<'_, PyMapping>, id: &str) -> Option<&'static Action> {
    let named = |name: &Bound<'_, PyAny>| Action::named(name.cast::<PyString>().ok()?.to_str().ok()?.as_bytes());
    match pending.cast::<PyDict>() {
        // One call is in flight, so one entry: comparing it costs less than making a Python string to look up.
        Ok(pending) if pending.len() == 1 => {
            let (key, name) = pending.iter().next()?;
            if key.cast::<PyString>().ok()?.to_str().ok()? == id { named(&name) } else { None }
        }
        _ => named(&pending.get_item(id).ok()?),
    }
}

/// Decode a frame that `from` sent.
fn decode_from<'py>(
    bytes: &Bound<'py, PyBytes>,
    pending: Option<&Bound<'py, PyMapping>>,
    strict: bool,
    from: Sender,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    let find = |id: &str| pending_action(pending?, id);
    let decoded = guarded(|| frame::decode(bytes.as_bytes(), Options { strict, from }, find))?;
    let frame = || bytes.clone().unbind();
    match decoded {
        Ok(Frame::Call { unique_id, action, payload }) => {
            let mode = Mode { strict, confirmation: false };
            let message = Message { frame: frame(), unique_id, payload, shape: Some(action.request), mode };
            Ok(Bound::new(py, Call { message, action })?.into_any())
        }
        Ok(Frame::CallResult { unique_id, action, payload }) => {
            let mode = Mode { strict, confirmation: true };
            let shape = action.map(|action| action.confirmation);
            let message = Message { frame: frame(), unique_id, payload, shape, mode };
            Ok(Bound::new(py, CallResult { message, action })?.into_any())
        }
        Ok(Frame::CallError { unique_id, action, code, description, details }) => {
            let code = code.name();
            Ok(Bound::new(py, CallError { frame: frame(), unique_id, action, code, description, details })?.into_any())
        }
        Err(violation) => Ok(Bound::new(py, Violation { frame: frame(), violation })?.into_any()),
    }
}

#[pyfunction]
#[pyo3(signature = (frame, pending=None, *, strict=false))]
fn decode<'py>(
    frame: &Bound<'py, PyBytes>,
    pending: Option<&Bound<'py, PyMapping>>,
    strict: bool,
) -> PyResult<Bound<'py, PyAny>> {
    decode_from(frame, pending, strict, Sender::Csms)
}

#[pyfunction]
#[pyo3(signature = (frame, pending=None, *, strict=false))]
fn decode_request<'py>(
    frame: &Bound<'py, PyBytes>,
    pending: Option<&Bound<'py, PyMapping>>,
    strict: bool,
) -> PyResult<Bound<'py, PyAny>> {
    decode_from(frame, pending, strict, Sender::ChargePoint)
}

/// `start` + the id + `middle` + the payload as JSON + `]`, validated; `start` and `middle` hold the quotes of the id.
fn encoded<'py>(
    payload: &Bound<'py, PyAny>,
    start: &str,
    unique_id: &str,
    middle: [&str; 3],
    shape: &'static Shape,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = payload.py();
    let json = dumped(payload)?;
    let json = json.as_bytes();
    guarded(|| encode::check_payload(json, shape))?.map_err(PyValueError::new_err)?;
    let unique_id = text::escaped(unique_id);
    let [before, action, after] = middle;
    let parts = [start, &unique_id, before, action, after].map(str::as_bytes);
    let front: usize = parts.iter().map(|part| part.len()).sum();
    PyBytes::new_with(py, front.saturating_add(json.len()).saturating_add(1), |mut out| {
        for part in parts.into_iter().chain([json, b"]"]) {
            let (place, rest) = out.split_at_mut(part.len());
            place.copy_from_slice(part);
            out = rest;
        }
        Ok(())
    })
}

/// An id of our own: at most 36 characters (J-231).
fn own_id(unique_id: &str) -> PyResult<&str> {
    if unique_id.len() > frame::ID_CHARACTERS && unique_id.chars().count() > frame::ID_CHARACTERS {
        return Err(PyValueError::new_err("unique_id: at most 36 characters allowed"));
    }
    Ok(unique_id)
}

/// The action of this name, when `by` may send its request.
fn sendable(action: &str, by: Sender) -> PyResult<&'static Action> {
    Action::named(action.as_bytes())
        .filter(|action| action.is_sent_by(by))
        .ok_or_else(|| PyValueError::new_err("action: not one that this side may use"))
}

#[pyfunction]
fn encode_call<'py>(unique_id: &str, action: &str, payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let action = sendable(action, Sender::ChargePoint)?;
    encoded(payload, "[2,\"", own_id(unique_id)?, ["\",\"", action.name, "\","], action.request)
}

#[pyfunction]
fn encode_result<'py>(unique_id: &str, action: &str, payload: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let action = sendable(action, Sender::Csms)?;
    encoded(payload, "[3,\"", unique_id, ["\",", "", ""], action.confirmation)
}

#[pyfunction]
#[pyo3(signature = (unique_id, code, description="", details=None))]
fn encode_error<'py>(
    py: Python<'py>,
    unique_id: &str,
    code: &str,
    description: &str,
    details: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let known = violation::Code::ALL.into_iter().find(|known| known.name() == code);
    let code = known.ok_or_else(|| PyValueError::new_err("code: not an error code of OCPP-J 1.6"))?;
    let details = match details {
        Some(details) => dumped(details)?,
        None => PyBytes::new(py, b"{}"),
    };
    let details = std::str::from_utf8(details.as_bytes()).unwrap_or("{}");
    Ok(PyBytes::new(py, &encode::encode_error(unique_id, code, description, details)))
}

#[pyfunction]
fn check_json(line: &Bound<'_, PyBytes>) -> PyResult<Option<String>> {
    let checked = guarded(|| check::check(line.as_bytes()))?;
    Ok(checked.err().map(|(wrong, byte)| format!("{wrong} (at byte {byte})")))
}

#[pyfunction]
fn actions(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    loaded(py, &table::actions())
}

#[pyfunction]
fn enums(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    loaded(py, &table::enums())
}

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        Allocation, Call, CallError, CallResult, Installed, MeterLayout, Profiles, Violation, actions, check_json,
        decode, decode_request, encode_call, encode_error, encode_result, enums,
    };
    #[pymodule_export]
    const BUILD: &str = env!("OCPPHUB_BUILD");
    #[pymodule_export]
    const SOURCE_HASH: &str = env!("OCPPHUB_SOURCE_HASH");
}
