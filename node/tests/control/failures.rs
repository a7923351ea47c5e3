//! Hosts that die, links that lose, peers that lie, and silence.

use std::time::Duration;

use node::node::{Answer, Command, FailureKind, Input, Publication};

use crate::support::{Net, order, schema};

fn show(name: &str) -> Command {
    Command::Application(name.to_owned())
}

#[test]
fn the_accepting_host_may_die() {
    for is_down_noticed in [true, false] {
        let mut net = Net::new(6, 1);
        net.is_down_noticed = is_down_noticed;
        net.apply(0, order(0, "intrusion", "5"));
        net.pass(Duration::from_secs(2));
        let hosts = net.deployed.len();
        net.cut(0);
        for at in 1..6 {
            let before = net.now;
            let answered = net.command(at, show("intrusion"));
            assert!(net.now - before < Duration::from_millis(1600), "at {at}");
            let Ok(Answer::Application(status)) = answered else {
                panic!("no status: {answered:?}");
            };
            assert_eq!(status.status, "degraded");
            let reason = status.reason.expect("a reason");
            assert!(reason.contains("host n0 ("), "{reason}");
            assert!(reason.contains("it runs flows, out"), "{reason}");
            let lost = status.components.iter();
            let lost = lost.filter(|row| row.status == "unreachable").count();
            assert_eq!(lost, 2, "{:?}", status.components);
        }
        let before = net.now;
        let stopped = net.command(5, Command::Stop("intrusion".to_owned()));
        assert!(net.now - before < Duration::from_secs(2));
        let Ok(Answer::Stopped(stopped)) = stopped else {
            panic!("not stopped: {stopped:?}");
        };
        assert_eq!(stopped.unconfirmed, ["n0"]);
        assert_eq!(stopped.confirmed.len(), hosts - 1);
        net.pass(Duration::from_secs(5));
        assert_eq!(net.running(), 0);
        // It comes back hours later, still running its part, and is told.
        net.lose(0);
        net.pass(Duration::from_secs(3600));
        net.join(0);
        assert_eq!(net.running(), 1);
        net.pass(Duration::from_secs(5));
        assert_eq!(net.running(), 0);
        assert!(net.taken().abs() < 1e-9);
    }
}

#[test]
fn a_host_that_was_away_is_told_by_any_other_that_was_there() {
    let mut net = Net::new(6, 2);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let stranger = (1..6).find(|at| {
        let id = net.ids[*at];
        !net.deployed.keys().any(|(host, _)| *host == id)
    });
    let stranger = stranger.expect("a host without a part");
    net.cut(0);
    net.command(stranger, Command::Stop("intrusion".to_owned()))
        .expect("stopped");
    // Who has stopped it dies as well: the hosts themselves tell the one that was away.
    net.lose(0);
    net.cut(stranger);
    net.pass(Duration::from_secs(100));
    net.join(0);
    net.pass(Duration::from_secs(60));
    assert_eq!(net.running(), 0);
}

#[test]
fn lost_repeated_and_reordered_messages_do_no_harm() {
    for seed in 0..12 {
        let mut net = Net::new(5, seed);
        net.loss = 0.15;
        net.repetition = 0.3;
        let composed = net.command(0, Command::Apply(Box::new(order(0, "intrusion", "5"))));
        if composed.is_ok() {
            net.pass(Duration::from_secs(10));
            let listed = net.command(3, Command::Applications);
            let Ok(Answer::Applications(rows)) = listed else {
                panic!("seed {seed}: {listed:?}");
            };
            assert_eq!(rows.len(), 1, "seed {seed}");
            // Perhaps no confirmation came in time: it goes on being said.
            drop(net.command(4, Command::Stop("intrusion".to_owned())));
        }
        net.pass(Duration::from_secs(200));
        assert_eq!(net.running(), 0, "seed {seed}");
        assert!(net.taken().abs() < 1e-9, "seed {seed}");
    }
}

