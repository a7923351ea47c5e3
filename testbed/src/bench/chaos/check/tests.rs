use super::*;

const HOST: usize = 1;

fn seconds(seconds: f64) -> Instant {
    Instant::ZERO + convert::seconds(seconds)
}

fn row(end_ms: u64) -> Row {
    let values = [0; 4];
    Row { end_ms, values }
}

/// The host is killed at 10 s, and is there again at 15 s.
fn shock(fault: Fault) -> Shock {
    Shock {
        fault,
        hits: vec![Hit {
            host: HOST,
            at: seconds(10.0),
            again: seconds(15.0),
        }],
        applications: BTreeMap::from([(0, Part::Ends)]),
    }
}

fn kill() -> Shock {
    shock(Fault::Kill)
}

fn judged(shock: Shock, until_ms: u64, files: &[(usize, &[(f64, u64)])]) -> Verdict {
    let reference = (1..=5).map(|it| row(it * 200)).collect();
    let files: Vec<Written> = files
        .iter()
        .map(|(host, rows)| {
            let rows = rows.iter().map(|(at, end)| (seconds(*at), row(*end)));
            Written::of(0, *host, rows.collect())
        })
        .collect();
    let files: Vec<&Written> = files.iter().collect();
    judge(&reference, until_ms, &files, &[shock])
}

#[test]
fn what_is_nowhere_is_lost_and_what_is_none_is_wrong() {
    let found = judged(
        kill(),
        800,
        &[
            (0, &[(1.0, 200), (1.2, 300)]),
            (2, &[(1.4, 600), (2.0, 1_000)]),
        ],
    );
    let expected = Verdict {
        expected: 4,
        lost: 2,
        lost_ms: Some((400, 800)),
        wrong: 1,
        ..Verdict::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn a_copy_is_one_too_many_unless_its_writer_was_killed_at_once() {
    for (what, files, (doubled, rewritten)) in [
        ("once", &[(HOST, &[(9.9, 200)][..])][..], (0, 0)),
        ("twice by one", &[(HOST, &[(9.8, 200), (9.9, 200)])], (1, 0)),
        (
            "again by whoever took over",
            &[(HOST, &[(9.9, 200)]), (2, &[(10.7, 200)])],
            (0, 1),
        ),
        (
            "again when it was back",
            &[(HOST, &[(9.9, 200), (15.5, 200)])],
            (0, 1),
        ),
        (
            "long before the kill",
            &[(HOST, &[(8.0, 200)]), (2, &[(10.7, 200)])],
            (1, 0),
        ),
        (
            "another host's was killed",
            &[(0, &[(9.9, 200)]), (2, &[(10.7, 200)])],
            (1, 0),
        ),
        (
            "three times",
            &[(HOST, &[(9.9, 200), (15.5, 200)]), (2, &[(10.7, 200)])],
            (1, 1),
        ),
    ] {
        let found = judged(kill(), 200, files);
        assert_eq!(
            (found.doubled, found.rewritten),
            (doubled, rewritten),
            "{what}"
        );
        assert_eq!((found.lost, found.wrong), (0, 0), "{what}");
    }
}

/// Results of an application that was asked for at 1 s, a fifth of a second after their windows, from some time to some other.
fn flowing(from_s: f64, until_s: f64, asked_s: f64) -> Vec<(Instant, Row)> {
    let ends = (1..1_000).map(|it| it * 200);
    let at = |end: u64| asked_s + 0.2 + convert::count_to_f64(end) / 1e3;
    let within = ends.filter(|end| (from_s..until_s).contains(&at(*end)));
    within.map(|end| (seconds(at(end)), row(end))).collect()
}

fn recovered(owner: usize, right: &[(Instant, Row)], shocks: &[Shock]) -> Vec<Recovery> {
    let came_back = recoveries(0, owner, seconds(1.0), right, shocks);
    came_back.into_iter().map(|it| it.recovery).collect()
}

#[test]
fn what_was_on_its_way_at_a_kill_is_no_recovery() {
    let mut right = flowing(0.0, 10.0, 1.0);
    // A window that had closed before the kill leaves behind it; what is new comes at 11 s.
    let last = right.last().unwrap().1.end_ms;
    right.push((seconds(10.05), row(last)));
    right.extend(flowing(11.0, 20.0, 1.0));
    let found = recovered(0, &right, &[kill()]);
    let [Recovery::After(time)] = found[..] else {
        panic!("{found:?}");
    };
    assert!((time.as_secs_f64() - 1.0).abs() < 0.21, "{time:?}");
}

#[test]
fn where_the_source_was_it_counts_from_the_start() {
    let mut right = flowing(0.0, 10.0, 1.0);
    // It goes on where it was: 5.5 s later than it would have been.
    right.extend(flowing(15.5, 30.0, 6.5));
    let found = recovered(HOST, &right, &[kill()]);
    let [Recovery::AfterStart(time)] = found[..] else {
        panic!("{found:?}");
    };
    assert!(time < Duration::from_secs(1), "{time:?}");
}

#[test]
fn who_does_not_come_back_is_not_asked_again() {
    let right = flowing(0.0, 10.0, 1.0);
    let mut second = kill();
    (second.hits[0].at, second.hits[0].again) = (seconds(20.0), seconds(25.0));
    let other = Shock {
        applications: BTreeMap::from([(7, Part::Whole)]),
        ..second.clone()
    };
    let found = recovered(0, &right, &[kill(), second, other]);
    assert_eq!(found, [Recovery::Never, Recovery::StillAway]);
}

#[test]
fn of_hosts_that_fail_one_after_the_other_the_last_counts() {
    let mut right = flowing(0.0, 10.0, 1.0);
    right.extend(flowing(12.0, 20.0, 1.0));
    let mut both = kill();
    both.hits.push(Hit {
        host: 4,
        at: seconds(11.5),
        again: seconds(16.0),
    });
    let found = recovered(0, &right, &[both]);
    let [Recovery::After(time)] = found[..] else {
        panic!("{found:?}");
    };
    assert!((time.as_secs_f64() - 0.5).abs() < 0.21, "{time:?}");
}

#[test]
fn who_is_cut_off_may_write_beside_who_took_over_and_not_twice_itself() {
    let by_both = &[(HOST, &[(13.0, 200)][..]), (2, &[(12.0, 200)])];
    let by_one = &[(HOST, &[(13.0, 200), (14.0, 200)][..])];
    for (fault, files, (doubled, rewritten)) in [
        (Fault::CutOff, &by_both[..], (0, 1)),
        (Fault::CutOff, &[by_both[1], (HOST, &[(11.0, 200)])], (0, 1)),
        (Fault::CutOff, &by_one[..], (1, 0)),
        (Fault::Kill, &[by_both[1], (HOST, &[(11.5, 200)])], (1, 0)),
    ] {
        let found = judged(shock(fault), 200, files);
        assert_eq!((found.doubled, found.rewritten), (doubled, rewritten));
    }
}
