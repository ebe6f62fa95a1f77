//! Every row of the bad frames against the reader: verdict, code and id, leniently and strictly.
//!
//! Owns the list of rows whose outcome the frame alone does not decide. Must never skip a row that is not on it.
//! Format and expectations: requirements-j-security.md sections 1.6, 1.7 and 5.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fuzz;

use fuzz::rows::{Row, rows};
use ocpphub::action::{Action, Sender};
use ocpphub::frame::{Frame, Options, decode};
use ocpphub::violation::{Stage, Verdict, Violation};

/// Rows whose expectation needs to know the station, with what the reader alone says of their frame.
const STATION_DECIDES: [(&str, &str, &str); 6] = [
    ("id-duplicate-in-progress-same", "accept", "which ids are being handled is not in the frame (J-239)"),
    ("id-duplicate-in-progress-other", "accept", "which ids are being handled is not in the frame (J-239)"),
    (
        "set-profile-when-no-smart-charging",
        "callerror:OccurenceConstraintViolation",
        "profiles are switched by the core",
    ),
    ("rejected-any-call", "accept", "the registration gate stands before the reader (J-362)"),
    (
        "rejected-malformed-call",
        "callerror:FormationViolation",
        "the registration gate stands before the reader (J-362)",
    ),
    ("unbooted-call", "accept", "the registration gate stands before the reader (J-365)"),
];

/// The id of a frame, unescaped.
fn text_of(row: &Row, id: ocpphub::text::Span) -> String {
    serde_json::from_str(&format!("\"{}\"", id.of(&row.bytes()))).expect("an id is a JSON string")
}

fn read(row: &Row, strict: bool) -> Result<Frame, Violation> {
    let pending =
        |id: &str| row.pending().filter(|(own, _)| *own == id).and_then(|(_, name)| Action::named(name.as_bytes()));
    decode(&row.bytes(), Options { strict, from: Sender::Csms }, pending)
}

/// The outcome in the words of the rows, and the id that an answer carries.
fn outcome(row: &Row, strict: bool) -> (String, Option<String>) {
    match read(row, strict) {
        Ok(Frame::Call { unique_id, .. }) => ("accept".into(), Some(text_of(row, unique_id))),
        Ok(Frame::CallResult { action, .. } | Frame::CallError { action, .. }) => {
            (if action.is_some() { "accept" } else { "ignore" }.into(), None)
        }
        Err(violation) => match violation.verdict() {
            Verdict::CallError => {
                let id = violation.unique_id.expect("an answer has an id");
                (format!("callerror:{}", violation.reason.code().name()), Some(text_of(row, id)))
            }
            Verdict::Ignore => ("ignore".into(), None),
            // J-328: a binary message that is no UTF-8 is dropped where a text closes the link.
            Verdict::Close if row.text("opcode") == Some("binary") => ("ignore".into(), None),
            Verdict::Close => ("close".into(), None),
        },
    }
}

