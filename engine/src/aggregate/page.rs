//! A page of groups: so few that whatever is done with all of them takes about as long as a batch.
//!
//! What the rows of a page came to lies in *layers*, each the state of some of its groups, which takes in no more rows; and in accumulators, for the
//! rows behind them. All of it merges, in its order, to what the groups come to. So a page can be told as it is while rows go on coming in, and later
//! what came behind that.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use datafusion_common::Result;
use datafusion_expr_common::groups_accumulator::{EmitTo, GroupsAccumulator};
use model::convert;

use super::{Aggregates, TOLD_ROWS};
use crate::columns;

/// Groups are called by their places in the page.
#[derive(Default)]
pub(super) struct Page {
    layers: Vec<Layer>,
    live: Option<Live>,
    /// The export that it was told in last; how many of its layers were, and how many rows of the next.
    export: usize,
    told: usize,
    told_rows: usize,
    bytes: usize,
}

/// State of some groups.
pub(super) struct Layer {
    /// The group of each row; absent: that of its own number.
    groups: Option<Vec<u32>>,
    rows: usize,
    /// The columns of all aggregates, in order.
    states: Vec<ArrayRef>,
    bytes: usize,
}

/// An aggregate at work, and how many of the arguments and of the columns of state are its own.
pub(super) struct Accumulating {
    pub(super) accumulator: Box<dyn GroupsAccumulator>,
    pub(super) arguments: usize,
    pub(super) has_filter: bool,
    pub(super) states: usize,
}

/// What takes in rows.
struct Live {
    accumulators: Vec<Accumulating>,
    /// How many groups have rows here.
    groups: usize,
    /// Their order, where it is not that of their numbers: where something lies below.
    order: Option<Order>,
}

/// In which order the accumulators have groups.
struct Order {
    groups: Vec<u32>,
    /// Where each group stands there, or [`NOWHERE`].
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Page {
    /// Takes in rows of these groups, given the arguments of all aggregates for them.
    ///
    /// # Errors
    /// When an accumulator refuses the values.
    pub(super) fn update(
        &mut self,
        aggregates: &Aggregates,
        groups: &[usize],
        arguments: &[ArrayRef],
    ) -> Result<()> {
        self.live(aggregates).update(groups, arguments)
    }

    /// Takes in state of these groups.
    ///
    /// # Errors
    /// When it is not of the same aggregates.
    pub(super) fn merge(
        &mut self,
        aggregates: &Aggregates,
        groups: &[usize],
        states: &[ArrayRef],
    ) -> Result<()> {
        self.live(aggregates).merge(groups, states)
    }

    fn live(&mut self, aggregates: &Aggregates) -> &mut Live {
        self.live.get_or_insert_with(|| Live::new(aggregates))
    }

    /// Puts state of these groups behind what is there.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn push(&mut self, groups: &[usize], states: &[ArrayRef]) -> Result<()> {
        self.seal()?;
        let groups = groups.iter().map(|group| narrow(*group)).collect();
        self.layers.push(Layer::new(groups, states.to_vec()));
        Ok(())
    }

