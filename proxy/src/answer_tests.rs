#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use http_body_util::BodyExt;

fn text(response: Response<Full<Bytes>>) -> String {
    let bytes = futures_now(response.into_body().collect())
        .unwrap()
        .to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
/// Full bodies are ready at once: polling once is enough.
fn futures_now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("a full body waits for nothing"),
    }
}

#[test]
fn every_cause_has_one_row() {
    let mut seen = std::collections::HashSet::new();
    for row in TABLE {
        assert!(seen.insert(row.cause), "{:?} stands twice", row.cause);
        assert!(matches!(row.http.as_u16(), 400..=599));
    }
    // The compiler knows how many causes there are only by the last one's position.
    assert_eq!(seen.len(), Cause::Loop as usize + 1);
}

#[test]
fn a_refusal_says_whose_answer_it_is_and_whether_the_app_was_reached() {
    let response = Refusal::unsent(Cause::Malformed, "dot_segment").answer(Form::Whole);
    assert_eq!(response.status(), 400);
    assert_eq!(
        response.headers()["proxy-status"],
        "countersign; error=http_request_error; details=\"dot_segment\"; reached=?0"
    );
    assert_eq!(text(response), "{\"error\":\"dot_segment\"}\n");
    let response = Refusal::sent(Cause::Terminated, "closed_before_response").answer(Form::Whole);
    assert_eq!(
        response.headers()["proxy-status"],
        "countersign; error=connection_terminated; details=\"closed_before_response\"; reached=?1"
    );
}

#[test]
fn a_grpc_request_is_answered_trailers_only() {
    let response =
        Refusal::unsent(Cause::NoSuchService, "no_such_service").answer(Form::TrailersOnly);
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "12");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(text(response), "");
}

#[test]
fn a_head_request_is_told_the_length_and_not_the_text() {
    let form = Form::of(&Method::HEAD, &HeaderMap::new());
    let response = Refusal::unsent(Cause::PolicyDenied, "denied_by_rule").answer(form);
    assert_eq!(response.status(), 403);
    let length = "{\"error\":\"denied_by_rule\"}\n".len().to_string();
    assert_eq!(response.headers()["content-length"], length.as_str());
    assert_eq!(text(response), "");
}

/// `BLESS=1 cargo test` writes it anew.
#[test]
fn the_reference_is_current() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/errors.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, reference()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        reference(),
        "run BLESS=1 cargo test -p countersign-proxy"
    );
}
