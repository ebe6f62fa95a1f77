//! libFuzzer over `check_json` of tests/fuzz.
#![no_main]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::strict_json::check_json(bytes));
