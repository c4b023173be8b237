//! Whether what a client heard and what came to the app is as a case of the corpora has it.
//!
//! In: both, and what is expected. Out: nothing, or what was seen instead. Pure.

use super::corpus::told;
use super::lane::{End, Expected, Heard, How, NEXT, passed_on};
use super::strict::Message;
use super::witness::{Came, without_ours};

pub(super) fn check_heard(heard: &Heard, expected: &Expected) -> Result<(), String> {
    let finals = heard.finals();
    if let End::Wrong(why) = heard.end {
        return Err(format!("what the client got is no answer: {why}"));
    }
    match expected {
        Expected::Arrive(expected) => answered(&finals, expected),
        Expected::Answers(expected) => {
            let got: Vec<_> = heard
                .answers
                .iter()
                .map(|it| undated(it, expected))
                .collect();
            let same = got == *expected;
            let differs = || {
                let expected: Vec<_> = expected.iter().map(|it| told(&it.plain())).collect();
                format!("not the answers {expected:?}")
            };
            same.then_some(()).ok_or_else(differs)
        }
        Expected::BadGateway(reason) => refusal(&finals, Some(502), Some(reason)),
        Expected::Cut => match (&finals[..], heard.end) {
            ([], End::Closed | End::Reset) => Ok(()),
            ([_], _) => refusal(&finals, Some(502), None),
            _ => Err("its answer is not cut".to_owned()),
        },
        Expected::Refused {
            after,
            how,
            status,
            reason,
        } => {
            let (good, mut last) = finals.split_at(after.len().min(finals.len()));
            answered(good, after)?;
            match (how, heard.end) {
                (How::Open, End::Enough) => {
                    let next = last
                        .last()
                        .is_some_and(|it| it.content() == NEXT.as_bytes());
                    next.then_some(()).ok_or("the connection does not go on")?;
                    last = &last[..last.len() - 1];
                }
                (How::Open, _) => return Err("the connection does not go on".to_owned()),
                (_, End::Closed | End::Reset) => {}
                _ => return Err("the connection stays open".to_owned()),
            }
            match (last, status) {
                ([], None) => Ok(()),
                _ => refusal(last, *status, reason.as_deref()),
            }
        }
    }
}

fn answered(answers: &[&Message], requests: &[Message]) -> Result<(), String> {
    if answers.len() != requests.len() {
        return Err(format!("{} answers", answers.len()));
    }
    for (answer, request) in answers.iter().zip(requests) {
        let (status, target) = (answer.second(), request.second());
        let body = match request.method().as_str() {
            "HEAD" => "",
            _ => &target,
        };
        let good = status == "101" || status == "200" && answer.content() == body.as_bytes();
        if !good {
            return Err(format!("{target} got {}", told(&answer.plain())));
        }
    }
    Ok(())
}

fn refusal(answers: &[&Message], status: Option<u16>, reason: Option<&str>) -> Result<(), String> {
    let [answer] = answers else {
        return Err(format!("{} answers instead of a refusal", answers.len()));
    };
    let got: u16 = answer.second().parse().unwrap_or_default();
    let told = answer.field("proxy-status").unwrap_or_default();
    let is_reason = reason.is_none_or(|it| told.contains(&format!("details=\"{it}\"")));
    let good = status.map_or(got >= 400, |status| status == got) && is_reason;
    let seen = || format!("{got} {told}");
    good.then_some(()).ok_or_else(seen)
}

/// Without the date that a proxy says where the app did not (RFC 9110 §6.6.1).
fn undated(answer: &Message, expected: &[Message]) -> Message {
    let mut answer = answer.clone();
    if expected.iter().all(|it| it.field("date").is_none()) {
        answer
            .fields
            .retain(|(name, _)| !name.eq_ignore_ascii_case(b"date"));
    }
    answer
}

pub(super) fn check_came(came: &[Came], expected: &Expected) -> Result<(), String> {
    let (after, begun) = match expected {
        Expected::Arrive(expected) => (expected, false),
        Expected::Refused { after, how, .. } => (after, *how == How::Cut),
        // What the app answers is what counts; only nonsense must not come.
        Expected::Answers(_) | Expected::BadGateway(_) | Expected::Cut => {
            let good = came.iter().all(|came| matches!(came, Came::Whole(_)));
            return good.then_some(()).ok_or("nonsense at the app".to_owned());
        }
    };
    let mut wholes = after.iter();
    let mut begun_left = usize::from(begun);
    for came in came {
        match came {
            Came::Whole(message) => {
                let mut message = without_ours(message.clone());
                if matches!(expected, Expected::Refused { .. }) {
                    message = passed_on(message);
                }
                match wholes.next() {
                    None => return Err(format!("{} arrives", told(&message.plain()))),
                    Some(whole) if *whole == message => {}
                    Some(whole) => {
                        let (came, whole) = (told(&message.plain()), told(&whole.plain()));
                        return Err(format!("{came} arrives instead of {whole}"));
                    }
                }
            }
            Came::Begun(_) if begun_left > 0 => begun_left -= 1,
            other => return Err(format!("{} arrives", tell(other))),
        }
    }
    match wholes.next() {
        None => Ok(()),
        Some(whole) => Err(format!("{} does not arrive", told(&whole.plain()))),
    }
}

pub(super) fn tell(came: &Came) -> String {
    match came {
        Came::Whole(message) => told(&message.plain()),
        Came::Begun(bytes) => format!("the beginning {}", told(bytes)),
        Came::Wrong(bytes, why) => format!("{} ({why})", told(bytes)),
        Came::Switched(bytes) => format!("{} of another protocol", told(bytes)),
    }
}