/// Cuts `victim` off after `step` events of a composition; gives whether that was within it.
fn vanish(victim: usize, step: u64) -> bool {
    let mut net = Net::new(5, 3);
    let first = net.steps;
    let id = net.ask(0, Command::Apply(Box::new(order(0, "intrusion", "5"))));
    let until = net.now + Duration::from_secs(20);
    while net.steps < first + step {
        if !net.step(until) {
            break;
        }
    }
    let mut answered = net.answer(id);
    let is_within = answered.is_none();
    net.cut(victim);
    net.pass(Duration::from_secs(90));
    if victim != 0 {
        answered = answered.or_else(|| net.answer(id));
        let answered = answered.expect("it is answered");
        if answered.is_ok() {
            let stopped = net.command(0, Command::Stop("intrusion".to_owned()));
            stopped.expect("the others confirm");
            net.pass(Duration::from_secs(10));
        }
    } else if net.running() > 0 {
        // It had come about before its composing node vanished: then everybody else knows it.
        for at in 1..5 {
            net.command(at, show("intrusion")).expect("it is known");
        }
        net.command(4, Command::Stop("intrusion".to_owned()))
            .expect("the others confirm");
        net.pass(Duration::from_secs(10));
    }
    assert_eq!(net.running(), 0, "host {victim} vanished at step {step}");
    let taken = net.taken();
    assert!(
        taken.abs() < 1e-9,
        "host {victim} vanished at step {step}: {taken} cores are taken"
    );
    is_within
}

#[test]
fn a_host_may_vanish_at_each_step_of_a_composition() {
    for victim in 0..5 {
        let mut step = 0;
        while vanish(victim, step) {
            step += 1;
        }
        assert!(step > 10, "there are steps: {step}");
    }
}

#[test]
fn what_peers_make_up_is_refused_and_counted() {
    let mut net = Net::new(4, 5);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let running = net.deployed.len();
    let peer = net.ids[3];
    let mut genuine = net.messages_to(1);
    assert!(!genuine.is_empty());
    // Every byte of every message that was sent is spoiled once, and some are cut.
    for bytes in &mut genuine {
        for at in (0..bytes.len()).step_by(7) {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 0x41;
            net.push(
                net.ids[1],
                Duration::ZERO,
                Input::Message {
                    from: peer,
                    bytes: spoiled,
                },
            );
            let cut = bytes[..at].to_vec();
            net.push(
                net.ids[1],
                Duration::ZERO,
                Input::Message {
                    from: peer,
                    bytes: cut,
                },
            );
        }
        net.pass(Duration::from_millis(50));
    }
    net.pass(Duration::from_secs(5));
    assert_eq!(net.deployed.len(), running);
    let counts = net.hosts[&net.ids[1]].node.info(net.now).counts;
    for reason in [
        "forged_records",
        "messages_damaged",
        "messages_of_another_version",
    ] {
        assert!(
            counts.get(reason).is_some_and(|count| *count > 0),
            "{reason}: {counts:?}"
        );
    }
    let Ok(Answer::Application(status)) = net.command(2, show("intrusion")) else {
        panic!("no status");
    };
    assert_eq!(status.status, "running");
}

#[test]
fn every_command_is_answered_when_everybody_is_silent() {
    let mut net = Net::new(3, 6);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.has_overlay = false;
    net.is_down_noticed = false;
    net.cut(0);
    net.cut(2);
    let name = || "unknown".to_owned();
    let publication = Publication {
        name: "lab/flows".to_owned(),
        stream: model::StreamName(model::name::Digest([7; 32])),
        origin: model::Origin(1),
        outputs: vec![("out".to_owned(), schema())],
        publisher: net.ids[1],
        rate_hz: None,
        row_bytes: None,
        live: None,
    };
    let commands = [
        Command::Apply(Box::new(order(1, "other", "5"))),
        Command::Applications,
        Command::Application(name()),
        Command::Why(name()),
        Command::Stop(name()),
        Command::Stop("intrusion".to_owned()),
        Command::Application("intrusion".to_owned()),
        Command::Publish(publication),
        Command::Unpublish(name()),
        Command::Streams,
        Command::Stream(name()),
        Command::Resolve(vec![name()]),
        Command::Tap("intrusion/first".to_owned()),
        Command::Nodes,
        Command::Info,
        Command::Lookup(name()),
    ];
    let ids: Vec<_> = commands
        .into_iter()
        .map(|command| net.ask(1, command))
        .collect();
    net.pass(Duration::from_secs(61));
    for id in ids {
        assert!(net.answer(id).is_some(), "{id:?} is not answered");
    }
}

