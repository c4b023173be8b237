//! `examples/files` with real nginx and real curl.

use crate::support::example::Example;

#[test]
#[ignore = "needs nginx, curl and PostgreSQL: .ci/parts"]
fn the_page_of_the_example_says_what_happens() {
    Example::copy().follow_all();
}
