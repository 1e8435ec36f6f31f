//! Ordered maps and sets of few entries, as sorted lists.
//!
//! They mean what [`BTreeMap`](std::collections::BTreeMap) and its set mean, and cost a browser a tenth of the code for each type of entry: in the
//! client's machine, where that is most of what such maps cost. Inserting and removing moves what stands behind, so nothing is kept here
//! that grows with a document's history.

/// An ordered map of few entries.
#[derive(Clone, Debug)]
pub struct FewMap<K, V>(Vec<(K, V)>);

/// An ordered set of few entries.
pub type FewSet<K> = FewMap<K, ()>;

impl<K, V> Default for FewMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> FewMap<K, V> {
    /// The empty map.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.cmp(key))
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether there is an entry for a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Sets the value of a key. Gives the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Lets go of all entries but those that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// Lets go of all entries.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Entries, keys ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Values, to be changed, in the order of their keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Ord> FewSet<K> {
    /// Whether an entry is in the set.
    pub fn contains(&self, key: &K) -> bool {
        self.contains_key(key)
    }

    /// Adds an entry. Whether it is new.
    pub fn add(&mut self, key: K) -> bool {
        self.insert(key, ()).is_none()
    }
}

impl<K, V> IntoIterator for FewMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for FewMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_means_what_an_ordered_map_means() {
        let (mut few, mut model, mut state) = (FewMap::new(), BTreeMap::new(), 1u32);
        for n in 0..2_000u32 {
            // Numbers without a pattern that matters here.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (key, what) = (state >> 16 & 15, state >> 24 & 3);
            match what {
                0 | 1 => assert_eq!(few.insert(key, n), model.insert(key, n)),
                2 => assert_eq!(few.remove(&key), model.remove(&key)),
                _ => {
                    few.retain(|k, v| (*k + *v) % 5 != 0);
                    model.retain(|k, v| (*k + *v) % 5 != 0);
                }
            }
            if let Some(value) = few.get_mut(&key) {
                *value += 1;
            }
            model.entry(key).and_modify(|value| *value += 1);
            assert_eq!((few.get(&key), few.contains_key(&key)), (model.get(&key), model.contains_key(&key)));
            assert_eq!((few.len(), few.is_empty()), (model.len(), model.is_empty()));
            assert!(few.iter().eq(model.iter()) && few.keys().eq(model.keys()) && few.values().eq(model.values()));
        }
        let again: FewMap<u32, u32> = few.clone().into_iter().rev().collect();
        assert!(again.iter().eq(few.iter()));
        few.clear();
        assert!(few.is_empty());
        let mut set = FewSet::new();
        assert!(set.add(1) && !set.add(1) && set.contains(&1) && !set.contains(&2));
    }
}
