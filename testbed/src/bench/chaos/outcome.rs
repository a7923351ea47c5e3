//! What is said of a run in which hosts were killed.

use std::fmt::Write as _;
use std::time::Duration;

use model::{Instant, convert};

use super::check::{Back, Part, Recovery, Shock, Verdict, judge, recoveries};
use super::load::{Input, Load, Rate};
use super::reference::{Row, results};
use super::{Options, Report, Written};

/// All that happened.
#[derive(Debug)]
pub struct Outcome {
    pub(super) options: Options,
    pub(super) loads: Vec<Load>,
    /// The rows of the sources of each application.
    pub(super) inputs: Vec<Vec<Input>>,
    pub(super) rate: Rate,
    /// When each application was asked for.
    pub(super) asked: Vec<Instant>,
    /// Up to which window each has to have yielded all. Unit: milliseconds behind the first row.
    pub(super) until_ms: Vec<u64>,
    pub(super) shocks: Vec<Shock>,
    /// What each application is in the end.
    pub(super) statuses: Vec<String>,
    pub(super) unsettled: u64,
    pub(super) is_reference_right: bool,
    /// What sinks wrote.
    pub(super) written: Vec<Written>,
}

/// What is said of an application.
struct Said {
    verdict: Verdict,
    backs: Vec<Back>,
    sinks: usize,
}