fn check(row: &Row, strict: bool) {
    let (verdict, id) = outcome(row, strict);
    let name = row.name();
    if let Some((_, alone, _)) = STATION_DECIDES.iter().find(|(station, ..)| *station == name) {
        assert_eq!(verdict, *alone, "{name}, strict {strict}: the list of exceptions is out of date");
        return;
    }
    let expected = row.text("strict").filter(|_| strict).or(row.text("expect")).unwrap();
    let alternatives = row.0["alt"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let mut allowed = std::iter::once(expected).chain(alternatives.map(|other| other.split(":Failed").next().unwrap()));
    assert!(allowed.any(|allowed| allowed == verdict), "{name}, strict {strict}: {verdict}, not {expected}");
    let answered = verdict.starts_with("callerror") || (verdict == "accept" && row.pending().is_none());
    if answered {
        assert_eq!(id.as_deref(), row.text("reply_id"), "{name}, strict {strict}");
    }
}

// req: J-213 J-251 J-252 J-253 J-254 J-255 J-256 J-271 J-272 J-325
#[test]
fn reader_bad_frame_lenient_gets_its_verdict_code_and_id() {
    for row in rows() {
        check(&row, false);
    }
}

// req: J-209 J-251 J-252 J-253 J-254 J-255 J-256
#[test]
fn reader_bad_frame_strict_gets_its_verdict_code_and_id() {
    for row in rows() {
        check(&row, true);
    }
}

#[test]
fn exception_every_one_names_a_row_that_differs() {
    for (name, alone, reason) in STATION_DECIDES {
        let row = rows().into_iter().find(|row| row.name() == name).expect(name);
        assert_ne!(row.text("expect"), Some(alone), "{name} needs no exception: {reason}");
    }
}

// req: J-272 J-273
#[test]
fn reader_broken_text_gives_an_id_exactly_where_the_row_says_salvage() {
    for row in rows() {
        if let Err(violation) = read(&row, false)
            && violation.stage == Stage::Syntax
        {
            assert_eq!(violation.unique_id.is_some(), row.0["salvage"] == true, "{}", row.name());
        } else {
            assert_ne!(row.0["salvage"], true, "{}", row.name());
        }
    }
}

// req: J-273 J-274 J-275 J-276
#[test]
fn reader_answer_to_an_own_call_has_the_outcome_of_its_row() {
    let answers: Vec<_> = rows().into_iter().filter(|row| row.pending().is_some()).collect();
    assert_eq!(answers.len(), 25);
    for row in answers {
        let own = row.pending().map(|(id, _)| id.to_owned());
        let found = match read(&row, false) {
            Ok(Frame::CallResult { action: Some(_), .. }) => "ok",
            Ok(Frame::CallError { action: Some(_), .. }) => "failed",
            Ok(_) => "unchanged",
            Err(violation) if violation.unique_id.map(|id| text_of(&row, id)) == own => "failed",
            Err(_) => "unchanged",
        };
        assert_eq!(Some(found), row.text("pending_outcome"), "{}", row.name());
    }
}

// req: J-261
#[test]
fn reader_bad_answer_is_never_answered() {
    let bad =
        ["[3,\"a\"]", "[3,\"a\",[1]]", "[3,7,{}]", "[4]", "[4,\"a\",1,2,3,4]", "[4,\"a\",", "[3,\"a\",{\"x\":1,}]"];
    let rows = rows().into_iter().filter(|row| row.text("cat") == Some("response")).map(|row| row.bytes());
    let frames: Vec<Vec<u8>> = rows.chain(bad.map(|frame| frame.as_bytes().to_vec())).collect();
    assert_eq!(frames.len(), 25 + bad.len());
    for frame in frames {
        for strict in [false, true] {
            let read = decode(&frame, Options { strict, from: Sender::Csms }, |_| Action::named(b"Heartbeat"));
            let verdict = read.err().map(|violation| violation.verdict());
            assert_ne!(verdict, Some(Verdict::CallError), "{}", frame.escape_ascii());
        }
    }
}

// req: J-262
#[test]
fn description_is_short_ascii_and_says_nothing_that_was_received() {
    for row in rows() {
        let Err(violation) = read(&row, true) else { continue };
        let description = violation.description();
        assert!(description.is_ascii() && description.len() <= 255, "{}", row.name());
        for secret in ["b0", "FooBar", "AAAA", "kkkk", "vvvv", "HeartbeatInterval", "AABB", "customData", "\\u"] {
            assert!(!description.contains(secret), "{}: {description}", row.name());
        }
    }
}

// req: J-279
#[test]
fn reader_33_containers_are_too_deep_and_32_are_not() {
    let frame = |depth: usize| {
        format!("[2,\"d\",\"Reset\",{{\"type\":\"Soft\",\"x\":{}{}}}]", "[".repeat(depth), "]".repeat(depth))
    };
    for (depth, taken) in [(30, true), (31, false), (40, false), (4000, false)] {
        let read = decode(frame(depth).as_bytes(), Options { strict: false, from: Sender::Csms }, |_| None);
        assert_eq!(read.is_ok(), taken, "{depth}");
        assert!(read.is_ok() || read.is_err_and(|violation| violation.stage == Stage::Syntax));
    }
}
