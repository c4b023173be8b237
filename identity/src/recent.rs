//! A bounded memory of what was found out lately.
//!
//! Two maps: when the young one is full it becomes the old one, and the old one is forgotten whole. Every operation costs
//! one or two look-ups, and a stranger who fills it makes us forget, never grow.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

pub(crate) struct Recent<K, V> {
    maps: Mutex<Maps<K, V>>,
    half_max: usize,
}

struct Maps<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Clone> Recent<K, V> {
    /// Remembers at most `entries_max` entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        let maps = Maps {
            young: HashMap::new(),
            old: HashMap::new(),
        };
        Recent {
            maps: Mutex::new(maps),
            half_max: entries_max.div_ceil(2),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = maps.young.get(key) {
            return Some(value.clone());
        }
        // What is asked for again is young again, so that the busy survive the forgetting.
        let value = maps.old.remove(key)?;
        maps.insert(*key, value.clone(), self.half_max);
        Some(value)
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.insert(key, value, self.half_max);
    }
}

impl<K: Eq + Hash, V> Maps<K, V> {
    fn insert(&mut self, key: K, value: V, half_max: usize) {
        if self.young.len() >= half_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_bound_and_keeps_what_is_asked_for() {
        let recent = Recent::new(8);
        recent.put(0u32, "busy");
        for key in 1..1000 {
            recent.put(key, "stranger");
            assert_eq!(recent.get(&0), Some("busy"), "after {key} strangers");
            let maps = recent.maps.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(maps.young.len() + maps.old.len() <= 8);
        }
        assert_eq!(recent.get(&1), None);
    }
}