#[test]
fn a_stop_that_nobody_confirms_is_no_success() {
    let mut net = Net::new(6, 7);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.command(5, show("intrusion")).expect("it is known");
    let hosts: Vec<usize> = (0..6)
        .filter(|at| net.deployed.keys().any(|(host, _)| *host == net.ids[*at]))
        .collect();
    let stranger = (0..6).find(|at| !hosts.contains(at)).expect("a stranger");
    for host in &hosts {
        net.cut(*host);
    }
    let failure = net.command(stranger, Command::Stop("intrusion".to_owned()));
    let failure = failure.expect_err("nobody confirmed");
    assert_eq!(failure.kind, FailureKind::Unreachable);
    // They come back one by one and stop.
    for host in hosts {
        net.join(host);
    }
    net.pass(Duration::from_secs(70));
    assert_eq!(net.running(), 0);
}

/// The hosts on which something of the one application runs.
fn hosts_of(net: &Net) -> Vec<usize> {
    let runs = |at: &usize| net.deployed.keys().any(|(host, _)| *host == net.ids[*at]);
    (0..net.ids.len()).filter(runs).collect()
}

#[test]
fn what_was_stopped_ends_everywhere_also_where_who_stopped_it_forgot_that() {
    let mut net = Net::new(6, 8);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let others: Vec<usize> = hosts_of(&net).into_iter().filter(|at| *at != 0).collect();
    for host in &others {
        net.cut(*host);
    }
    let stopped = net.command(0, Command::Stop("intrusion".to_owned()));
    let Ok(Answer::Stopped(stopped)) = stopped else {
        panic!("not stopped: {stopped:?}");
    };
    assert_eq!(stopped.confirmed, ["n0"]);
    // Before it has told anybody it is started anew, and nobody is left who knows.
    net.restart(0);
    for host in &others {
        net.join(*host);
    }
    assert_eq!(net.running(), others.len());
    net.pass(Duration::from_secs(100));
    assert_eq!(net.running(), 0);
    assert!(net.taken().abs() < 1e-9);
    // The name is free again.
    assert_eq!(net.apply(0, order(0, "intrusion", "6")).status, "running");
}

#[test]
fn an_application_that_lost_an_operator_or_was_cut_off_is_not_ended() {
    let mut net = Net::new(6, 9);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let hosts = hosts_of(&net);
    let other = *hosts.iter().find(|at| **at != 0).expect("it is spread");
    net.restart(other);
    net.cut(0);
    net.lose(0);
    net.pass(Duration::from_secs(3600));
    net.join(0);
    net.pass(Duration::from_secs(100));
    assert_eq!(net.running(), hosts.len() - 1);
    let listed = net.command(other, Command::Applications);
    let Ok(Answer::Applications(rows)) = listed else {
        panic!("{listed:?}");
    };
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].status, "degraded", "not ended, and not whole");
}

/// What a list says of the one application that there is.
fn listed_as(net: &mut Net, at: usize) -> String {
    match net.command(at, Command::Applications) {
        Ok(Answer::Applications(rows)) if rows.len() == 1 => rows[0].status.clone(),
        other => panic!("no list of one: {other:?}"),
    }
}

/// A network in which an application lost a host that is not its owner, and which one.
fn without_an_operator(seed: u64) -> (Net, usize) {
    let mut net = Net::new(6, seed);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let other = hosts_of(&net).into_iter().find(|at| *at != 0);
    let other = other.expect("it is spread");
    for at in 0..6 {
        assert_eq!(listed_as(&mut net, at), "running", "at {at}");
    }
    net.cut(other);
    net.lose(other);
    (net, other)
}

