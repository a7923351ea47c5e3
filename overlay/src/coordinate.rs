//! Network coordinates: where this node is, learned from round trips (Vivaldi).
//!
//! Dabek, Cox, Kaashoek, Morris: Vivaldi, a decentralized network coordinate system (SIGCOMM 2004), with the height
//! of section 5.4 and the adaptive timestep of section 3.4.
//!
//! For a measured round trip `rtt` to a host at `x_j` with error `e_j`:
//!
//! ```text
//! w    = e_i / (e_i + e_j)                        how much to trust the other
//! e_s  = | dist(x_i, x_j) - rtt | / rtt           the relative error of this sample
//! e_i <- e_s c_e w + e_i (1 - c_e w)
//! x_i <- x_i + c_c w (rtt - dist(x_i, x_j)) u(x_i - x_j)
//! ```
//!
//! Differences from the paper: a host that has measured nothing goes all the way that its first sample says, or half of it where the other one knows
//! as little and goes as well, and takes the sample for right: so that one measurement says something. One step moves by at most [`STEP_MAX`], so that a liar or one bad measurement does not
//! throw a host across the world, and what comes out is always a valid coordinate.

use std::time::Duration;

use model::host::DIMENSIONS;
use model::{Coordinate, Rng};

/// The share of a sample's error by which the error, and the place, are moved. Source: Vivaldi, section 4.2.
const C_E: f64 = 0.25;
/// See [`C_E`].
const C_C: f64 = 0.25;

/// The least height. Unit: seconds of round trip. Source: guess; the way through the kernel of a host.
const HEIGHT_MIN: f64 = 0.000_02;

/// The farthest that one sample moves a host. Unit: seconds of round trip. Source: guess.
const STEP_MAX: f64 = 0.1;

/// The longest round trip that is believed. Unit: seconds. Source: guess.
const ROUND_TRIP_MAX: f64 = 10.0;

/// The least that an error is taken for, so that nobody is beyond correction. A fraction. Source: guess.
const ERROR_MIN: f64 = 0.01;

/// How far a coordinate must have moved from what was told, before it is told again: either in seconds, or
/// as a fraction of the round trips at hand. Source: guess.
const TOLD_SECONDS: f64 = 0.0005;
/// See [`TOLD_SECONDS`]. A fraction.
const TOLD_ERROR: f64 = 0.1;

/// The place of a host that has measured nothing: at the origin, and not sure at all.
pub const fn unknown() -> Coordinate {
    Coordinate {
        place: [0.0; DIMENSIONS],
        height: HEIGHT_MIN,
        error: 1.0,
    }
}

/// Where a host at `here` is after it measured a round trip to one at `there`.
pub fn update(
    here: &Coordinate,
    there: &Coordinate,
    round_trip: Duration,
    rng: &mut Rng,
) -> Coordinate {
    let measured = round_trip.as_secs_f64().clamp(1e-6, ROUND_TRIP_MAX);
    let estimated = here.round_trip(there).as_secs_f64();
    let mine = here.error.clamp(ERROR_MIN, 1.0);
    let trust = mine / (mine + there.error.clamp(ERROR_MIN, 1.0));
    // Who has measured nothing has nothing to be wrong about.
    let (share, sample_error) = match (here.is_known(), there.is_known()) {
        (true, _) => {
            let error = ((estimated - measured).abs() / measured).min(1.0);
            (C_C * trust, error)
        }
        (false, true) => (1.0, 0.0),
        (false, false) => (0.5, 0.0),
    };
    let error = sample_error * C_E * trust + mine * (1.0 - C_E * trust);
    let force = (share * (measured - estimated)).clamp(-STEP_MAX, STEP_MAX);

    let (direction, apart) = direction(here, there, rng);
    let heights = here.height + there.height;
    let norm = (apart + heights).max(f64::MIN_POSITIVE);
    // Two hosts in one place have nothing but a random direction to part in: there, all of the force is for it.
    let share = if apart > 0.0 { apart / norm } else { 1.0 };
    let mut moved = Coordinate {
        place: here.place,
        height: (here.height + force * (1.0 - share)).max(HEIGHT_MIN),
        error: error.clamp(ERROR_MIN, 1.0),
    };
    for (coordinate, component) in moved.place.iter_mut().zip(direction) {
        *coordinate += force * share * component;
    }
    if moved.is_valid() { moved } else { unknown() }
}

