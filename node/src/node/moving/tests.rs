//! What is told of a move, to whom, and how often.

use model::wire;

use super::super::tests::{handle, identity, node, receive, record};
use super::super::view::hex;
use super::*;
use crate::node::{Candidate, Drained, Input};

fn moved() -> Moved {
    Moved {
        application: "intrusion".to_owned(),
        operator: "few".to_owned(),
        from: "n1".to_owned(),
        from_node: hex(identity(1).node()),
        to: "n3".to_owned(),
        to_node: hex(identity(3).node()),
        candidates: vec![Candidate {
            host: "n3".to_owned(),
            node: hex(identity(3).node()),
            reason: None,
        }],
        state_bytes: 1,
        sent_bytes: 4 << 20,
        transfer_ms: 240.0,
        switch_ms: 2.0,
        total_ms: 3.0,
        shared_with: Vec::new(),
    }
}

/// Node 1, which runs the operator of [`record`].
fn running() -> (Node, CompositionId, ApplicationId) {
    let mut node = node();
    let record = record();
    let head = record.listing.head.clone();
    let (id, application) = (head.composition, head.application);
    let graph = record.body.expect("a body").graph;
    let mut out = Vec::new();
    node.on_deploy(NOW, id, application.clone(), graph, &mut out);
    (node, id, application)
}

const NOW: Instant = Instant::from_nanos(1);

fn component(id: CompositionId) -> Component {
    Component {
        id,
        operator: 0,
        application: record().listing.head.application,
        name: "few".to_owned(),
    }
}

fn sent(effects: &[Effect], to: u8) -> Vec<Message> {
    let to = identity(to).node();
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { to: it, bytes } if *it == to => wire::decode(bytes).ok(),
        _ => None,
    });
    sent.collect()
}

fn count(node: &Node, what: &str) -> u64 {
    let counts = node.info(NOW).counts;
    counts.get(what).copied().unwrap_or_default()
}

#[test]
fn who_asked_is_told_once_what_came_of_it() {
    let (mut node, id, application) = running();
    let asker = Asker::Peer(identity(3).node(), 9);
    let waiting = (MoveFor::Asker(asker), component(id));
    node.moves.waiting.insert(50, waiting);
    let mut out = Vec::new();
    node.finish_move(NOW, 50, Ok(moved()), &mut out);
    let told = Message::Moved {
        ticket: 9,
        moved: Box::new(Ok(moved())),
    };
    assert_eq!(sent(&out, 3), [told]);
    out.clear();
    node.finish_move(NOW, 50, Ok(moved()), &mut out);
    assert_eq!(out, []);
    assert_eq!(count(&node, "moves_of_nobody"), 1);
    let noted = Decision::Moved {
        why: "somebody asked for it".to_owned(),
        slack_ms: None,
        load: None,
        moved: Box::new(moved()),
    };
    let told = node.journal.told(NOW, &application);
    assert_eq!(told.events, [(Duration::ZERO, noted)]);
}

#[test]
fn a_question_that_comes_twice_is_one_and_too_many_are_refused() {
    let (mut node, id, application) = running();
    let ask = |ticket| Message::Move {
        ticket,
        application: application.clone(),
        composition: id,
        operator: 0,
        to: None,
    };
    let asker = |ticket| MoveFor::Asker(Asker::Peer(identity(3).node(), ticket));
    for ticket in 0..64 {
        let waiting = (asker(ticket), component(id));
        node.moves.waiting.insert(1000 + ticket, waiting);
    }
    assert_eq!(receive(&mut node, 3, &ask(5)), []);
    let effects = receive(&mut node, 3, &ask(64));
    let [Message::Moved { ticket: 64, moved }] = &sent(&effects, 3)[..] else {
        panic!("{effects:?}");
    };
    assert!(
        moved
            .as_ref()
            .as_ref()
            .is_err_and(|it| it.kind == FailureKind::Refused)
    );
    assert_eq!(count(&node, "moves_over_limit"), 1);
}

