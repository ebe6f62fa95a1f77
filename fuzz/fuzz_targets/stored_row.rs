//! libFuzzer over `stored_row` of tests/fuzz.
#![no_main]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::profiles::stored_row(bytes));
