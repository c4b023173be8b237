//! The name of one verdict, in the answer to the caller and in the log of the one who decided.
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit id, shown as 16 lower-case hex digits.
///
/// It goes to the caller, so it must not tell how many decisions lie between two of them: it is a counter under a keyed
/// hash whose key is the process's own. Two equal ids among a million are a chance of 1 in 37 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    /// The next one. Costs one atomic addition and a SipHash of eight bytes.
    pub fn fresh() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        DecisionId(KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The 16 hex digits without an allocation.
    pub fn hex(self) -> [u8; 16] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        std::array::from_fn(|place| DIGITS[(self.0 >> (60 - 4 * place)) as usize & 15])
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_hundred_thousand_ids_differ() {
        let ids: HashSet<DecisionId> = (0..100_000).map(|_| DecisionId::fresh()).collect();
        assert_eq!(ids.len(), 100_000);
    }

    #[test]
    fn an_id_is_sixteen_lower_case_hex_digits() {
        for (id, shown) in [
            (0, "0000000000000000"),
            (0xAB, "00000000000000ab"),
            (u64::MAX, "ffffffffffffffff"),
        ] {
            assert_eq!(DecisionId(id).to_string(), shown);
            assert_eq!(DecisionId(id).hex(), shown.as_bytes());
        }
    }
}
