//! A random sample of entries, weighted to short ways and low load.

use model::{Coordinate, Entry, Rng};

/// Chooses at most `count` of these, without repetition; a weight twice as large makes being chosen first twice as likely.
///
/// Each element draws `u^(1/weight)` with `u` uniform, and the largest are taken (Efraimidis and Spirakis,
/// Information Processing Letters 97, 2006): one pass, and no element can starve.
pub(crate) fn sample<T>(
    elements: impl IntoIterator<Item = T>,
    count: usize,
    weight: impl Fn(&T) -> f64,
    rng: &mut Rng,
) -> Vec<T> {
    let mut drawn: Vec<(f64, T)> = elements
        .into_iter()
        .map(|element| {
            // The logarithm of the draw orders alike and does not run into zero.
            let draw = (1.0 - rng.fraction()).ln() / weight(&element).max(f64::MIN_POSITIVE);
            (draw, element)
        })
        .collect();
    drawn.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    drawn.truncate(count);
    drawn.into_iter().map(|(_, element)| element).collect()
}

/// How much an entry is worth to somebody at `near`: `1 / ((0.1 + load) (0.005 s + round trip))`.
///
/// The constants keep an idle host, and one next door, from taking everything: with them, a load of 0.1 halves
/// the weight of an idle host, and a round trip of 5 ms that of a neighbor. Source: guess.
pub(crate) fn weight(entry: &Entry, near: Option<&Coordinate>) -> f64 {
    let load = 0.1 + entry.load.middle();
    let way = near.map_or(0.0, |near| near.round_trip(&entry.coordinate).as_secs_f64());
    1.0 / (load * (0.005 + way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_twice_as_large_is_chosen_twice_as_often() {
        let mut rng = Rng::from_seed(1);
        let mut counts = [0u32; 3];
        for _ in 0..7000 {
            let chosen = sample(0..3, 1, |n| [1.0, 2.0, 4.0][*n], &mut rng);
            counts[chosen[0]] += 1;
        }
        assert!((900..1100).contains(&counts[0]), "{counts:?}");
        assert!((1850..2150).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn nothing_is_chosen_twice_and_nothing_worthless_breaks_it() {
        let mut rng = Rng::from_seed(2);
        let mut chosen = sample(0..5, 9, |_| 0.0, &mut rng);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2, 3, 4]);
        assert!(sample(0..5, 0, |_| 1.0, &mut rng).is_empty());
    }
}
