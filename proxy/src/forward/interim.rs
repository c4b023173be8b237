//! What an upstream says before its answer: `100 Continue` to the body that waits for it, everything else to the caller.

use super::attempt::Attempted;
use crate::answer::{Cause, Refusal};
use crate::exchange::{Exchange, Facts};
use crate::expect::Word;
use crate::headers::Bound;
use http::{Request, StatusCode, Version};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Why an upstream is not heard any longer that says more before its answer than it may.
const TOO_MUCH: &str = "too_many_interim_answers";

/// While a request goes over HTTP/1 and has no answer.
pub(super) struct Heard(Arc<Facts>);

impl Heard {
    /// Hears what is said before the answer to this request, each within `bound`, as all of it is; `word` is for the body.
    pub(super) fn of<B>(
        request: &mut Request<B>,
        exchange: &Exchange,
        word: Option<Word>,
        bound: Bound,
    ) -> Self {
        let facts = exchange.facts().clone();
        // RFC 9110 §15.2: never to HTTP/1.0.
        let turn = facts.interims.open(request.version() != Version::HTTP_11);
        let heard = facts.clone();
        hyper::ext::on_informational(request, move |interim| {
            let status = interim.status();
            if status == StatusCode::CONTINUE
                && let Some(word) = &word
            {
                word.say();
            }
            heard.interims.came(turn, status, interim.headers(), bound);
        });
        Self(facts)
    }
    /// The answer, or the refusal of who says too much before it.
    pub(super) async fn unless_too_much(
        &self,
        answer: impl Future<Output = Attempted>,
    ) -> Attempted {
        let mut answer = pin!(answer);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            self.0.interims.poll_too_much(cx).map(|()| {
                let reason = self.0.limits_it(TOO_MUCH);
                Err(Some(Refusal::sent(Cause::LyingResponse, reason)))
            })
        })
        .await
    }
}

/// It has its answer, whoever gives it.
impl Drop for Heard {
    fn drop(&mut self) {
        self.0.interims.answered();
    }
}
