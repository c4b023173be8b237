//! How often certificates of one line are asked for, and what was answered a moment ago.
//!
//! In: which certificate is to be renewed, by what question, the time. Out: a place or how long to wait, the answer that the
//! same question got before, and whether a suspicion about it is news. A line is a certificate and all that came of it.
//!
//! 1. One certificate cannot fill the record: its successors are measured together with it, and so are theirs.
//! 2. A lost answer is told again for a moment, without another certificate.
//! 3. What is remembered is bounded; who is forgotten begins a line of its own, with a full measure.

use crate::answer::Answer;
use crate::budget::Meter;
use crate::record::{Instance, KeyHash};
use crate::template::Serial;
use config::unit::Rate;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Renewals of one line: of one whose certificates live ten seconds, which is the shortest, and as many repetitions as a client
/// needs whose line is bad.
const RATE: Rate = Rate {
    times: 60,
    per: Duration::from_secs(60),
};
/// How often it is told that two seem to hold a key of one line.
const TOLD: Rate = Rate {
    times: 1,
    per: Duration::from_secs(60 * 60),
};
/// How long an answer is told again at most: somewhat more than a client waits for one.
const TOLD_AGAIN: Duration = Duration::from_secs(30);
/// And for no more than this part of the certificate's life, so that it is never an old one that is told.
const OF_LIFE: u32 = 10;
/// Half of the certificates that are remembered, each with about 1.5 KB.
const HALF_MAX: usize = 4096;

/// What a certificate is asked for with, as far as the answer depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The new key.
    pub(crate) key: KeyHash,
    /// Of which instance.
    pub(crate) instance: Instance,
    /// The key identifier of the issuer that signs now.
    pub(crate) issuer: [u8; 20],
}

/// Lines, by the serials of their certificates.
#[derive(Debug)]
pub(crate) struct Lines {
    meter: Meter<Serial>,
    told: Meter<Serial>,
    recent: Mutex<Recent>,
}

/// The older half goes when the younger one is full.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<Serial, Known>,
    old: HashMap<Serial, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// The first certificate of its line that is remembered.
    head: Serial,
    answered: Option<Arc<(Question, Answer)>>,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            meter: Meter::new(RATE),
            told: Meter::new(TOLD),
            recent: Mutex::default(),
        }
    }
}

impl Lines {
    /// Takes one renewal of this certificate's line, or says when there will be one.
    pub(crate) fn take(&self, parent: Serial, now: Instant) -> Result<(), Duration> {
        let head = self.recent().head(parent);
        self.meter.take(&head, now)
    }

    /// Whether somebody should hear that two seem to hold the key of this certificate.
    pub(crate) fn is_news(&self, parent: Serial, now: Instant) -> bool {
        let head = self.recent().head(parent);
        self.told.take(&head, now).is_ok()
    }

    /// The answer to the same question about this certificate, if it was given a moment ago.
    pub(crate) fn answered(
        &self,
        parent: Serial,
        question: &Question,
        now: SystemTime,
    ) -> Option<Answer> {
        let answered = self.recent().known(parent)?.answered.clone()?;
        let (asked, answer) = answered.as_ref();
        let age = now.duration_since(answer.issued_at).ok()?;
        let is_fresh = age <= TOLD_AGAIN.min(answer.life() / OF_LIFE);
        (asked == question && is_fresh).then(|| answer.again(now))
    }

