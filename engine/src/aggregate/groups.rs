//! Groups: rows by key, accumulated, in pages.

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::{ArrayRef, UInt64Array};
use arrow_select::concat::concat;
use arrow_select::take::take_arrays;
use datafusion_common::Result;
use model::convert;

use super::classes::for_each_class;
use super::page::Page;
use super::{Aggregates, EncodedKeys, Keys};

/// Groups that take in rows, and state of others.
///
/// A group is called by its place among the keys, in the order in which these came. So many of them in a row make a page.
pub(crate) struct Groups {
    keys: Keys,
    page_groups: usize,
    pages: Vec<Page>,
    /// The memory that the pages hold.
    bytes: usize,
}

/// What some groups came to.
#[derive(Debug)]
pub(crate) struct Told {
    /// The group of each row.
    pub(crate) groups: Vec<usize>,
    /// The columns of all aggregates, in order.
    pub(crate) states: Vec<ArrayRef>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("keys", &self.keys.len())
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Groups {
    /// No group yet, and pages of so many.
    pub(super) const fn new(page_groups: usize) -> Self {
        Self {
            keys: Keys::new(),
            page_groups,
            pages: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes in rows, given the arguments of all aggregates for them, and for each row the place of its key.
    ///
    /// `groups` is scratch space; it has the group of each row afterwards.
    ///
    /// # Errors
    /// When an accumulator refuses the values.
    pub(crate) fn update(
        &mut self,
        aggregates: &Aggregates,
        keys: &EncodedKeys,
        places: impl Iterator<Item = usize>,
        arguments: &[ArrayRef],
        groups: &mut Vec<usize>,
    ) -> Result<()> {
        self.keys.intern_rows(keys, places, groups);
        self.on_pages(groups, arguments, |page, groups, arguments| {
            page.update(aggregates, groups, arguments)
        })
    }

    /// The groups of state whose n-th row is that of the n-th of these encoded keys, sealed, and the group of each row. It is kept as it is, so that
    /// what it came from and what it is here go on alike to the last digit.
    ///
    /// # Errors
    /// When the state is not of these aggregates.
    pub(crate) fn of_state(
        aggregates: &Aggregates,
        keys: &EncodedKeys,
        rows: usize,
        states: &[ArrayRef],
    ) -> Result<(Self, Vec<usize>)> {
        let mut given = aggregates.groups();
        let mut groups = Vec::with_capacity(rows);
        given.keys.intern_rows(keys, 0..rows, &mut groups);
        // What does not merge now would not merge later.
        let mut tried = aggregates.groups();
        tried.on_pages(&groups, states, |page, groups, states| {
            page.merge(aggregates, groups, states)
        })?;
        given.on_pages(&groups, states, Page::push)?;
        Ok((given, groups))
    }

    /// Takes in what others have accumulated, which are sealed.
    ///
    /// # Errors
    /// When the state is not of the same aggregates.
    pub(crate) fn merge(&mut self, aggregates: &Aggregates, others: &Self) -> Result<()> {
        self.take_in(others, |page, groups, states| {
            page.merge(aggregates, groups, states)
        })?;
        Ok(())
    }

    /// Puts what others have accumulated, which are sealed, behind what is here as it is; gives the groups of theirs here.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(crate) fn append(&mut self, others: &Self) -> Result<Vec<usize>> {
        self.take_in(others, Page::push)
    }

    fn take_in(
        &mut self,
        others: &Self,
        mut apply: impl FnMut(&mut Page, &[usize], &[ArrayRef]) -> Result<()>,
    ) -> Result<Vec<usize>> {
        let here: Vec<usize> = others
            .keys
            .iter()
            .map(|key| self.keys.intern(key))
            .collect();
        for (number, page) in others.pages.iter().enumerate() {
            let first = number * others.page_groups;
            for layer in page.layers() {
                let groups: Vec<usize> = layer.groups().map(|group| here[first + group]).collect();
                self.on_pages(&groups, layer.states(), &mut apply)?;
            }
        }
        Ok(here)
    }

    /// Turns all of it into state that takes in no more rows; rows that come are kept beside it.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let mut pages = self.pages.iter_mut();
        pages.try_for_each(|page| change(page, &mut self.bytes, Page::seal))
    }

    /// The same, and makes one of what lies behind one another.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(crate) fn fold(&mut self, aggregates: &Aggregates) -> Result<()> {
        let mut pages = self.pages.iter_mut();
        pages.try_for_each(|page| change(page, &mut self.bytes, |page| page.fold(aggregates)))
    }

