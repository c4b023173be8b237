//! Whatever is asked in whatever order, the store answers as a naive model does that looks at all of history each time.
//!
//! The model knows nothing of generations, counters or indexes: a certificate's *family* is the way by which its key came to it,
//! written out in full, and everything else is a search through all that was ever issued.

use crate::fixture::*;
use countersign_ca::store::{Ledger, RenewRecord};
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Step {
    CreateToken {
        token: u64,
        of: usize,
        ttl_s: u64,
        uses: u32,
    },
    Join {
        token: u64,
        of: usize,
        key: u64,
    },
    Renew {
        parent: u64,
        of: usize,
        key: u64,
    },
    Issue {
        of: usize,
        key: u64,
    },
    Wait {
        seconds: u64,
    },
}

const IDS: [&str; 2] = [ORDERS, LEDGER];

fn step() -> impl Strategy<Value = Step> {
    // Small worlds, so that things meet.
    let (token, of, key) = (
        1..4_u64,
        prop_oneof![4 => Just(0_usize), 1 => Just(1)],
        1..6_u64,
    );
    prop_oneof![
        2 => (token.clone(), of.clone(), 1..200_u64, 1..3_u32)
            .prop_map(|(token, of, ttl_s, uses)| Step::CreateToken { token, of, ttl_s, uses }),
        4 => (token, of.clone(), key.clone()).prop_map(|(token, of, key)| Step::Join { token, of, key }),
        5 => (0..12_u64, of.clone(), key.clone()).prop_map(|(parent, of, key)| Step::Renew { parent, of, key }),
        2 => (of, key).prop_map(|(of, key)| Step::Issue { of, key }),
        1 => (1..100_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Family {
    Joined {
        token: u64,
        key: u64,
    },
    Renewed {
        of: Box<Family>,
        key: u64,
    },
    /// By an operator, for the so-manieth time anew.
    Wanted {
        of: usize,
        key: u64,
        anew: usize,
    },
}

struct Issued {
    of: usize,
    key: u64,
    family: Family,
    not_after_s: u64,
}

#[derive(Default)]
struct Model {
    now_s: u64,
    /// Token, identity, end, uses.
    tokens: Vec<(u64, usize, u64, u32)>,
    issued: Vec<Issued>,
}

impl Model {
    fn create(&mut self, token: u64, of: usize, ttl_s: u64, uses: u32) -> &'static str {
        if self.tokens.iter().any(|known| known.0 == token) {
            return "token_taken";
        }
        self.tokens.push((token, of, self.now_s + ttl_s, uses));
        "ok"
    }

    fn join(&mut self, token: u64, of: usize, key: u64) -> &'static str {
        let Some(&(_, admits, ends_s, uses)) = self.tokens.iter().find(|known| known.0 == token)
        else {
            return "token_unknown";
        };
        let mut keys: Vec<u64> = self
            .issued
            .iter()
            .filter_map(|issued| match issued.family {
                Family::Joined { token: by, key } if by == token => Some(key),
                _ => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        if admits != of {
            "token_identity"
        } else if self.now_s >= ends_s {
            "token_ended"
        } else if !keys.contains(&key) && keys.len() >= uses as usize {
            "token_spent"
        } else {
            self.issue(of, key, Family::Joined { token, key })
        }
    }

    fn renew(&mut self, parent: u64, of: usize, key: u64) -> &'static str {
        let Some(issued) = self.issued.get(parent as usize) else {
            return "parent_unknown";
        };
        let family = issued.family.clone();
        let successors = |issued: &Issued| match &issued.family {
            Family::Renewed { of, key } if **of == family => Some(*key),
            _ => None,
        };
        let successor = self.issued.iter().find_map(successors);
        if issued.of != of {
            "parent_identity"
        } else if issued.key == key {
            "key_not_new"
        } else if successor.is_some_and(|successor| successor != key) {
            "second_successor"
        } else {
            let of_family = Box::new(family);
            self.issue(of, key, Family::Renewed { of: of_family, key })
        }
    }

    fn want(&mut self, of: usize, key: u64) -> &'static str {
        let renewed = |family: &Family| {
            let is_its = |issued: &Issued| matches!(&issued.family, Family::Renewed { of, .. } if **of == *family);
            self.issued.iter().any(is_its)
        };
        let families = (0..).map(|anew| Family::Wanted { of, key, anew });
        match families.into_iter().find(|family| !renewed(family)) {
            Some(family) => self.issue(of, key, family),
            None => "no end of families",
        }
    }

    fn issue(&mut self, of: usize, key: u64, family: Family) -> &'static str {
        let not_after_s = self.now_s + LEAF_TTL_S;
        self.issued.push(Issued {
            of,
            key,
            family,
            not_after_s,
        });
        "ok"
    }

    fn replaced(&self, index: usize) -> bool {
        let family = &self.issued[index].family;
        let twin_later = self.issued[index + 1..]
            .iter()
            .any(|other| other.family == *family);
        let renewed = self
            .issued
            .iter()
            .any(|other| matches!(&other.family, Family::Renewed { of, .. } if **of == *family));
        twin_later || renewed
    }

    /// The places of those that have not ended, soonest first.
    fn unexpired(&self) -> Vec<u64> {
        let mut found: Vec<(u64, u64)> = (0..)
            .zip(&self.issued)
            .filter(|(_, issued)| issued.not_after_s >= self.now_s)
            .map(|(index, issued)| (issued.not_after_s, index))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, index)| index).collect()
    }
}

