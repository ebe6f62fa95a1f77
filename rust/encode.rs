//! What is sent: payloads checked strictly, CALLERRORs, the start of a CALL (OCPP-J 1.6 chapter 4).
//!
//! The bytes of a payload come from `orjson`; the validator of received payloads reads them once more, so that a frame
//! that breaks its PDU cannot leave (J-209, X-38).
#![forbid(unsafe_code)]

use crate::action::Shape;
use crate::frame::{DESCRIPTION_CHARACTERS, element};
use crate::json::Scanner;
use crate::text::write_string;
use crate::validate::{Mode, Refusal};
use crate::violation::{Code, Path, Reason, Stage, Violation};

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
    if bytes.first() != Some(&b'{') {
        return Err(violation(Reason::PayloadNotObject, Path::default()).description());
    }
    let mut scanner = Scanner::new(bytes);
    let outcome = element(&mut scanner, shape, Mode { strict: true, confirmation: false });
    outcome.map_err(|failure| match *failure {
        Refusal::Rule { reason, path, .. } => violation(reason, path).description(),
        Refusal::Broken(_) => violation(Reason::BadJson, Path::default()).description(),
    })
}

/// `[2,"id","action",` : what stands before the payload of a CALL, in a vector with `room` behind it.
#[must_use]
pub fn call_head(unique_id: &str, action: &str, room: usize) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(unique_id.len().saturating_add(action.len()).saturating_add(room).saturating_add(10));
    out.extend_from_slice(b"[2,");
    write_string(&mut out, unique_id);
    out.push(b',');
    write_string(&mut out, action);
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
