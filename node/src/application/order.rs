//! Order: which section comes before which, and which never can.

use std::collections::BTreeMap;

use super::outline::Outline;
use super::section::Role;

/// All sections but those on a cycle or behind one: each behind what it reads, else as in the file.
pub(super) fn topological(outline: &Outline<'_>) -> Vec<usize> {
    let reads = reads(outline);
    let mut is_placed = vec![false; reads.len()];
    let mut order = Vec::new();
    loop {
        let next = (0..reads.len())
            .find(|index| !is_placed[*index] && reads[*index].iter().all(|read| is_placed[*read]));
        let Some(next) = next else {
            return order;
        };
        is_placed[next] = true;
        order.push(next);
    }
}

/// Cycles of sections, each in the direction of the rows, from the one that stands first in the file.
///
/// Every section that cannot be placed lies on a reported cycle or behind one. Of cycles that share
/// sections not all are reported: breaking one shows the others.
pub(super) fn cycles(outline: &Outline<'_>) -> Vec<Vec<usize>> {
    let reads = reads(outline);
    let placed = topological(outline);
    let mut is_done: Vec<bool> = (0..reads.len())
        .map(|index| placed.contains(&index))
        .collect();
    let mut cycles = Vec::new();
    for start in 0..reads.len() {
        let mut walk: Vec<usize> = Vec::new();
        let mut next = Some(start).filter(|start| !is_done[*start]);
        while let Some(here) = next {
            if let Some(begin) = walk.iter().position(|seen| *seen == here) {
                cycles.push(in_direction_of_rows(&walk[begin..]));
                break;
            }
            walk.push(here);
            // What cannot be placed reads something that cannot either.
            next = reads[here]
                .iter()
                .copied()
                .find(|read| !placed.contains(read));
            next = next.filter(|next| !is_done[*next]);
        }
        for seen in walk {
            is_done[seen] = true;
        }
    }
    cycles
}

/// A walk from reader to read, turned around and begun with the section that comes first in the file.
fn in_direction_of_rows(walk: &[usize]) -> Vec<usize> {
    let mut cycle: Vec<usize> = walk.iter().rev().copied().collect();
    let first = cycle.iter().min().copied();
    let begin = cycle.iter().position(|index| Some(*index) == first);
    cycle.rotate_left(begin.unwrap_or(0));
    cycle
}

/// For each section, by index, the sections that it reads.
fn reads(outline: &Outline<'_>) -> Vec<Vec<usize>> {
    let mut by_name = BTreeMap::new();
    for (index, section) in outline.sections.iter().enumerate() {
        if !matches!(section.role, Role::Sink(_)) {
            by_name.entry(section.name).or_insert(index);
        }
    }
    let reads = outline.sections.iter().map(|section| {
        let inputs = section.inputs.iter().flatten();
        inputs
            .filter_map(|input| by_name.get(input.name.as_str()).copied())
            .collect()
    });
    reads.collect()
}