#[test]
fn a_list_and_its_reasons_say_that_a_host_is_gone() {
    let (mut net, victim) = without_an_operator(11);
    for at in (0..6).filter(|at| *at != victim) {
        assert_eq!(listed_as(&mut net, at), "degraded", "at {at}");
        let why = net.command(at, Command::Why("intrusion".to_owned()));
        let Ok(Answer::Why(why)) = why else {
            panic!("no reasons: {why:?}");
        };
        assert_eq!(why.composition.status, "degraded");
        let reason = why.reason.expect("a reason");
        // Who is gone keeps its name.
        let name = format!("host n{victim} (");
        assert!(reason.contains(&name), "{reason}");
    }
    // Back, and with all that it ran.
    net.join(victim);
    net.pass(Duration::from_secs(1));
    for at in 0..6 {
        assert_eq!(listed_as(&mut net, at), "running", "at {at}");
    }
    // There, and with nothing of it: nobody else can know, and all say so.
    net.restart(victim);
    net.pass(Duration::from_secs(60));
    for at in 0..6 {
        assert_eq!(listed_as(&mut net, at), "degraded", "at {at}");
    }
}

#[test]
fn what_nobody_knows_of_all_hosts_is_not_said_to_run() {
    let (mut net, victim) = without_an_operator(12);
    // A host that was started after the loss has never heard of who is gone.
    let stranger = (1..6).find(|at| *at != victim && !hosts_of(&net).contains(at));
    let stranger = stranger.expect("a host without a part");
    net.restart(stranger);
    net.pass(Duration::from_secs(1));
    assert_eq!(listed_as(&mut net, stranger), "unheard");
    // Who composed the application knew the name of who is gone.
    let Ok(Answer::Application(status)) = net.command(stranger, show("intrusion")) else {
        panic!("no status");
    };
    let reason = status.reason.expect("a reason");
    assert!(reason.contains(&format!("host n{victim} (")), "{reason}");
    let of_victim = format!("n{victim}");
    let row = status.components.iter().find(|row| row.host == of_victim);
    assert_eq!(row.expect("its part").status, "unreachable");
}

#[test]
fn who_asks_again_for_what_is_degraded_hears_what_is_missing_and_what_to_do() {
    let (mut net, victim) = without_an_operator(13);
    let again =
        |net: &mut Net| net.command(0, Command::Apply(Box::new(order(0, "intrusion", "5"))));
    let failure = again(&mut net).expect_err("it does not run as it was asked for");
    assert_eq!(failure.kind, FailureKind::Failed, "{failure:?}");
    let said = [
        format!("host n{victim} ("),
        "degraded".to_owned(),
        "synergy stop n0:intrusion".to_owned(),
    ];
    for part in said {
        assert!(failure.message.contains(&part), "{failure:?}");
    }
    net.command(0, Command::Stop("intrusion".to_owned()))
        .expect("stopped");
    let composed = net.apply(0, order(0, "intrusion", "5"));
    assert_eq!(composed.status, "running");
    let Ok(Answer::Composition(composed)) = again(&mut net) else {
        panic!("not unchanged");
    };
    assert_eq!(composed.status, "unchanged");
}

#[test]
fn who_was_started_anew_may_compose_again_what_it_ran() {
    let mut net = Net::new(6, 10);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.restart(0);
    let again = net.apply(0, order(0, "intrusion", "5"));
    assert_eq!(again.status, "running");
    net.pass(Duration::from_secs(100));
    let compositions: std::collections::BTreeSet<_> =
        net.deployed.keys().map(|(_, id)| *id).collect();
    assert_eq!(compositions.len(), 1, "what was left of the first is gone");
    let at_0 = net.deployed.keys().any(|(host, _)| *host == net.ids[0]);
    assert!(at_0, "its sink runs");
}
