//! Who waits for the disk: three short queues, and in which order they are served.
//!
//! 1. Operators go before renewals, renewals before joins: a flood of joins keeps nobody's identity from being renewed.
//! 2. Each queue has its own bound. A full one refuses; nobody waits for a place.
//! 3. After `close` nothing comes in, and what is within is still served.

use crate::store::fault::Fault;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Operators,
    Renewals,
    Joins,
}

impl Class {
    fn word(self) -> &'static str {
        match self {
            Class::Operators => "operators",
            Class::Renewals => "renewals",
            Class::Joins => "joins",
        }
    }
}

pub(super) struct Queue<T> {
    each_max: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    closed: bool,
    /// In the order of [`Class`].
    waiting: [VecDeque<T>; 3],
}

impl<T> Queue<T> {
    pub(super) fn new(each_max: usize) -> Self {
        Queue {
            each_max,
            state: Mutex::new(State {
                closed: false,
                waiting: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn push(&self, class: Class, item: T) -> Result<(), Fault> {
        let mut state = self.lock();
        if state.closed {
            return Err(Fault::Closed);
        }
        let waiting = &mut state.waiting[class as usize];
        if waiting.len() >= self.each_max {
            return Err(Fault::QueueFull {
                of: class.word(),
                waiting: waiting.len(),
            });
        }
        waiting.push_back(item);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// At least one and at most `max` in the order in which they are served; waits for the first, and after that as long as it
    /// may gather. `None` once it is closed and empty.
    pub(super) fn take(&self, max: usize, gathering: Duration) -> Option<Vec<T>> {
        let mut state = self.lock();
        let mut gathered = gathering.is_zero();
        loop {
            if !gathered && !state.closed && state.waiting.iter().any(|queue| !queue.is_empty()) {
                gathered = true;
                drop(state);
                // Not on the condition: each that comes would wake this thread.
                std::thread::sleep(gathering);
                state = self.lock();
            }
            let taken: Vec<T> = {
                let queues = state.waiting.iter_mut();
                let served = queues.flat_map(|queue| std::iter::from_fn(|| queue.pop_front()));
                served.take(max).collect()
            };
            if !taken.is_empty() {
                return Some(taken);
            }
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Like `close`, and lets go of what is within: for when nobody serves any more.
    pub(super) fn abandon(&self) {
        let left = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.changed.notify_all();
        // Outside the lock: whoever waits for it is woken.
        drop(left);
    }

    /// Nothing that happens under this lock can leave a queue half changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn renewals_are_served_before_joins_and_operators_before_both() {
        let queue = Queue::new(10);
        for (class, name) in [
            (Class::Joins, "join 1"),
            (Class::Renewals, "renewal"),
            (Class::Joins, "join 2"),
            (Class::Operators, "operator"),
        ] {
            queue.push(class, name).unwrap();
        }

        assert_eq!(
            queue.take(3, Duration::ZERO).unwrap(),
            ["operator", "renewal", "join 1"]
        );
        assert_eq!(queue.take(3, Duration::ZERO).unwrap(), ["join 2"]);
    }

    #[test]
    fn a_full_queue_refuses_and_leaves_the_others_open() {
        let queue = Queue::new(2);
        queue.push(Class::Joins, 1).unwrap();
        queue.push(Class::Joins, 2).unwrap();

        let full = Fault::QueueFull {
            of: "joins",
            waiting: 2,
        };
        assert_eq!(queue.push(Class::Joins, 3), Err(full));
        assert_eq!(queue.push(Class::Renewals, 4), Ok(()));
        assert_eq!(queue.take(9, Duration::ZERO), Some(vec![4, 1, 2]));
    }

    #[test]
    fn who_gathers_takes_also_those_that_come_meanwhile() {
        let queue = Queue::new(10);
        queue.push(Class::Joins, 1).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(9, Duration::from_millis(500)).unwrap());
            queue.push(Class::Renewals, 2).unwrap();

            assert_eq!(taken.join().unwrap(), [2, 1]);
        });
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = Queue::new(2);
        queue.push(Class::Joins, 1).unwrap();
        queue.close();

        assert_eq!(queue.push(Class::Joins, 2), Err(Fault::Closed));
        assert_eq!(queue.take(9, Duration::ZERO), Some(vec![1]));
        assert_eq!(queue.take(9, Duration::ZERO), None);
    }
}
