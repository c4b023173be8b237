#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::checks::field_blocks::check(data));
