//! Which endpoint is next: a pure function of how each of them stands.
//!
//! In: the standings, in the order of the set, and whose turn it is. Out: the place of one. Everything that choosing will ever
//! look at (streams under way, how long answers take, what a hedge has tried) is a field of [`Standing`], filled where the
//! endpoint is, so that nothing but this file changes when the choice does.
//!
//! 1. The least rank is taken as long as there is one (RFC 2782: a client must reach for the lowest-numbered priority).
//! 2. Among equals each comes as often as it weighs, and none long after its time: turns are spread, not drawn.

/// How an endpoint stands, as far as the choice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether this request has tried it: it is not tried again.
    pub(super) is_tried: bool,
    /// Whether it failed just now, or was ejected: it comes after all that did not.
    pub(super) is_resting: bool,
    /// The least is wanted most.
    pub(super) rank: u16,
    /// How often its turn comes among those of its rank.
    pub(super) weight: u32,
}

/// The next in turn among those wanted most; one that rests only when nothing else is left. A few passes over the standings,
/// and no allocation.
pub(super) fn choose(
    standings: impl Iterator<Item = Standing> + Clone,
    turn: usize,
) -> Option<usize> {
    let all = standings.enumerate().filter(|(_, it)| !it.is_tried);
    let wanted = |(_, it): &(usize, Standing)| (it.is_resting, it.rank);
    let most = all.clone().map(|it| wanted(&it)).min()?;
    let among = || all.clone().filter(|it| wanted(it) == most);
    let weights = || among().map(|(_, it)| u64::from(it.weight));
    let in_turn = || {
        let count = among().count();
        among().nth(turn.checked_rem(count)?).map(|(at, _)| at)
    };
    if weights().min() == weights().max() {
        return in_turn();
    }
    let mut point = spread(turn, weights().sum());
    let reached = among().find(|(_, it)| {
        let passed = point.checked_sub(u64::from(it.weight));
        point = passed.unwrap_or(point);
        passed.is_none()
    });
    // Standings may change while they are looked at.
    reached.map(|(at, _)| at).or_else(in_turn)
}

/// Turn by turn a point below `total`, each as far as can be from those before it: multiples of the golden ratio, but for
/// their whole part, fill a line most evenly.
fn spread(turn: usize, total: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let fraction = u128::from((turn as u64).wrapping_mul(GOLDEN));
    // Below `total`, which is one of 64 bits.
    u64::try_from((fraction * u128::from(total)) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Standing = Standing {
        is_tried: false,
        is_resting: false,
        rank: 0,
        weight: 256,
    };
    const RESTS: Standing = Standing {
        is_resting: true,
        ..GOOD
    };
    const SPARE: Standing = Standing { rank: 1, ..GOOD };
    const TRIED: Standing = Standing {
        is_tried: true,
        ..GOOD
    };

    fn weighs(weight: u32) -> Standing {
        Standing { weight, ..GOOD }
    }

    #[test]
    fn those_wanted_most_take_turns_and_one_that_rests_comes_last() {
        let check = |standings: &[Standing], chosen: [Option<usize>; 4]| {
            let of = |turn| choose(standings.iter().copied(), turn);
            assert_eq!([0, 1, 2, usize::MAX].map(of), chosen, "{standings:?}");
        };
        check(&[], [None; 4]);
        check(&[GOOD], [Some(0); 4]);
        check(&[RESTS], [Some(0); 4]);
        check(&[TRIED], [None; 4]);
        check(&[GOOD, GOOD], [Some(0), Some(1), Some(0), Some(1)]);
        check(&[GOOD, GOOD, GOOD], [Some(0), Some(1), Some(2), Some(0)]);
        check(&[RESTS, GOOD, SPARE], [Some(1); 4]);
        check(&[RESTS, SPARE], [Some(1); 4]);
        check(&[RESTS, TRIED], [Some(0); 4]);
        check(&[SPARE, GOOD, GOOD], [Some(1), Some(2), Some(1), Some(2)]);
    }

    #[test]
    fn among_equals_each_comes_as_often_as_it_weighs() {
        let check = |standings: &[Standing], of_a_thousand: &[usize]| {
            let mut seen = vec![0_usize; standings.len()];
            for turn in 0..1000 {
                let chosen = choose(standings.iter().copied(), turn);
                if let Some(at) = chosen {
                    seen[at] += 1;
                }
            }
            for (at, expected) in of_a_thousand.iter().enumerate() {
                let off = seen[at].abs_diff(*expected);
                assert!(off <= 2, "{standings:?}: {seen:?}, not {of_a_thousand:?}");
            }
        };
        check(&[weighs(256), weighs(768)], &[250, 750]);
        check(&[weighs(768), weighs(128), weighs(128)], &[750, 125, 125]);
        check(&[weighs(7), weighs(7), TRIED], &[500, 500, 0]);
        // What weighs nothing has hardly a chance, unless nothing else weighs more.
        check(&[weighs(1), weighs(1 << 24)], &[0, 1000]);
        check(&[weighs(1), weighs(1)], &[500, 500]);
        // Rank, rest and what was tried come before weight.
        let light = Standing { weight: 1, ..GOOD };
        let heavy_spare = Standing {
            weight: 65_535 * 256,
            ..SPARE
        };
        let heavy_rests = Standing {
            weight: 65_535 * 256,
            ..RESTS
        };
        check(&[heavy_spare, light, heavy_rests], &[0, 1000, 0]);
        check(&[TRIED, weighs(256), weighs(512)], &[0, 333, 667]);
    }

    #[test]
    fn turns_are_spread_and_not_drawn() {
        let standings = [weighs(256), weighs(768)];
        let light: Vec<usize> = (0..100)
            .filter(|turn| choose(standings.iter().copied(), *turn) == Some(0))
            .collect();
        for pair in light.windows(2) {
            assert!((2..=6).contains(&(pair[1] - pair[0])), "{light:?}");
        }
    }
}