    /// Turns what the accumulators have into a layer.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn seal(&mut self) -> Result<()> {
        if let Some(live) = self.live.take() {
            self.layers.push(live.into_layer()?);
        }
        Ok(())
    }

    /// Makes one layer of all of it.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn fold(&mut self, aggregates: &Aggregates) -> Result<()> {
        self.seal()?;
        if self.layers.len() > 1 {
            let live = self.merged(aggregates)?;
            self.layers = vec![live.into_layer()?];
        }
        Ok(())
    }

    /// The next rows of a layer that were not told in an export. One that has not met the page before finds it folded.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn tell(
        &mut self,
        aggregates: &Aggregates,
        export: usize,
    ) -> Result<Option<(&Layer, Range<usize>)>> {
        if self.export != export {
            self.fold(aggregates)?;
            (self.export, self.told, self.told_rows) = (export, 0, 0);
        } else if self.told == self.layers.len() {
            self.seal()?;
        }
        let Some(layer) = self.layers.get(self.told) else {
            return Ok(None);
        };
        let rows = self.told_rows..layer.rows.min(self.told_rows + TOLD_ROWS);
        self.told_rows = rows.end;
        if rows.end == layer.rows {
            (self.told, self.told_rows) = (self.told + 1, 0);
        }
        Ok(Some((layer, rows)))
    }

    /// The values of each aggregate for all groups, of which there are so many.
    ///
    /// # Errors
    /// When state does not merge.
    pub(super) fn evaluate(
        mut self,
        aggregates: &Aggregates,
        groups: usize,
    ) -> Result<Vec<Result<ArrayRef>>> {
        let live = match (self.layers.as_slice(), self.live.take()) {
            ([], live) => live.unwrap_or_else(|| Live::new(aggregates)),
            (_, live) => {
                self.live = live;
                self.seal()?;
                self.merged(aggregates)?
            }
        };
        Ok(live.evaluate(groups))
    }

    /// All layers together.
    fn merged(&self, aggregates: &Aggregates) -> Result<Live> {
        let mut merged = Live::new(aggregates);
        for layer in &self.layers {
            let groups: Vec<usize> = layer.groups().collect();
            merged.merge(&groups, &layer.states)?;
        }
        Ok(merged)
    }

    /// What was sealed.
    ///
    /// # Panics
    /// While it takes in rows.
    pub(super) fn layers(&self) -> &[Layer] {
        assert!(self.live.is_none(), "what takes in rows is no layer");
        &self.layers
    }

    /// Measures the page again: how much memory it held before, and how much it holds. Unit: bytes.
    pub(super) fn remeasure(&mut self) -> (usize, usize) {
        let layers: usize = self.layers.iter().map(|layer| layer.bytes).sum();
        let bytes = layers + self.live.as_ref().map_or(0, Live::bytes);
        (std::mem::replace(&mut self.bytes, bytes), bytes)
    }
}

impl Layer {
    fn new(groups: Vec<u32>, states: Vec<ArrayRef>) -> Self {
        let rows = groups.len();
        let are_first = (0u32..).zip(&groups).all(|(place, group)| place == *group);
        if are_first {
            return Self::of_first(rows, states);
        }
        let bytes = size_of_val::<[u32]>(&groups);
        let layer = Self::of_first(rows, states);
        Self {
            bytes: layer.bytes + bytes,
            groups: Some(groups),
            ..layer
        }
    }

    /// State of the first groups of a page, in order.
    fn of_first(rows: usize, states: Vec<ArrayRef>) -> Self {
        Self {
            bytes: states.iter().map(columns::bytes).sum(),
            groups: None,
            rows,
            states,
        }
    }

    /// The group of each row.
    pub(super) fn groups(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.rows).map(|row| self.group(row))
    }

    /// The group of a row.
    pub(super) fn group(&self, row: usize) -> usize {
        let groups = self.groups.as_ref();
        groups.map_or(row, |groups| wide(groups[row]))
    }

    /// The rows of some groups, which are sorted.
    pub(super) fn rows_of(&self, wanted: &[usize]) -> Vec<usize> {
        match &self.groups {
            None => {
                let here = wanted.iter().filter(|group| **group < self.rows);
                here.copied().collect()
            }
            Some(groups) => {
                let is_wanted = |row: &usize| wanted.binary_search(&wide(groups[*row])).is_ok();
                (0..self.rows).filter(is_wanted).collect()
            }
        }
    }

    /// The columns of all aggregates, in order.
    pub(super) fn states(&self) -> &[ArrayRef] {
        &self.states
    }
}

impl Live {
    fn new(aggregates: &Aggregates) -> Self {
        Self {
            accumulators: aggregates.accumulating(),
            groups: 0,
            order: None,
        }
    }

