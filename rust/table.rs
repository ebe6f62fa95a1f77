//! The action table as JSON, for everything outside of Rust that is made from it: vocabulary, reference decoder, docs.
#![forbid(unsafe_code)]

use crate::action::{ACTIONS, ENUMERATIONS, Field, Kind, Sender, Shape};
use crate::text::write_string;

/// A JSON object from members that are JSON already.
fn object(members: &[(&str, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// A JSON array from items that are JSON already.
fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// A largest value, or null where there is none.
fn most(value: u32) -> String {
    if value == u32::MAX { "null".into() } else { value.to_string() }
}

/// What a kind is called, and its bounds.
fn kind(kind: &Kind) -> Vec<(&'static str, String)> {
    let plain = |name| vec![("kind", quoted(name))];
    match kind {
        Kind::AnyText => plain("any_text"),
        Kind::Uri => plain("uri"),
        Kind::Timestamp => plain("timestamp"),
        Kind::LooseTimestamp => plain("loose_timestamp"),
        Kind::Decimal => plain("decimal"),
        Kind::Boolean => plain("boolean"),
        Kind::Text { min, max } => {
            vec![("kind", quoted("text")), ("min_length", min.to_string()), ("max_length", most(*max))]
        }
        Kind::Integer { min, max, strict: (strict_min, strict_max), .. } => vec![
            ("kind", quoted("integer")),
            ("min", min.to_string()),
            ("max", max.to_string()),
            ("strict_min", strict_min.to_string()),
            ("strict_max", strict_max.to_string()),
        ],
        Kind::Choice(enumeration, _) => vec![("kind", quoted("choice")), ("enumeration", quoted(enumeration.name))],
        Kind::OpenChoice(enumeration) => {
            vec![("kind", quoted("open_choice")), ("enumeration", quoted(enumeration.name))]
        }
        Kind::Object(shape) => {
            vec![("kind", quoted("object")), ("class", quoted(shape.name)), ("fields", fields(shape))]
        }
        Kind::List { item, min, max } => vec![
            ("kind", quoted("list")),
            ("min_items", min.to_string()),
            ("max_items", most(*max)),
            ("item", object(&self::kind(item))),
        ],
    }
}

fn fields(shape: &Shape) -> String {
    let is_alias = |field: &&Field| shape.alias().is_some_and(|(alias, _)| std::ptr::eq(alias, *field));
    array(shape.fields.iter().filter(|field| !is_alias(field)).map(|field| {
        let mut members = vec![("name", quoted(field.name)), ("required", field.required.to_string())];
        members.extend(kind(&field.kind));
        object(&members)
    }))
}

/// Per action its profile, its sender and the fields of request and confirmation.
#[must_use]
pub fn actions() -> String {
    let sender = |sender| match sender {
        Sender::ChargePoint => "charge_point",
        Sender::Csms => "csms",
        Sender::Both => "both",
    };
    let actions: Vec<_> = ACTIONS
        .iter()
        .map(|action| {
            let members = [
                ("profile", quoted(action.profile)),
                ("sender", quoted(sender(action.sender))),
                ("request", fields(action.request)),
                ("confirmation", fields(action.confirmation)),
            ];
            (action.name, object(&members))
        })
        .collect();
    object(&actions)
}

/// The values of every enumeration by its name.
#[must_use]
pub fn enums() -> String {
    let enums: Vec<_> = ENUMERATIONS
        .iter()
        .map(|enumeration| (enumeration.name, array(enumeration.values.iter().map(|value| quoted(value)))))
        .collect();
    object(&enums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;

    #[test]
    fn tables_are_strict_json() {
        for table in [actions(), enums()] {
            assert_eq!(check(table.as_bytes()), Ok(()));
        }
    }
}
