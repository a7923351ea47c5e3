//! A map from numbers that are given once, in rising order, to what bears them.
//!
//! Components, edges and applications are looked up some dozens of times for each batch. Their numbers lie close together, so that a page of
//! places is found where it lies when none before it has gone, else by a short search, and the place in it at once; what goes leaves no place
//! behind once its page is empty.

use model::{ComponentId, EdgeId, convert};

use crate::few::Few;

/// How many places a page has.
///
/// Unit: count. Range: a power of two. Source: guess; a page takes as much as 64 pointers, and 1,000 numbers are 16 pages.
const PAGE: u64 = 64;

/// Numbers that are given once, in rising order.
pub(crate) trait Number: Copy {
    /// The number of this id.
    fn number(self) -> u64;
}

impl Number for ComponentId {
    fn number(self) -> u64 {
        self.0
    }
}

impl Number for u64 {
    fn number(self) -> u64 {
        self
    }
}

impl Number for EdgeId {
    fn number(self) -> u64 {
        self.0
    }
}

/// A map in the order of numbers.
#[derive(Debug)]
pub(crate) struct Paged<I, T> {
    pages: Few<u64, Page<I, T>>,
    len: usize,
}

#[derive(Debug)]
struct Page<I, T> {
    places: Vec<Option<Box<(I, T)>>>,
    len: usize,
}

impl<I: Number, T> Paged<I, T> {
    /// A map of nothing.
    pub(crate) const fn new() -> Self {
        Self {
            pages: Few::new(),
            len: 0,
        }
    }

    /// Puts something in the place of an id; gives what was there.
    pub(crate) fn insert(&mut self, id: I, value: T) -> Option<T> {
        let (page, place) = place(id);
        let page = self.pages.get_or_insert_with(page, Page::default);
        let before = page.places[place].replace(Box::new((id, value)));
        if before.is_none() {
            page.len += 1;
            self.len += 1;
        }
        before.map(|before| before.1)
    }

    /// What bears an id; where nothing does, what is made for it.
    pub(crate) fn get_or_insert_with(&mut self, id: I, make: impl FnOnce() -> T) -> &mut T {
        let (number, place) = place(id);
        let page = self.pages.get_or_insert_with(number, Page::default);
        let found = page.places[place].get_or_insert_with(|| {
            page.len += 1;
            self.len += 1;
            Box::new((id, make()))
        });
        &mut found.1
    }

    /// Takes out what bears an id.
    pub(crate) fn remove(&mut self, id: &I) -> Option<T> {
        let (number, place) = place(*id);
        let page = self.pages.get_mut(&number)?;
        let removed = page.places[place].take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            self.pages.remove(&number);
        }
        Some(removed.1)
    }

    /// What bears an id.
    pub(crate) fn get(&self, id: &I) -> Option<&T> {
        let (page, place) = place(*id);
        let found = self.pages.get_near(self.near(page), &page)?.places[place].as_deref()?;
        Some(&found.1)
    }

    /// See [`Paged::get`].
    pub(crate) fn get_mut(&mut self, id: &I) -> Option<&mut T> {
        let (page, place) = place(*id);
        let near = self.near(page);
        let found = self.pages.get_near_mut(near, &page)?.places[place].as_deref_mut()?;
        Some(&mut found.1)
    }

    /// Where a page lies if all from the first one on are there.
    fn near(&self, page: u64) -> usize {
        let first = self.pages.first_key().unwrap_or_default();
        convert::index(page.saturating_sub(first))
    }

    /// Whether something bears an id.
    pub(crate) fn contains_key(&self, id: &I) -> bool {
        self.get(id).is_some()
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&I, &T)> {
        let places = self.pages.values().flat_map(|page| &page.places);
        places.flatten().map(|found| (&found.0, &found.1))
    }

    /// All, in order, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&I, &mut T)> {
        let places = self.pages.values_mut().flat_map(|page| &mut page.places);
        places.flatten().map(|found| {
            let (id, value) = &mut **found;
            (&*id, value)
        })
    }

    /// The ids of all, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &I> {
        self.iter().map(|(id, _)| id)
    }

    /// All, in the order of their ids.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// All, in the order of their ids, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.iter_mut().map(|(_, value)| value)
    }
}

impl<I, T> Default for Page<I, T> {
    fn default() -> Self {
        Self {
            places: (0..PAGE).map(|_| None).collect(),
            len: 0,
        }
    }
}

impl<I: Number, T> Default for Paged<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The page of an id, and its place there.
fn place(id: impl Number) -> (u64, usize) {
    (id.number() / PAGE, convert::index(id.number() % PAGE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_in_the_order_of_numbers() {
        let mut paged = Paged::new();
        let mut expected = BTreeMap::new();
        for number in 0..1000 {
            // Of every seven one stays.
            let id = EdgeId(number);
            assert_eq!(paged.insert(id, number), expected.insert(id, number));
            let gone = EdgeId(number / 2);
            if !gone.0.is_multiple_of(7) {
                assert_eq!(paged.remove(&gone), expected.remove(&gone));
            }
            assert_eq!(paged.len(), expected.len());
        }
        assert_eq!(
            paged.insert(EdgeId(999), 1),
            expected.insert(EdgeId(999), 1)
        );
        for value in paged.values_mut().chain(expected.values_mut()) {
            *value += 1;
        }
        assert!(paged.iter().eq(expected.iter()));
        assert!(paged.keys().eq(expected.keys()));
        for number in 0..1100 {
            let id = EdgeId(number);
            assert_eq!(paged.get(&id), expected.get(&id));
            assert_eq!(paged.get_mut(&id), expected.get_mut(&id));
            assert_eq!(paged.contains_key(&id), expected.contains_key(&id));
        }
    }

    #[test]
    fn what_has_gone_leaves_nothing_behind() {
        let mut paged = Paged::new();
        for number in 0..10 * PAGE {
            paged.insert(ComponentId(number), ());
            if number > 0 {
                paged.remove(&ComponentId(number));
            }
            assert_eq!(paged.pages.len(), 1);
        }
        paged.remove(&ComponentId(0));
        assert!(paged.pages.is_empty());
    }
}
