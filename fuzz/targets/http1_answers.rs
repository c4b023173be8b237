#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::checks::http1::check_answers(data));
