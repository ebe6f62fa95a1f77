//! What fuzzing decides, as plain functions over bytes: each panics when the crate breaks a promise about its input.
//!
//! Shared by `cargo test` (corpus and smoke), and by the libFuzzer targets of `fuzz/`. Owns no randomness but the
//! mutator's; must never look at a clock. Plan: reliability.md 6.1, targets 1, 2 and 8.
#![allow(
    dead_code, // each of the three users takes its part
    clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects,
    clippy::as_conversions, clippy::float_cmp
)]

pub mod corpus;
pub mod decode;
pub mod encode;
pub mod generate;
pub mod mutate;
pub mod profiles;
pub mod rows;
pub mod scalars;
pub mod strict_json;

/// A function that panics when the crate breaks a promise about `bytes`.
pub type Target = fn(bytes: &[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 10] = [
    ("decode", decode::decode),
    ("check_json", strict_json::check_json),
    ("encode_error", encode::encode_error),
    ("encode_payload", encode::encode_payload),
    ("meter_layout", encode::meter_layout),
    ("charging_profile", profiles::charging_profile),
    ("stored_row", profiles::stored_row),
    ("numbers", scalars::numbers),
    ("texts", scalars::texts),
    ("times", scalars::times),
];