    /// The next of what a page has that was not told in an export; nothing where all was.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(crate) fn tell(
        &mut self,
        aggregates: &Aggregates,
        page: usize,
        export: usize,
    ) -> Result<Option<Told>> {
        let first = page * self.page_groups;
        change(&mut self.pages[page], &mut self.bytes, |page| {
            let next = page.tell(aggregates, export)?;
            Ok(next.map(|(layer, rows)| {
                let group = |row| first + layer.group(row);
                let slice = |state: &ArrayRef| state.slice(rows.start, rows.len());
                Told {
                    states: layer.states().iter().map(slice).collect(),
                    groups: rows.map(group).collect(),
                }
            }))
        })
    }

    /// These groups alone, each once, of what is sealed.
    ///
    /// # Errors
    /// When a column would grow too large.
    ///
    /// # Panics
    /// When there is no such group.
    pub(crate) fn take(&self, groups: &[usize]) -> Result<Self> {
        let mut by_page: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for group in groups {
            let of_page = by_page.entry(group / self.page_groups).or_default();
            of_page.push(group % self.page_groups);
        }
        let mut taken = Self::new(self.page_groups);
        for (number, mut wanted) in by_page {
            wanted.sort_unstable();
            for layer in self.pages[number].layers() {
                let rows = layer.rows_of(&wanted);
                let places = rows.iter().map(|row| convert::size(*row));
                let places = UInt64Array::from_iter_values(places);
                let states = take_arrays(layer.states(), &places, None)?;
                let key =
                    |row: &usize| self.keys.key(number * self.page_groups + layer.group(*row));
                let groups: Vec<usize> =
                    rows.iter().map(|row| taken.keys.intern(key(row))).collect();
                taken.on_pages(&groups, &states, Page::push)?;
            }
        }
        Ok(taken)
    }

    /// The keys, and for each aggregate its value by group.
    ///
    /// # Errors
    /// When state does not merge.
    pub(crate) fn evaluate(
        mut self,
        aggregates: &Aggregates,
    ) -> Result<(Keys, Vec<Result<ArrayRef>>)> {
        if self.pages.is_empty() {
            self.pages.push(Page::default());
        }
        let mut by_page = Vec::with_capacity(self.pages.len());
        for (number, page) in std::mem::take(&mut self.pages).into_iter().enumerate() {
            by_page.push(
                page.evaluate(aggregates, self.groups_of(number))?
                    .into_iter(),
            );
        }
        let values = (0..aggregates.len()).map(|_| -> Result<ArrayRef> {
            let values: Vec<_> = by_page.iter_mut().filter_map(Iterator::next).collect();
            let values = values.into_iter().collect::<Result<Vec<ArrayRef>>>()?;
            match values.as_slice() {
                [only] => Ok(ArrayRef::clone(only)),
                several => {
                    let several: Vec<_> = several.iter().map(AsRef::as_ref).collect();
                    Ok(concat(&several)?)
                }
            }
        });
        let values = values.collect();
        Ok((self.keys, values))
    }

    /// The keys, by group.
    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many pages there are.
    pub(crate) const fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The memory that the groups hold, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.keys.bytes() + self.bytes
    }

    /// How many groups a page has.
    fn groups_of(&self, page: usize) -> usize {
        let behind = self.keys.len().saturating_sub(page * self.page_groups);
        behind.min(self.page_groups)
    }

    /// Lets `apply` take rows of these groups, with their columns, into each page that has such.
    fn on_pages(
        &mut self,
        groups: &[usize],
        columns: &[ArrayRef],
        mut apply: impl FnMut(&mut Page, &[usize], &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        if self.keys.len() <= self.page_groups {
            if self.pages.is_empty() {
                self.pages.push(Page::default());
            }
            let page = &mut self.pages[0];
            return change(page, &mut self.bytes, |page| apply(page, groups, columns));
        }
        let pages: Vec<usize> = groups
            .iter()
            .map(|group| group / self.page_groups)
            .collect();
        for_each_class(&pages, columns, |number, rows, columns| {
            if self.pages.len() <= number {
                self.pages.resize_with(number + 1, Page::default);
            }
            let rows = rows.iter().map(|row| convert::index((*row).into()));
            let groups: Vec<usize> = rows.map(|row| groups[row] % self.page_groups).collect();
            let page = &mut self.pages[number];
            change(page, &mut self.bytes, |page| apply(page, &groups, columns))
        })
    }
}

/// Lets something be done with a page, and corrects the sum of memory that it is part of.
fn change<R>(page: &mut Page, sum: &mut usize, change: impl FnOnce(&mut Page) -> R) -> R {
    let outcome = change(page);
    let (before, after) = page.remeasure();
    *sum = *sum + after - before;
    outcome
}
