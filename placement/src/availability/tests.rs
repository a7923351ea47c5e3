use proptest::prelude::*;

use model::Rng;

use super::*;

fn rng() -> Rng {
    Rng::from_seed(1)
}

/// `n` operators of `k` hosts each, `g` on each set of hosts.
fn aligned(n: usize, g: usize, k: usize) -> Vec<Vec<usize>> {
    let hosts = |operator: usize| (operator / g * k..(operator / g + 1) * k).collect();
    (0..n).map(hosts).collect()
}

/// By every state of every host, nothing left out.
fn by_all_states(operators: &[Vec<usize>], available: &[f64]) -> f64 {
    let is_up = |state: u32, host: usize| state >> host & 1 == 1;
    let probability = |state: u32| -> f64 {
        let hosts = available.iter().enumerate();
        hosts
            .map(|(host, it)| if is_up(state, host) { *it } else { 1.0 - it })
            .product()
    };
    (0..1_u32 << available.len())
        .filter(|state| {
            let mut operators = operators.iter();
            operators.all(|hosts| hosts.iter().any(|host| is_up(*state, *host)))
        })
        .map(probability)
        .sum()
}

#[test]
fn published_values_of_aligned_placements() {
    // Papers, section 9.2: k = 2.
    for (a, n, g, expected) in [
        (0.90, 2, 1, 0.9801),
        (0.90, 6, 1, 0.9415),
        (0.90, 10, 2, 0.9510),
        (0.90, 10, 10, 0.9900),
        (0.95, 10, 1, 0.9753),
        (0.95, 6, 2, 0.9925),
    ] {
        let operators = aligned(n, g, 2);
        let estimate = availability(&operators, &[a; 20], &mut rng());
        assert!((estimate.value - expected).abs() < 5e-5, "{estimate:?}");
        assert_eq!(estimate.method, Method::Closed);
        assert!(estimate.error <= 0.0);
    }
}

#[test]
fn what_has_no_hosts_is_never_up_and_nothing_always_is() {
    let value = |operators: &[Vec<usize>]| availability(operators, &[0.5], &mut rng()).value;
    assert!((value(&[]) - 1.0).abs() < 1e-12);
    assert!(value(&[vec![0], vec![]]).abs() < 1e-12);
    assert!((value(&[vec![0], vec![0, 0]]) - 0.5).abs() < 1e-12);
}

#[test]
fn a_long_ring_of_pairs_is_sampled_only_where_it_cannot_be_enumerated() {
    // Neighbors on a ring share a host: one part, which splits fall apart quickly.
    let ring = |count: usize| -> Vec<Vec<usize>> {
        (0..count).map(|it| vec![it, (it + 1) % count]).collect()
    };
    let method = |count| availability(&ring(count), &[0.9; 80], &mut rng()).method;
    assert_eq!(method(16), Method::Enumerated);
    assert_eq!(method(80), Method::Sampled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn enumeration_is_the_closed_form_where_both_apply(
        n in 1_usize..9,
        g in 1_usize..5,
        k in 1_usize..4,
        a in 0.0..=1.0_f64,
    ) {
        let operators = aligned(n, g, k);
        let hosts = n.div_ceil(g) * k;
        prop_assume!(hosts <= 16);
        let groups = i32::try_from(n.div_ceil(g)).unwrap();
        let closed = (1.0 - (1.0 - a).powi(i32::try_from(k).unwrap())).powi(groups);
        let available = vec![a; hosts];
        prop_assert!((enumerated(&operators, &available).unwrap().value - closed).abs() < 1e-9);
        let chosen = availability(&operators, &available, &mut rng());
        prop_assert!((chosen.value - closed).abs() < 1e-9);
    }

    #[test]
    fn it_is_the_sum_over_all_states(
        operators in prop::collection::vec(prop::collection::vec(0_usize..10, 1..4), 1..7),
        available in prop::collection::vec(0.0..=1.0_f64, 10),
    ) {
        let expected = by_all_states(&operators, &available);
        let found = availability(&operators, &available, &mut rng());
        prop_assert!((found.value - expected).abs() < 1e-9, "{found:?}, not {expected}");
        prop_assert!((enumerated(&operators, &available).unwrap().value - expected).abs() < 1e-9);
        let bound = unavailability_at_most(&operators, &available);
        prop_assert!(bound >= 1.0 - expected - 1e-9);
    }

    #[test]
    fn the_order_of_operators_and_hosts_is_irrelevant(
        mut operators in prop::collection::vec(prop::collection::vec(0_usize..12, 1..4), 1..7),
        available in prop::collection::vec(0.0..=1.0_f64, 12),
    ) {
        let forward = availability(&operators, &available, &mut rng());
        operators.reverse();
        operators.iter_mut().for_each(|hosts| hosts.reverse());
        prop_assert_eq!(availability(&operators, &available, &mut rng()), forward);
    }

    #[test]
    fn a_better_host_never_makes_it_worse(
        operators in prop::collection::vec(prop::collection::vec(0_usize..8, 1..4), 1..6),
        available in prop::collection::vec(0.0..=1.0_f64, 8),
        host in 0_usize..8,
        better in 0.0..=1.0_f64,
    ) {
        let before = availability(&operators, &available, &mut rng()).value;
        let mut raised = available;
        raised[host] = raised[host].max(better);
        let after = availability(&operators, &raised, &mut rng()).value;
        prop_assert!(after >= before - 1e-12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn sampling_lies_within_its_error(
        operators in prop::collection::vec(prop::collection::vec(0_usize..10, 1..4), 1..7),
        available in prop::collection::vec(0.2..=0.99_f64, 10),
        seed in 0_u64..1000,
    ) {
        let sampled = sampled(&operators, &available, SAMPLES / 5, &mut Rng::from_seed(seed));
        let exact = enumerated(&operators, &available).unwrap().value;
        // Five standard errors: one case in two million lies outside. One sample more or less where the error is zero.
        let most = 5.0 * sampled.error + 5.0 / f64::from(SAMPLES / 5);
        prop_assert!((sampled.value - exact).abs() <= most, "{sampled:?}, not {exact}");
    }
}