    /// Where each of these groups stands among those that have rows here.
    fn places<'a>(&mut self, groups: &'a [usize]) -> Cow<'a, [usize]> {
        if self.order.is_none() {
            let mut known = self.groups;
            let is_next = |group: &usize| {
                known += usize::from(*group == known);
                *group < known
            };
            if groups.iter().all(is_next) {
                self.groups = known;
                return Cow::Borrowed(groups);
            }
        }
        let known = self.groups;
        let order = self.order.get_or_insert_with(|| Order::first(known));
        let places = groups.iter().map(|group| order.place(*group)).collect();
        self.groups = order.groups.len();
        Cow::Owned(places)
    }

    fn update(&mut self, groups: &[usize], mut arguments: &[ArrayRef]) -> Result<()> {
        let places = self.places(groups);
        for aggregate in &mut self.accumulators {
            let (values, rest) = arguments.split_at(aggregate.arguments);
            let (filter, rest) = rest.split_at(usize::from(aggregate.has_filter));
            arguments = rest;
            let filter = filter.first().map(|filter| filter.as_boolean());
            let accumulator = &mut aggregate.accumulator;
            accumulator.update_batch(values, &places, filter, self.groups)?;
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[usize], mut states: &[ArrayRef]) -> Result<()> {
        let places = self.places(groups);
        for aggregate in &mut self.accumulators {
            let (state, rest) = states.split_at(aggregate.states);
            states = rest;
            let accumulator = &mut aggregate.accumulator;
            accumulator.merge_batch(state, &places, self.groups)?;
        }
        Ok(())
    }

    /// The values of each aggregate for all groups of a page, of which there are so many; none for those that never had a row here.
    fn evaluate(self, groups: usize) -> Vec<Result<ArrayRef>> {
        let places = match self.order {
            None if self.groups == groups => None,
            order => {
                let order = order.unwrap_or_else(|| Order::first(self.groups));
                let place = |group| order.places.get(group).copied();
                let place = |group| place(group).filter(|place| *place != NOWHERE);
                Some(UInt32Array::from_iter((0..groups).map(place)))
            }
        };
        let values = self.accumulators.into_iter().map(|mut aggregate| {
            let values = aggregate.accumulator.evaluate(EmitTo::All)?;
            match &places {
                None => Ok(values),
                Some(places) => Ok(take(&values, places, None)?),
            }
        });
        values.collect()
    }

    fn into_layer(self) -> Result<Layer> {
        let mut states = Vec::new();
        for mut aggregate in self.accumulators {
            states.extend(aggregate.accumulator.state(EmitTo::All)?);
        }
        Ok(match self.order {
            None => Layer::of_first(self.groups, states),
            Some(order) => Layer::new(order.groups, states),
        })
    }

    fn bytes(&self) -> usize {
        let sizes = self.accumulators.iter();
        let sizes: usize = sizes.map(|aggregate| aggregate.accumulator.size()).sum();
        sizes + self.order.as_ref().map_or(0, Order::bytes)
    }
}

impl Order {
    /// That of so many numbers.
    fn first(groups: usize) -> Self {
        let groups: Vec<u32> = (0..narrow(groups)).collect();
        Self {
            places: groups.clone(),
            groups,
        }
    }

    /// Where a group stands.
    fn place(&mut self, group: usize) -> usize {
        if group >= self.places.len() {
            self.places.resize(group + 1, NOWHERE);
        }
        let place = &mut self.places[group];
        if *place == NOWHERE {
            *place = narrow(self.groups.len());
            self.groups.push(narrow(group));
        }
        wide(*place)
    }

    fn bytes(&self) -> usize {
        size_of_val::<[u32]>(&self.groups) + size_of_val::<[u32]>(&self.places)
    }
}

fn narrow(group: usize) -> u32 {
    u32::try_from(group).expect("a page has fewer groups than 2^32")
}

fn wide(group: u32) -> usize {
    convert::index(group.into())
}
