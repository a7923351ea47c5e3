//! Plans that need many probes.

use crate::support::{Network, host, id, order};

/// Composes a plan on eight hosts that have room.
fn composes(operators: &[Vec<String>], sinks: &[String]) {
    let hosts: Vec<_> = (1..=8).map(|number| host(number, 0.25, 2.0)).collect();
    let mut network = Network::new(1, &hosts);
    let operators: Vec<Vec<&str>> = operators
        .iter()
        .map(|inputs| inputs.iter().map(String::as_str).collect())
        .collect();
    let operators: Vec<&[&str]> = operators.iter().map(Vec::as_slice).collect();
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let wanted = order("wide", 5000, &operators, &sinks, (1, 1), 0.001);
    network.compose(1, id(1), wanted);
    network.run(30);
    let count = operators.len();
    let composed = network
        .outcome(id(1))
        .unwrap_or_else(|refusal| panic!("{count} operators: {refusal:?}"));
    assert!(
        composed.probe_count <= 2000,
        "{count} operators: {} probes",
        composed.probe_count
    );
    network.assert_whole_or_nowhere(id(1));
    network.assert_nothing_is_left(&[id(1)]);
}

#[test]
fn one_stream_may_have_as_many_readers_as_a_plan_has_operators() {
    for count in [1, 10, 12, 13, 20, 100, 256] {
        let operators = vec![vec!["s0".to_owned()]; count];
        let sinks: Vec<String> = (0..count).map(|it| format!("o{it}")).collect();
        composes(&operators, &sinks);
    }
}

#[test]
fn a_plan_may_fork_behind_a_long_chain() {
    for (length, forks) in [(30, 2), (100, 20), (120, 100)] {
        let chain = (0..length).map(|it| match it {
            0 => vec!["s0".to_owned()],
            _ => vec![format!("o{}", it - 1)],
        });
        let last = format!("o{}", length - 1);
        let operators: Vec<Vec<String>> = chain
            .chain(std::iter::repeat_n(vec![last], forks))
            .collect();
        let sinks: Vec<String> = (length..length + forks)
            .map(|it| format!("o{it}"))
            .collect();
        composes(&operators, &sinks);
    }
}

#[test]
fn a_plan_may_fork_and_meet_again_and_again() {
    let mut operators = vec![vec!["s0".to_owned()]];
    for diamond in 0..30 {
        let top = format!("o{}", diamond * 3);
        operators.push(vec![top.clone()]);
        operators.push(vec![top]);
        let sides = [diamond * 3 + 1, diamond * 3 + 2];
        operators.push(sides.map(|it| format!("o{it}")).to_vec());
    }
    composes(&operators, &["o90".to_owned()]);
}