async fn same_answers(store: &impl Ledger, steps: &[Step]) {
    let mut model = Model {
        now_s: 1000,
        ..Model::default()
    };
    for step in steps {
        let next = model.issued.len() as u64;
        let now_s = model.now_s;
        let (expected, answered) = match *step {
            Step::Wait { seconds } => {
                model.now_s += seconds;
                continue;
            }
            Step::CreateToken {
                token: seed,
                of,
                ttl_s,
                uses,
            } => {
                let answer = store
                    .create_token(token(seed), terms(IDS[of], ttl_s, uses), at(now_s))
                    .await;
                (model.create(seed, of, ttl_s, uses), answer.map(|_| next))
            }
            Step::Join { token, of, key } => {
                let answer = store
                    .join(join(token, leaf(next, IDS[of], key, now_s)))
                    .await;
                (
                    model.join(token, of, key),
                    answer.map(|recorded| recorded.index()),
                )
            }
            Step::Renew { parent, of, key } => {
                let renewal: RenewRecord = renewal(parent, leaf(next, IDS[of], key, now_s));
                let answer = store.renew(renewal).await;
                (
                    model.renew(parent, of, key),
                    answer.map(|recorded| recorded.index()),
                )
            }
            Step::Issue { of, key } => {
                let answer = store.issue(wanted(leaf(next, IDS[of], key, now_s))).await;
                (model.want(of, key), answer.map(|recorded| recorded.index()))
            }
        };
        match answered {
            Ok(index) => assert_eq!((expected, index), ("ok", next), "{step:?}"),
            Err(refused) => assert_eq!(refused.reason(), expected, "{step:?}"),
        }
    }
    same_lists(store, &model).await;
}

async fn same_lists(store: &impl Ledger, model: &Model) {
    let all = store.list(None, at(model.now_s), None, 1000).await.unwrap();
    let indexes: Vec<u64> = all.listed.iter().map(|listed| listed.entry.index).collect();
    assert_eq!(indexes, model.unexpired());
    for listed in &all.listed {
        let index = listed.entry.index as usize;
        assert_eq!(listed.replaced, model.replaced(index), "{index}");
        assert_eq!(listed.id.as_str(), IDS[model.issued[index].of]);
    }

    let first = store.first_to_end(at(model.now_s)).await.unwrap();
    let unreplaced = |index: &u64| !model.replaced(*index as usize);
    let end_s = |index: u64| model.issued[index as usize].not_after_s;
    let expected = model.unexpired().into_iter().find(unreplaced).map(end_s);
    assert_eq!(
        first.map(|listed| listed.entry.validity.not_after_s),
        expected
    );

    let entries = store.summary().await.unwrap().entries;
    assert_eq!(entries, model.issued.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_a_naive_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let place = TempDir::new().unwrap();
        let store = open(place.path());
        run(same_answers(&store, &steps));
    }
}