    /// Remembers what was answered.
    pub(crate) fn answer(&self, parent: Serial, question: Question, answer: &Answer) {
        let mut recent = self.recent();
        let head = recent.head(parent);
        let answered = Some(Arc::new((question, answer.clone())));
        recent.put(parent, Known { head, answered });
        let child = Known {
            head,
            answered: None,
        };
        recent.put(answer.recorded.serial(), child);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn known(&self, serial: Serial) -> Option<&Known> {
        let young = self.young.get(&serial);
        young.or_else(|| self.old.get(&serial))
    }

    fn head(&self, serial: Serial) -> Serial {
        self.known(serial).map_or(serial, |known| known.head)
    }

    fn put(&mut self, serial: Serial, known: Known) {
        if self.young.len() >= HALF_MAX && !self.young.contains_key(&serial) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(serial, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Recorded;
    use std::time::UNIX_EPOCH;

    fn serial(number: u32) -> Serial {
        let mut random = [0; 20];
        random[16..].copy_from_slice(&number.to_be_bytes());
        Serial::from_random(random)
    }

    fn question(key: u8) -> Question {
        Question {
            key: KeyHash::from_bytes([key; 32]),
            instance: Instance::default(),
            issuer: [1; 20],
        }
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000 + second)
    }

    /// Answered at second 0.
    fn answer(number: u32, life_s: u64) -> Answer {
        Answer {
            chain: Vec::new(),
            issued_at: at(0),
            not_after_s: 1000 + life_s,
            recorded: Recorded::made_up(serial(number)),
        }
    }

    #[test]
    fn a_certificate_and_all_that_come_of_it_have_one_measure() {
        let (lines, now) = (Lines::default(), Instant::now());
        for number in 0..RATE.times {
            assert_eq!(lines.take(serial(number), now), Ok(()), "{number}");
            lines.answer(serial(number), question(1), &answer(number + 1, 3600));
        }

        let wait = Err(Duration::from_secs(1));
        assert_eq!(lines.take(serial(RATE.times), now), wait);
        assert_eq!(lines.take(serial(0), now), wait);
        assert_eq!(lines.take(serial(1000), now), Ok(()));
        let later = now + Duration::from_secs(2);
        assert_eq!(lines.take(serial(RATE.times), later), Ok(()));
    }

    #[test]
    fn a_suspicion_about_one_line_is_news_once_an_hour() {
        let (lines, now) = (Lines::default(), Instant::now());
        lines.answer(serial(0), question(1), &answer(1, 3600));

        let hour = Duration::from_secs(3601);
        for (parent, at, news) in [
            (0, now, true),
            (0, now, false),
            (1, now, false),
            (7, now, true),
            (1, now + hour, true),
        ] {
            assert_eq!(lines.is_news(serial(parent), at), news, "{parent}");
        }
    }

    #[test]
    fn the_same_question_is_answered_again_for_a_moment_and_no_other() {
        let lines = Lines::default();
        lines.answer(serial(0), question(1), &answer(1, 3600));
        lines.answer(serial(5), question(1), &answer(6, 10));
        let other_issuer = Question {
            issuer: [2; 20],
            ..question(1)
        };
        for (parent, question, second, again) in [
            (0, question(1), 0, true),
            (0, question(1), 30, true),
            (0, question(1), 31, false),
            (0, question(2), 1, false),
            (0, other_issuer, 1, false),
            (1, question(1), 1, false),
            (9, question(1), 1, false),
            (5, question(1), 1, true),
            (5, question(1), 2, false), // a tenth of its life is over
        ] {
            let told = lines.answered(serial(parent), &question, at(second));

            let told = told.map(|told| (told.issued_at, told.recorded.serial()));
            let wanted = again.then(|| (at(second), serial(parent + 1)));
            assert_eq!(told, wanted, "{parent} {second}");
        }
    }

    #[test]
    fn a_crowd_of_lines_is_not_remembered_whole_and_the_youngest_are() {
        let lines = Lines::default();
        let many = 5 * HALF_MAX as u32;
        for number in 0..many {
            lines.answer(
                serial(2 * number),
                question(1),
                &answer(2 * number + 1, 3600),
            );
        }

        let recent = lines.recent();
        let remembered = recent.young.len() + recent.old.len();
        assert!(remembered <= 2 * HALF_MAX, "{remembered}");
        drop(recent);
        let last = lines.answered(serial(2 * (many - 1)), &question(1), at(1));
        assert!(last.is_some());
    }
}
