use super::*;

fn measure(id: u64, rate: f64, execution: f64) -> ComponentMeasure {
    ComponentMeasure {
        id: ComponentId(id),
        rate: Some(rate),
        load_fraction: 0.1,
        idle_execution: Duration::from_millis(2),
        execution: Some(convert::seconds(execution)),
        promise: Duration::from_millis(20),
        budget: Slack::from(Duration::from_millis(100)),
        age: Some(Duration::from_millis(50)),
        upstream: Vec::new(),
        is_movable: true,
    }
}

fn busy(cpu_fraction: f64) -> HostMeasure {
    HostMeasure {
        cpu_fraction,
        ..HostMeasure::default()
    }
}

#[test]
fn the_load_is_the_scarcer_of_processor_and_uplink_smoothed() {
    let mut monitor = Monitor::default();
    assert_eq!(monitor.load(), None);
    let host = |cpu_fraction, uplink_fraction| HostMeasure {
        cpu_fraction,
        uplink_fraction,
        memory_fraction: 0.5,
    };
    monitor.note(host(0.2, 0.6), Vec::new());
    assert!((monitor.load().unwrap() - 0.6).abs() < 1e-12);
    monitor.note(host(0.9, 0.1), Vec::new());
    assert!((monitor.load().unwrap() - 0.69).abs() < 1e-12);
    monitor.note(host(f64::NAN, f64::NAN), Vec::new());
    assert!((monitor.load().unwrap() - 0.69).abs() < 1e-12);
    assert!((monitor.memory_fraction() - 0.5).abs() < 1e-12);
}

#[test]
fn the_interval_is_told_again_only_when_the_load_has_left_it() {
    let mut monitor = Monitor::default();
    (0..20).for_each(|_| monitor.note(busy(0.5), Vec::new()));
    let updates = monitor.updates();
    for step in 0..100 {
        let swing = if step % 2 == 0 { 0.03 } else { -0.03 };
        monitor.note(busy(0.5 + swing), Vec::new());
    }
    assert_eq!(monitor.updates(), updates);
    (0..20).for_each(|_| monitor.note(busy(0.8), Vec::new()));
    assert!(monitor.updates() > updates);
    assert!((monitor.interval().middle() - 0.8).abs() <= 0.05);
}

#[test]
fn execution_time_grows_with_the_rates_of_all_who_compete() {
    let mut monitor = Monitor::default();
    // The component's own rate stays; a neighbor's grows, and with it both execution times: 1 ms for each ten rows a second.
    for second in 0..60u32 {
        let rate = 100.0 + 10.0 * f64::from(second);
        let execution = 1e-4 * (100.0 + rate);
        let components = vec![measure(1, 100.0, execution), measure(2, rate, execution)];
        monitor.note(busy(0.5), components);
    }
    let outlook = monitor.outlook();
    let [steady, growing] = outlook[..] else {
        panic!("{outlook:?}")
    };
    assert!((steady.rate - 100.0).abs() < 1.0, "{steady:?}");
    assert!(growing.rate > 690.0, "{growing:?}");
    assert!(steady.predicted_execution > steady.execution);
    let grown = steady.predicted_execution - steady.execution;
    assert_eq!(steady.predicted_age, steady.age + grown);
    assert_eq!(steady.predicted_slack, steady.slack.less(grown));
    let budget = Slack::from(Duration::from_millis(100));
    assert_eq!(steady.slack, budget.less(Duration::from_millis(50)));
}

#[test]
fn without_a_target_slack_has_no_end_and_without_batches_nothing_is_expected() {
    let mut monitor = Monitor::default();
    let free = ComponentMeasure {
        budget: Slack::MAX,
        ..measure(1, 10.0, 0.010)
    };
    let silent = ComponentMeasure {
        rate: None,
        execution: None,
        age: None,
        ..measure(2, 0.0, 0.0)
    };
    (0..30).for_each(|_| monitor.note(busy(0.1), vec![free.clone(), silent.clone()]));
    let outlook = monitor.outlook();
    assert_eq!(outlook.len(), 1);
    assert_eq!(outlook[0].predicted_slack, Slack::MAX);
}

#[test]
fn what_has_gone_is_forgotten() {
    let mut monitor = Monitor::default();
    for second in 0..200u64 {
        monitor.note(busy(0.1), vec![measure(second, 1.0, 0.010)]);
    }
    assert_eq!(monitor.components.len(), 1);
    assert!(monitor.rate(ComponentId(198)).is_none());
    assert_eq!(
        monitor.rate(ComponentId(199)).and_then(Rate::now),
        Some(1.0)
    );
}
