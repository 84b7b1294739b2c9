#![no_main]

#[path = "../../tests/fuzzed/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::module_arguments(bytes));
