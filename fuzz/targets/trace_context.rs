#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::checks::trace_context::check(data));