/// What is said of all.
#[derive(Debug)]
pub struct Told {
    counts: Vec<(&'static str, u64)>,
    claims: Vec<(&'static str, bool)>,
    /// How long results were away: all of them, and by what the hosts ran that failed.
    times: Vec<(&'static str, Times)>,
    table: String,
}

impl Outcome {
    /// Compares all that sinks wrote with what they should have.
    pub fn told(&self) -> Told {
        let said: Vec<Said> = (0..self.loads.len())
            .map(|application| self.say(application))
            .collect();
        let sum = |of: fn(&Verdict) -> u64| said.iter().map(|it| of(&it.verdict)).sum::<u64>();
        let (results, lost) = (sum(|it| it.expected), sum(|it| it.lost));
        let (doubled, wrong) = (sum(|it| it.doubled), sum(|it| it.wrong));
        let taken_back = sum(|it| it.taken_back);
        let all = || said.iter().flat_map(|it| &it.backs);
        let count = |wanted| convert::size(all().filter(|it| it.recovery == wanted).count());
        let (never, still) = (count(Recovery::Never), count(Recovery::StillAway));
        let coming_back = all().filter(|it| !it.is_back).count();
        let mut times = vec![("all", Times::of(all()))];
        times.extend(Part::ALL.map(|part| {
            let of_part = all().filter(|it| it.part == part);
            (part.word(), Times::of(of_part))
        }));
        let hits: usize = self.shocks.iter().map(|it| it.hits.len()).sum();
        let not_running = self.statuses.iter().filter(|it| *it != "running").count();
        let within = times[0].1.quantile(0.99);
        let is_within = within.is_some_and(|it| it <= self.options.recovery);
        Told {
            counts: vec![
                ("nodes", u64::from(self.options.nodes)),
                ("applications", convert::size(self.loads.len())),
                ("replicas", u64::from(self.options.replicas)),
                ("active", u64::from(self.options.is_active)),
                ("kills", convert::size(hits)),
                ("results", results),
                ("lost", lost),
                ("doubled", doubled),
                ("rewritten", sum(|it| it.rewritten)),
                ("wrong", wrong),
                ("taken_back", taken_back),
                ("never_recovered", never),
                ("hit_while_away", convert::size(coming_back)),
                ("unsettled", self.unsettled),
                ("applications_not_running", convert::size(not_running)),
            ],
            claims: vec![
                ("reference_is_a_run_without_kills", self.is_reference_right),
                ("all_kills_done", hits == self.options.kills),
                (
                    "results_back_in_time",
                    is_within && never == 0 && still == 0,
                ),
                (
                    "none_stays_degraded",
                    self.unsettled == 0 && not_running == 0,
                ),
                ("none_lost", lost == 0 && results > 0),
                ("none_doubled", doubled == 0),
                ("none_wrong", wrong == 0 && taken_back == 0),
            ],
            times,
            table: self.table(&said) + &self.slow(&said),
        }
    }

    fn say(&self, application: usize) -> Said {
        let load = &self.loads[application];
        let reference = results(load.family, self.rate, &self.inputs[application]);
        let files = self
            .written
            .iter()
            .filter(|it| it.application == application);
        let files: Vec<&Written> = files.collect();
        let rows = files.iter().flat_map(|it| it.rows.iter().copied());
        let mut right: Vec<(Instant, Row)> =
            rows.filter(|(_, row)| reference.contains(row)).collect();
        right.sort_unstable();
        Said {
            verdict: judge(&reference, self.until_ms[application], &files, &self.shocks),
            backs: recoveries(
                application,
                load.owner,
                self.asked[application],
                &right,
                &self.shocks,
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
        for ((load, said), status) in self.loads.iter().zip(said).zip(&self.statuses) {
            let never = said.backs.iter().filter(|it| it.recovery.time().is_none());
            let worst = said.backs.iter().filter_map(|it| it.recovery.time());
            let worst = worst
                .max()
                .map_or_else(|| "-".to_owned(), |it| it.as_millis().to_string());
            let it = &said.verdict;
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
                said.backs.len(),
                never.count(),
            )
            .expect(INTO_MEMORY);
        }
        text.push('\n');
        text
    }

    /// What of an application's results is lost, and the first that is doubled.
    fn strange(&self, load: &Load, verdict: &Verdict) -> String {
        let mut text = String::new();
        if let Some((first, last)) = verdict.lost_ms {
            writeln!(
                text,
                "  {} lost {} results of windows that end {first} to {last} ms behind its first row",
                load.name, verdict.lost
            )
            .expect(INTO_MEMORY);
        }
        if let Some((row, before, after)) = verdict.doubled_by {
            let wrote = |host: usize, at: Instant| format!("n{} {}", host + 1, self.moment(at));
            writeln!(
                text,
                "  {} doubled {} results; first {:?} of the window that ends at {} ms, by {}, and by {}",
                load.name,
                verdict.doubled,
                row.values,
                row.end_ms,
                wrote(before.host, before.at),
                wrote(after.host, after.at),
            )
            .expect(INTO_MEMORY);
        }
        text
    }

    /// A moment by the failure before it.
    fn moment(&self, at: Instant) -> String {
        let hits = self.shocks.iter().flat_map(|it| &it.hits);
        match hits.filter(|it| it.at <= at).max_by_key(|it| it.at) {
            None => "before any failure".to_owned(),
            Some(hit) => format!(
                "{} ms after n{} failed",
                at.since(hit.at).as_millis(),
                hit.host + 1
            ),
        }
    }

    /// A line for each result that is strange, and for each time at which an application was away for too long.
    fn slow(&self, said: &[Said]) -> String {
        let ms = |time: Option<Duration>| {
            time.map_or_else(|| "never".to_owned(), |it| format!("{} ms", it.as_millis()))
        };
        let mut text = String::new();
        for (load, said) in self.loads.iter().zip(said) {
            text.push_str(&self.strange(load, &said.verdict));
            let backs = said.backs.iter().filter(|it| {
                let time = it.recovery.time();
                time.is_none_or(|time| time > self.options.recovery)
            });
            for back in backs {
                let hits = self.shocks[back.shock].hits.iter();
                let hosts: Vec<String> = hits.map(|it| format!("n{}", it.host + 1)).collect();
                writeln!(
                    text,
                    "  {} away too long after failure {} of {}, which ran {}: first result {}, first new result {}{}",
                    load.name,
                    back.shock + 1,
                    hosts.join(" and "),
                    back.part.word(),
                    ms(back.any),
                    ms(back.recovery.time()),
                    match back.recovery {
                        Recovery::AfterStart(_) if back.is_back => ", from when it began to come back",
                        Recovery::After(_) | Recovery::Never if back.is_back => "",
                        _ => ", not back from what was before",
                    },
                )
                .expect(INTO_MEMORY);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

impl Told {
    /// Adds figures to a report, whose names begin with `prefix`.
    pub fn figures(&self, prefix: &str, report: &mut Report) {
        for (name, count) in &self.counts {
            report.count(&format!("{prefix}{name}"), *count);
        }
        for (word, times) in &self.times {
            let name = match *word {
                "all" => format!("{prefix}recovery_ms"),
                part => format!("{prefix}recovery_ms.{part}"),
            };
            times.tell(&name, report);
        }
    }

    /// Adds what must hold to a report, with names that begin with `prefix`.
    pub fn claims(&self, prefix: &str, report: &mut Report) {
        for (name, holds) in &self.claims {
            report.claim(&format!("{prefix}{name}"), *holds);
        }
    }

    /// Tables for people: of each application, of what was counted, and of how long results were away.
    pub fn tables(&self) -> String {
        let mut text = self.table.clone();
        for (name, count) in &self.counts {
            writeln!(text, "  {name:<24} {count}").expect(INTO_MEMORY);
        }
        text.push('\n');
        for (word, times) in &self.times {
            let ms = |fraction| {
                let time = times
                    .quantile(fraction)
                    .map(|it| it.as_millis().to_string());
                time.unwrap_or_else(|| "-".to_owned())
            };
            let (count, middle, most, all) = (times.0.len(), ms(0.5), ms(0.99), ms(1.0));
            writeln!(
                text,
                "  back after, {word:<10} {count:>5} times: p50 {middle} ms, p99 {most} ms, max {all} ms"
            )
            .expect(INTO_MEMORY);
        }
        text.push('\n');
        text
    }
}

const INTO_MEMORY: &str = "writing into memory does not fail";

impl Recovery {
    const fn time(self) -> Option<Duration> {
        match self {
            Self::After(time) | Self::AfterStart(time) => Some(time),
            Self::Never | Self::StillAway => None,
        }
    }
}

/// Times in their order.
#[derive(Debug)]
struct Times(Vec<Duration>);

impl Times {
    fn of<'a>(backs: impl Iterator<Item = &'a Back>) -> Self {
        let times = backs.filter_map(|it| it.recovery.time());
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
