//! A bounded map that forgets what wasn't used for long. Its content can always be made anew: a hit and a miss must
//! lead to the same.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations, each of at most half the weight: the older one is dropped whole. A value that weighs more than half
/// is never kept, so that a maximum of 0 keeps nothing.
pub(crate) struct Cache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
    half: usize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// Keeps values of at most `weight_max` in all.
    pub(crate) fn new(weight_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_weight: 0, half: weight_max / 2 }
    }

    /// Keeps a value in the place of the one before.
    pub(crate) fn put(&mut self, key: K, value: V, weight: usize) {
        self.take(&key);
        if weight > self.half {
            return;
        }
        if self.young_weight + weight > self.half {
            // The room of the older one is used again.
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
            self.young_weight = 0;
        }
        self.young_weight += weight;
        self.young.insert(key, (value, weight));
    }

    /// Removes a value, and gives it.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        if let Some((value, weight)) = self.young.remove(key) {
            self.young_weight -= weight;
            return Some(value);
        }
        self.old.remove(key).map(|(value, _)| value)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        (self.young, self.old, self.young_weight) = (HashMap::new(), HashMap::new(), 0);
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A value, which counts as used.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        if let Some((value, _)) = self.young.get(&key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(&key)?;
        self.put(key, value.clone(), weight);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_weight_and_keeps_what_is_used() {
        let mut cache = Cache::new(8);
        for number in 0..100 {
            cache.put(number, number, 1);
            assert!(cache.get(0).is_some(), "used all the time");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!((cache.get(99), cache.get(50)), (Some(99), None));
        cache.put(99, 7, 2);
        assert_eq!(cache.take(&99), Some(7));
        assert_eq!(cache.get(99), None);
        cache.put(1_000, 1, 5);
        assert_eq!(cache.get(1_000), None, "heavier than half");
        cache.clear();
        assert_eq!(cache.get(0), None);
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.put(1, 1, 1);
        assert_eq!(cache.get(1), None);
    }
}