/// The direction from there to here, of length 1, and how far apart both are, heights left out.
fn direction(here: &Coordinate, there: &Coordinate, rng: &mut Rng) -> ([f64; DIMENSIONS], f64) {
    let mut between = [0.0; DIMENSIONS];
    for (n, component) in between.iter_mut().enumerate() {
        *component = here.place[n] - there.place[n];
    }
    let length = |of: &[f64; DIMENSIONS]| of.iter().map(|x| x * x).sum::<f64>().sqrt();
    let apart = length(&between);
    let mut unit = between;
    let mut scale = apart;
    while scale < 1e-9 {
        for component in &mut unit {
            *component = rng.fraction() - 0.5;
        }
        scale = length(&unit);
    }
    for component in &mut unit {
        *component /= scale;
    }
    (unit, if apart < 1e-9 { 0.0 } else { apart })
}

/// Whether a coordinate is so far from the one that was told that it is worth telling; the first one that says anything is.
pub(crate) fn is_news(told: &Coordinate, now: &Coordinate) -> bool {
    let places = told.place.iter().zip(&now.place);
    let moved = places.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    told.is_known() != now.is_known()
        || moved + (told.height - now.height).abs() > TOLD_SECONDS
        || (told.error - now.error).abs() > TOLD_ERROR
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use model::Rng;

    use super::*;

    #[test]
    fn hosts_on_a_plane_learn_their_round_trips() {
        // Three sites, 5, 30 and 40 ms apart; 2 ms from each host to the core of the network.
        let sites = [[0.0, 0.0, 0.0], [0.005, 0.0, 0.0], [0.0, 0.03, 0.0]];
        let truth: Vec<Coordinate> = (0..12)
            .map(|n| Coordinate {
                place: sites[n % 3],
                height: 0.001,
                error: 0.0,
            })
            .collect();
        let mut rng = Rng::from_seed(5);
        let mut hosts = vec![unknown(); truth.len()];
        for _ in 0..300 {
            for one in 0..hosts.len() {
                let other = model::convert::index(rng.below(12));
                if one != other {
                    let round_trip = truth[one].round_trip(&truth[other]);
                    hosts[one] = update(&hosts[one], &hosts[other].clone(), round_trip, &mut rng);
                }
            }
        }
        let mut errors = Vec::new();
        for one in 0..hosts.len() {
            for other in 0..one {
                let expected = truth[one].round_trip(&truth[other]).as_secs_f64();
                let estimated = hosts[one].round_trip(&hosts[other]).as_secs_f64();
                errors.push((estimated - expected).abs() / expected);
            }
        }
        errors.sort_by(f64::total_cmp);
        assert!(errors[errors.len() / 2] < 0.1, "median {errors:?}");
        assert!(
            errors[errors.len() * 9 / 10] < 0.3,
            "nine of ten {errors:?}"
        );
    }

    #[test]
    fn a_liar_moves_a_host_by_a_bounded_step() {
        let mut rng = Rng::from_seed(6);
        let here = unknown();
        let there = Coordinate {
            place: [59.0, -59.0, 59.0],
            height: 60.0,
            error: 0.0,
        };
        let moved = update(&here, &there, Duration::from_secs(3600), &mut rng);
        let away = Coordinate {
            height: 0.0,
            ..moved
        }
        .round_trip(&Coordinate::default());
        assert!(away.as_secs_f64() <= STEP_MAX + 1e-9, "{away:?}");
    }

    #[test]
    fn small_movements_are_no_news() {
        let told = unknown();
        let mut now = told;
        now.place[0] += 0.0002;
        assert!(!is_news(&told, &now));
        now.height += 0.0004;
        assert!(is_news(&told, &now));
        assert!(is_news(&told, &Coordinate { error: 0.5, ..told }));
        let first = Coordinate {
            error: 0.99,
            ..told
        };
        assert!(is_news(&told, &first));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_always_a_place(
            here in prop::array::uniform3(-60.0f64..60.0),
            there in prop::array::uniform3(-60.0f64..60.0),
            heights in (0.0f64..60.0, 0.0f64..60.0),
            errors in (0.0f64..1e300, 0.0f64..1e300),
            nanos in any::<u64>(),
        ) {
            let here = Coordinate { place: here, height: heights.0, error: errors.0 };
            let there = Coordinate { place: there, height: heights.1, error: errors.1 };
            let moved = update(&here, &there, Duration::from_nanos(nanos), &mut Rng::from_seed(1));
            prop_assert!(moved.is_valid());
        }
    }
}