#[test]
fn what_does_not_run_here_moves_nowhere() {
    let (mut node, id, application) = running();
    let other = CompositionId {
        number: id.number + 1,
        ..id
    };
    for (composition, operator) in [(other, 0), (id, 1), (id, u16::MAX)] {
        let ask = Message::Move {
            ticket: 9,
            application: application.clone(),
            composition,
            operator,
            to: None,
        };
        let effects = receive(&mut node, 3, &ask);
        let [Message::Moved { ticket: 9, moved }] = &sent(&effects, 3)[..] else {
            panic!("{effects:?}");
        };
        let failure = moved.as_ref().as_ref().expect_err("it is not here");
        assert_eq!(failure.kind, FailureKind::NotFound);
    }
}

#[test]
fn only_the_host_that_was_asked_answers_and_only_what_it_can_have_measured() {
    let (mut node, ..) = running();
    let moving = Moving {
        host: identity(2).node(),
        what: "intrusion/few".to_owned(),
    };
    let deadline = NOW + MOVE_WAIT;
    let ticket = node.begin(CommandId(5), deadline, Phase::Moving(moving));
    let told = |moved: Moved| Message::Moved {
        ticket,
        moved: Box::new(Ok(moved)),
    };
    assert_eq!(receive(&mut node, 3, &told(moved())), []);
    assert_eq!(count(&node, "answers_unasked"), 1);
    let impossible = Moved {
        switch_ms: f64::NAN,
        ..moved()
    };
    assert_eq!(receive(&mut node, 2, &told(impossible)), []);
    assert_eq!(count(&node, "answers_unsound"), 1);
    let answer = Effect::Answer {
        id: CommandId(5),
        answered: Ok(Answer::Moved(Box::new(moved()))),
    };
    assert_eq!(receive(&mut node, 2, &told(moved())), [answer]);
}

#[test]
fn a_host_that_drains_for_long_says_what_has_gone_and_goes_on() {
    let (mut node, id, _) = running();
    node.moves.drain = Some(Draining {
        asker: Some((Asker::Peer(identity(3).node(), 9), NOW + DRAIN_SAYS)),
        left: VecDeque::new(),
        is_moving: true,
        is_beginning: false,
        moved: Vec::new(),
        stayed: Vec::new(),
    });
    let waiting = (MoveFor::Drain, component(id));
    node.moves.waiting.insert(50, waiting);
    assert_eq!(node.moves.poll_timeout(), Some(NOW + DRAIN_SAYS));
    // Somebody else who wants the same is told so.
    let effects = receive(&mut node, 4, &Message::Drain { ticket: 8 });
    assert!(
        matches!(&sent(&effects, 4)[..], [Message::Drained { drained, .. }] if drained.is_err())
    );
    let mut out = Vec::new();
    node.handle_input(NOW + DRAIN_SAYS, Input::Timeout, &mut out);
    let drained = |message: &Message| match message {
        Message::Drained { ticket: 9, drained } => drained.as_ref().clone().ok(),
        _ => None,
    };
    let said: Vec<Drained> = sent(&out, 3).iter().filter_map(drained).collect();
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].moved.len(), said[0].left), (0, 1));
    out.clear();
    node.finish_move(NOW, 50, Ok(moved()), &mut out);
    assert!(node.moves.drain.is_none());
    assert_eq!(sent(&out, 3), []);
    // What is refused at once leaves nothing behind.
    let effects = receive(&mut node, 3, &Message::Drain { ticket: 10 });
    let answers = sent(&effects, 3);
    assert!(
        matches!(&answers[..], [Message::Drained { ticket: 10, drained }]
        if drained.as_ref().as_ref().is_ok_and(|it| it.stayed.len() == 1 && it.left == 0))
    );
    assert!(node.moves.drain.is_none() && node.moves.waiting.is_empty());
    assert_eq!(handle(&mut node, Input::Timeout), []);
}
