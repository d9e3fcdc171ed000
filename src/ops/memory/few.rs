//! A map of which most have one entry only.
//!
//! Invariant: each key is here once at most.

use std::{collections::HashMap, hash::Hash, mem::replace};

/// The map.
#[repr(C)]
pub(super) struct Few<K, V> {
    /// The one that came first. It is found without a look into another part of memory: with a million accounts, that is a
    /// part of what a request costs.
    first: Option<(K, V)>,
    #[expect(
        clippy::box_collection,
        reason = "there are very many of these, nearly all without others"
    )]
    others: Option<Box<HashMap<K, V>>>,
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few {
            first: None,
            others: None,
        }
    }
}

impl<K: Eq + Hash, V> Few<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match &self.first {
            Some((first, value)) if first == key => Some(value),
            _ => self.others.as_ref()?.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match &mut self.first {
            Some((first, value)) if first == key => Some(value),
            _ => self.others.as_mut()?.get_mut(key),
        }
    }

    /// Takes it in, perhaps for one that was here, and is returned.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match &mut self.first {
            Some((first, old)) if *first == key => Some(replace(old, value)),
            Some(_) => self.others.get_or_insert_default().insert(key, value),
            None => {
                self.first = Some((key, value));
                None
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        let others = self.others.as_ref().map_or(0, |others| others.len());
        usize::from(self.first.is_some()) + others
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let first = self.first.iter().map(|(key, value)| (key, value));
        first.chain(self.others.iter().flat_map(|others| others.iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_each_key_is_found() {
        let mut few = Few::default();
        for (text, before) in [("old", None), ("new", Some("old"))] {
            for key in 0..3 {
                assert_eq!(few.insert(key, text), before);
            }
        }
        assert_eq!(few.len(), 3);
        for key in 0..3 {
            assert_eq!(few.get(&key), Some(&"new"));
            assert_eq!(few.get_mut(&key), Some(&mut "new"));
        }
        assert_eq!(few.get(&3), None);
        let mut keys: Vec<_> = few.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 2]);
    }
}
