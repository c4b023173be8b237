//! The course of an end, as lines of what is seen and what is to be done.
use super::*;

const PLAN: Plan = Plan {
    delay: Duration::from_secs(2),
    deadline: Duration::from_secs(30),
};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the stage and both sides are, and whether the app is told, after each look at (second, inbound, outbound, app).
type Line = ((u64, usize, usize, App), (Stage, Side, Side, bool));

fn check(what: &str, wishes: &[(u64, Wish)], lines: &[Line]) {
    let mut course = Course::default();
    for ((second, inbound, outbound, app), wanted) in lines {
        for (_, wish) in wishes.iter().filter(|(asked, _)| asked <= second) {
            let asked = wishes.iter().find(|(_, it)| it == wish);
            course.ask(*wish, PLAN, s(asked.map_or(0, |(at, _)| *at)));
        }
        let seen = Seen {
            inbound: *inbound,
            outbound: *outbound,
            app: *app,
        };
        let orders = course.step(&seen, s(*second));
        let got = (
            orders.stage,
            orders.inbound,
            orders.outbound,
            orders.tell_app,
        );
        assert_eq!(got, *wanted, "{what}, at {second} s");
    }
}

use App::{Done, Exited, Runs};
use Side::{Closing, Cut, Open};
use Stage::{Delaying, Drained, Draining, Over, Serving};

#[test]
fn new_work_is_taken_for_the_delay_and_outbound_stays_open_until_the_app_is_gone() {
    check(
        "a sidecar of its own",
        &[(10, Wish::End)],
        &[
            ((0, 5, 3, Runs), (Serving, Open, Open, false)),
            ((10, 5, 3, Runs), (Delaying, Open, Open, false)),
            ((11, 5, 3, Runs), (Delaying, Open, Open, false)),
            ((12, 5, 3, Runs), (Draining, Closing, Open, false)),
            ((15, 1, 3, Done), (Draining, Closing, Open, false)),
            ((16, 0, 3, Runs), (Draining, Closing, Open, true)),
            ((20, 0, 3, Done), (Draining, Closing, Closing, true)),
            ((21, 0, 0, Done), (Over, Closing, Closing, true)),
        ],
    );
}

#[test]
fn what_is_open_at_the_deadline_is_cut_whatever_the_app_does() {
    check(
        "a stream that does not end",
        &[(0, Wish::End)],
        &[
            ((0, 2, 2, Runs), (Delaying, Open, Open, false)),
            ((2, 1, 2, Runs), (Draining, Closing, Open, false)),
            ((15, 1, 2, Runs), (Draining, Closing, Open, false)),
            // Half of the time is the app's.
            ((16, 1, 2, Runs), (Draining, Closing, Open, true)),
            ((29, 1, 2, Runs), (Draining, Closing, Open, true)),
            ((30, 1, 2, Runs), (Over, Cut, Cut, true)),
        ],
    );
}

#[test]
fn an_app_that_has_exited_is_not_waited_for() {
    check(
        "by itself",
        &[(100, Wish::End)],
        &[
            ((99, 4, 2, Runs), (Serving, Open, Open, false)),
            ((100, 4, 2, Exited), (Draining, Closing, Closing, false)),
            ((104, 1, 1, Exited), (Draining, Closing, Closing, true)),
            ((105, 1, 1, Exited), (Over, Cut, Cut, true)),
        ],
    );
    check(
        "during the delay",
        &[(0, Wish::End)],
        &[
            ((0, 1, 1, Runs), (Delaying, Open, Open, false)),
            ((1, 1, 1, Exited), (Draining, Closing, Closing, false)),
            ((1, 0, 0, Exited), (Over, Closing, Closing, true)),
        ],
    );
}

#[test]
fn where_nothing_comes_from_the_network_nothing_is_waited_for_on_that_side() {
    check(
        "a client, and one that has no identity yet",
        &[(0, Wish::End)],
        &[
            ((0, 0, 1, Runs), (Draining, Closing, Open, true)),
            ((2, 0, 1, Done), (Draining, Closing, Closing, true)),
            ((2, 0, 0, Done), (Over, Closing, Closing, true)),
        ],
    );
}

#[test]
fn a_drain_without_an_end_keeps_the_app_served_and_an_end_after_it_has_its_own_time() {
    check(
        "before a stop",
        &[(0, Wish::Drain), (100, Wish::End)],
        &[
            ((0, 3, 2, Runs), (Delaying, Open, Open, false)),
            ((2, 3, 2, Runs), (Draining, Closing, Open, false)),
            ((3, 0, 2, Runs), (Drained, Closing, Open, false)),
            ((99, 0, 2, Done), (Drained, Cut, Open, false)),
            ((100, 0, 2, Runs), (Drained, Cut, Open, true)),
            ((129, 0, 2, Runs), (Drained, Cut, Open, true)),
            ((130, 0, 2, Runs), (Over, Cut, Cut, true)),
        ],
    );
}

#[test]
fn a_drain_cuts_what_came_from_the_network_at_its_deadline() {
    check(
        "a drain",
        &[(0, Wish::Drain)],
        &[
            ((2, 1, 1, Runs), (Draining, Closing, Open, false)),
            ((30, 1, 1, Runs), (Draining, Cut, Open, false)),
            ((31, 0, 1, Runs), (Drained, Cut, Open, false)),
        ],
    );
}

#[test]
fn a_look_is_due_at_every_moment_at_which_something_changes_by_itself() {
    let mut course = Course::default();
    let seen = Seen {
        inbound: 1,
        outbound: 1,
        app: Runs,
    };
    assert_eq!(course.step(&seen, s(0)).look_at, None);
    course.ask(Wish::End, PLAN, s(1));
    for (now, next) in [(1, Some(3)), (3, Some(17)), (17, Some(31)), (31, None)] {
        assert_eq!(course.step(&seen, s(now)).look_at, next.map(s), "{now}");
    }
}

#[test]
fn a_delay_never_reaches_beyond_the_deadline() {
    let plan = Plan {
        delay: s(60),
        deadline: s(1),
    };
    let seen = Seen {
        inbound: 1,
        outbound: 0,
        app: Done,
    };
    let mut course = Course::default();
    course.ask(Wish::End, plan, s(0));
    assert_eq!(course.step(&seen, s(0)).stage, Delaying);
    assert_eq!(course.step(&seen, s(1)).stage, Over);
}
