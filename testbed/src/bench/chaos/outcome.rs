//! What is said of a run in which hosts were killed.

use std::fmt::Write as _;
use std::time::Duration;

use model::{Instant, convert};

use super::check::{Kill, Recovery, Verdict, judge, recoveries};
use super::load::{Input, Load, Rate};
use super::reference::{Row, results};
use super::sinks::Written;
use super::{Options, Report};

/// All that happened.
pub(super) struct Outcome<'a> {
    pub(super) options: &'a Options,
    pub(super) loads: &'a [Load],
    /// The rows of the sources of each application.
    pub(super) inputs: &'a [Vec<Input>],
    pub(super) rate: Rate,
    /// When each application was asked for.
    pub(super) asked: &'a [Instant],
    /// Up to which window each has to have yielded all. Unit: milliseconds behind the first row.
    pub(super) until_ms: &'a [u64],
    pub(super) kills: &'a [Kill],
    /// What each application is in the end.
    pub(super) statuses: &'a [String],
    pub(super) unsettled: u64,
    pub(super) is_reference_right: bool,
}

/// What is said of an application.
struct Said {
    verdict: Verdict,
    recoveries: Vec<Recovery>,
    sinks: usize,
}

impl Outcome<'_> {
    /// Compares all that sinks wrote with what they should have.
    pub(super) fn report(&self, written: &[Written]) -> Report {
        let said: Vec<Said> = (0..self.loads.len())
            .map(|application| self.say(application, written))
            .collect();
        let sum = |of: fn(&Verdict) -> u64| said.iter().map(|it| of(&it.verdict)).sum::<u64>();
        let all = || said.iter().flat_map(|it| &it.recoveries).copied();
        let after = all().filter_map(|it| match it {
            Recovery::After(time) => Some(time),
            _ => None,
        });
        let after_start = all().filter_map(|it| match it {
            Recovery::AfterStart(time) => Some(time),
            _ => None,
        });
        let never = convert::size(all().filter(|it| *it == Recovery::Never).count());
        let still = convert::size(all().filter(|it| *it == Recovery::StillAway).count());
        let times = Times::of(after.clone().chain(after_start.clone()));
        let mut report = Report::new("chaos", vec![self.options.seed]);
        report.count("nodes", u64::from(self.options.nodes));
        report.count("applications", convert::size(self.loads.len()));
        report.count("replicas", u64::from(self.options.replicas));
        report.count("kills", convert::size(self.kills.len()));
        report.count("results", sum(|it| it.expected));
        report.count("lost", sum(|it| it.lost));
        report.count("doubled", sum(|it| it.doubled));
        report.count("rewritten", sum(|it| it.rewritten));
        report.count("wrong", sum(|it| it.wrong));
        report.count("taken_back", sum(|it| it.taken_back));
        report.count("recoveries", convert::size(times.0.len()));
        report.count("never_recovered", never);
        report.count("hit_while_away", still);
        report.count("unsettled_kills", self.unsettled);
        let failed = self.statuses.iter().filter(|it| *it != "running").count();
        report.count("applications_not_running", convert::size(failed));
        times.tell("recovery_ms", &mut report);
        Times::of(after).tell("recovery_of_others_ms", &mut report);
        Times::of(after_start).tell("recovery_of_sources_ms", &mut report);
        report.tables(&self.table(&said));
        let is_within = times
            .quantile(0.99)
            .is_some_and(|it| it <= self.options.recovery);
        report.claim("reference_is_a_run_without_kills", self.is_reference_right);
        report.claim("all_kills_done", self.kills.len() == self.options.kills);
        report.claim(
            "results_back_in_time",
            is_within && never == 0 && still == 0,
        );
        report.claim("none_stays_degraded", self.unsettled == 0 && failed == 0);
        report.claim(
            "none_lost",
            sum(|it| it.lost) == 0 && sum(|it| it.expected) > 0,
        );
        report.claim("none_doubled", sum(|it| it.doubled) == 0);
        report.claim("none_wrong", sum(|it| it.wrong + it.taken_back) == 0);
        report
    }

    fn say(&self, application: usize, written: &[Written]) -> Said {
        let load = &self.loads[application];
        let reference = results(load.family, self.rate, &self.inputs[application]);
        let files = written.iter().filter(|it| it.application == application);
        let files: Vec<&Written> = files.collect();
        let rows = files.iter().flat_map(|it| it.rows.iter().copied());
        let mut right: Vec<(Instant, Row)> =
            rows.filter(|(_, row)| reference.contains(row)).collect();
        right.sort_unstable();
        Said {
            verdict: judge(&reference, self.until_ms[application], &files, self.kills),
            recoveries: recoveries(
                application,
                load.owner,
                self.asked[application],
                &right,
                self.kills,
            ),
            sinks: files.iter().filter(|it| !it.rows.is_empty()).count(),
        }
    }

    /// A line for each application.
    fn table(&self, said: &[Said]) -> String {
        let mut text = format!(
            "{:<12} {:<4} {:<10} {:>5} {:>8} {:>8} {:>8} {:>9} {:>6} {:>6} {:>6} {:>8}\n",
            "application",
            "at",
            "status",
            "sinks",
            "results",
            "lost",
            "doubled",
            "rewritten",
            "wrong",
            "hit",
            "never",
            "worst ms"
        );
        for ((load, said), status) in self.loads.iter().zip(said).zip(self.statuses) {
            let never = said.recoveries.iter();
            let never = never.filter(|it| matches!(it, Recovery::Never | Recovery::StillAway));
            let worst = said.recoveries.iter().filter_map(|it| match it {
                Recovery::After(time) | Recovery::AfterStart(time) => Some(*time),
                Recovery::Never | Recovery::StillAway => None,
            });
            let worst = worst
                .max()
                .map_or_else(|| "-".to_owned(), |it| it.as_millis().to_string());
            let it = said.verdict;
            writeln!(
                text,
                "{:<12} n{:<3} {status:<10} {:>5} {:>8} {:>8} {:>8} {:>9} {:>6} {:>6} {:>6} {worst:>8}",
                load.name,
                load.owner + 1,
                said.sinks,
                it.expected,
                it.lost,
                it.doubled,
                it.rewritten,
                it.wrong + it.taken_back,
                said.recoveries.len(),
                never.count(),
            )
            .expect("writing into memory does not fail");
        }
        text.push('\n');
        text
    }
}

/// Times in their order.
struct Times(Vec<Duration>);

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        Self(times)
    }

    /// The time that this fraction of all do not exceed; nothing where there is none.
    fn quantile(&self, fraction: f64) -> Option<Duration> {
        let rank = (convert::count_to_f64(convert::size(self.0.len())) * fraction).ceil();
        let index = usize::try_from(convert::round(rank)).ok()?.checked_sub(1)?;
        self.0.get(index).copied()
    }

    fn tell(&self, name: &str, report: &mut Report) {
        for (word, fraction) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            if let Some(time) = self.quantile(fraction) {
                report.number(&format!("{name}_{word}"), time.as_secs_f64() * 1e3);
            }
        }
    }
}
