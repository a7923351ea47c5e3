//! A map of few entries, which lie side by side.
//!
//! Streams have one origin as a rule, and one reader: whoever looks for it finds key and value in one place in memory. Up to some
//! thousands of entries are looked up by halving; taking one in or out moves those behind it.

/// A map in the order of its keys.
///
/// The entry of the least key lies in the map itself: who has one entry, as most do, has it where the map is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Few<K, V> {
    /// Empty only where there are none at all.
    first: Option<(K, V)>,
    more: Vec<(K, V)>,
}

impl<K: Ord + Copy, V> Few<K, V> {
    /// A map of nothing.
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }

    /// What is there for a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (first, value) = self.first.as_ref()?;
        if first == key {
            return Some(value);
        }
        let place = self.place(key).ok()?;
        Some(&self.more[place].1)
    }

    /// See [`Few::get`].
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.first.as_ref()?.0 == *key {
            return self.first.as_mut().map(|(_, value)| value);
        }
        let place = self.place(key).ok()?;
        Some(&mut self.more[place].1)
    }

    /// What is there for a key, which is probably the entry at `near`.
    pub(crate) fn get_near(&self, near: usize, key: &K) -> Option<&V> {
        match near.checked_sub(1).and_then(|place| self.more.get(place)) {
            Some((other, value)) if other == key => Some(value),
            _ => self.get(key),
        }
    }

    /// See [`Few::get_near`].
    pub(crate) fn get_near_mut(&mut self, near: usize, key: &K) -> Option<&mut V> {
        let place = near.wrapping_sub(1);
        match self.more.get(place) {
            Some((other, _)) if other == key => Some(&mut self.more[place].1),
            _ => self.get_mut(key),
        }
    }

    /// The least key.
    pub(crate) fn first_key(&self) -> Option<K> {
        self.first.as_ref().map(|(key, _)| *key)
    }

    /// What is there for a key; where nothing is, what is made for it.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains_key(&key) {
            self.put(key, make());
        }
        self.get_mut(&key).expect("it was there or was just put")
    }

    /// Whether something is there for a key.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts something in the place of what is there for a key; gives that.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        self.put(key, value);
        None
    }

    /// Takes out what is there for a key.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        if self.first.as_ref()?.0 == *key {
            let next = (!self.more.is_empty()).then(|| self.more.remove(0));
            return std::mem::replace(&mut self.first, next).map(|(_, value)| value);
        }
        let place = self.place(key).ok()?;
        Some(self.more.remove(place).1)
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        match self.first {
            Some(_) => 1 + self.more.len(),
            None => 0,
        }
    }

    /// The only value, where there is one and no other.
    pub(crate) const fn only(&self) -> Option<&V> {
        match &self.first {
            Some((_, value)) if self.more.is_empty() => Some(value),
            _ => None,
        }
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let all = self.first.iter().chain(&self.more);
        all.map(|(key, value)| (key, value))
    }

    /// All, in order, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let all = self.first.iter_mut().chain(&mut self.more);
        all.map(|(key, value)| (&*key, value))
    }

    /// The values, in the order of their keys.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The values, in the order of their keys, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Puts in what is not there.
    fn put(&mut self, key: K, value: V) {
        match &self.first {
            None => self.first = Some((key, value)),
            Some((first, _)) if key < *first => {
                let first = self.first.replace((key, value));
                self.more.splice(0..0, first);
            }
            Some(_) => {
                let place = self.place(&key).unwrap_or_else(|place| place);
                self.more.insert(place, (key, value));
            }
        }
    }

    /// Where behind the first a key is, or would be.
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.more.binary_search_by(|(other, _)| other.cmp(key))
    }
}

impl<K: Ord + Copy, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Copy, V> FromIterator<(K, V)> for Few<K, V> {
    /// Of several for a key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut few = Self::new();
        for (key, value) in entries {
            few.insert(key, value);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_in_the_order_of_keys() {
        let mut few = Few::new();
        let mut expected = BTreeMap::new();
        for n in 0..1000_u64 {
            let (key, other) = (n * 7919 % 31, n * 104_729 % 37);
            match n % 3 {
                0 => assert_eq!(few.insert(key, n), expected.insert(key, n)),
                1 => {
                    let made = *few.get_or_insert_with(key, || n);
                    assert_eq!(made, *expected.entry(key).or_insert(n));
                }
                _ => assert_eq!(few.remove(&other), expected.remove(&other)),
            }
            assert_eq!(few.get(&other), expected.get(&other));
            assert_eq!(few.get_mut(&key), expected.get_mut(&key));
            assert_eq!(few.contains_key(&other), expected.contains_key(&other));
            let near = usize::try_from(n % 8).unwrap();
            assert_eq!(few.get_near(near, &other), expected.get(&other));
            assert_eq!(few.get_near_mut(near, &other), expected.get_mut(&other));
            let only = expected.values().next().filter(|_| expected.len() == 1);
            assert_eq!(few.only(), only);
            assert_eq!(few.first_key().as_ref(), expected.keys().next());
            assert_eq!(
                (few.len(), few.is_empty()),
                (expected.len(), expected.is_empty())
            );
            assert!(few.iter().eq(expected.iter()));
        }
        assert!(few.values().eq(expected.values()));
        assert_eq!(expected.into_iter().rev().collect::<Few<_, _>>(), few);
    }
}
