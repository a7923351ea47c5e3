//! What an experiment on the prototype asks of its testbed: the streams and the applications of a workload.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use composition::policy::Policy;
use model::{Clock, Rng, convert};
use node::node::{ApplicationStatus, Composition, Failure, Placed};

use super::Options;
use crate::experiment::workload::Workload;
use crate::local::bed::Bed;
use crate::local::fault::number;
use crate::local::interrupt::Interrupt;
use crate::local::process;
use crate::local::shape;
use crate::local::up;

/// How a request went.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// From the request to its answer.
    pub(super) composed: Duration,
    /// From the request to the first row at its sink; nothing where none came in time.
    pub(super) first_result: Option<Duration>,
    /// The answer.
    pub(super) composition: Composition,
}

/// For how long a first result is waited for. Unit: time. Source: guess; five times what is promised.
const FIRST_RESULT_WAIT: Duration = Duration::from_secs(10);

/// How often it is looked for. Unit: time. Source: guess; below what a round trip differs by.
const FIRST_RESULT_INTERVAL: Duration = Duration::from_millis(5);

/// How long each stream plays. Unit: time. Source: longer than 300 requests take, four at a time, that are all answered and get their first
/// results at the last moment.
const STREAM_TIME: Duration = Duration::from_secs(3600);

/// The columns of the streams.
const COLUMNS: &str = "time = \"int64\", key = \"int64\", value = \"int64\", price = \"float64\"";

/// Brings so many nodes up, which compose by a policy.
///
/// # Errors
/// When they do not come up; nothing is left of them then.
pub(super) fn up<'a>(
    options: &'a Options,
    nodes: u32,
    seed: u64,
    policy: &dyn Policy,
    interrupt: &'a Interrupt,
) -> anyhow::Result<Bed<'a>> {
    let wanted = up::Options {
        nodes,
        program: PathBuf::new(),
        arguments: vec!["--set".to_owned(), format!("offer.cpu={}", options.cores)],
        shape: Some(shape::Options {
            latency: options.latency.clone(),
            seed,
            policy: Some(policy.name().to_owned()),
            workers: Some(std::num::NonZeroUsize::MIN),
            ..shape::Options::default()
        }),
        netns: None,
    };
    Bed::up(&options.folder, &wanted, interrupt)
}

impl Bed<'_> {
    /// What a round trip takes on average between its nodes.
    pub(super) fn mean_round_trip(&self) -> Duration {
        let area = self.testbed.area.as_ref();
        let millis = area.map_or(0.0, |area| area.mean_round_trip_ms);
        Duration::from_secs_f64(millis / 1e3)
    }

    /// Publishes all streams of a workload, of rows that are drawn, and waits until each is found.
    pub(super) fn publish_all(
        &self,
        workload: &Workload,
        rng: &Rng,
    ) -> anyhow::Result<Vec<String>> {
        let every = Duration::from_secs_f64(1.0 / workload.settings().rows_per_second);
        let hosts = self.testbed.nodes.len();
        let mut names = Vec::new();
        for host in 0..hosts {
            for name in workload.published(host) {
                let rows = rows(every, &mut rng.keyed(&name));
                let file = format!("{name}.csv");
                std::fs::write(self.files().join(&file), rows)?;
                let text = format!(
                    "connector = \"file\"\npath = \"{file}\"\ntime = {{ field = \"time\", unit = \"ms\" }}\n\
                     schema = {{ {COLUMNS} }}\nspeed = 1.0\nrate = {}\n",
                    workload.settings().rows_per_second
                );
                self.announce(host, &name, &text)?;
                names.push(name);
            }
        }
        for (number, name) in names.iter().enumerate() {
            self.await_stream(number % hosts, name)?;
        }
        Ok(names)
    }

    /// How long a row is under way between the hosts of a composition: from its source, or from the last operator that ran already.
    pub(super) fn way(&self, composition: &Composition, is_whole: bool) -> Duration {
        let Some(area) = &self.testbed.area else {
            return Duration::ZERO;
        };
        // Chains only: what is on the way, in order.
        let rank = |kind: &str| match kind {
            "source" => 0,
            "sink" => 2,
            _ => 1,
        };
        let mut placed: Vec<&Placed> = composition.operators.iter().collect();
        placed.sort_by_key(|it| (rank(&it.kind), it.name.as_str()));
        let shared = placed
            .iter()
            .rposition(|it| it.shared && rank(&it.kind) == 1);
        let begin = shared.filter(|_| !is_whole).unwrap_or(0);
        let hosts = placed[begin..]
            .iter()
            .filter_map(|it| number(&it.host).ok());
        let hosts: Vec<usize> = hosts.map(|it| convert::index(u64::from(it)) - 1).collect();
        let ways = hosts.windows(2).map(|way| area.one_way[way[0]][way[1]]);
        ways.sum()
    }

    /// Asks for the application of a request and waits for its first result.
    ///
    /// # Errors
    /// With what the node said where it did not compose it, or when this process was told to stop.
    pub(super) fn request(&self, workload: &Workload, number: usize) -> Result<Asked, Failure> {
        let file = self.result(number);
        let text = application(workload, number, &file);
        let start = self.clock.now();
        let composition = self.ask(workload.requests()[number].host, text)?;
        let composed = self.clock.now().since(start);
        let until = start + FIRST_RESULT_WAIT;
        let mut first_result = None;
        while first_result.is_none() && self.clock.now() < until && self.interrupt.check().is_ok() {
            let length = std::fs::metadata(&file).map_or(0, |it| it.len());
            if length > 0 {
                first_result = Some(self.clock.now().since(start));
            } else if process::pause(FIRST_RESULT_INTERVAL).is_err() {
                break;
            }
        }
        Ok(Asked {
            composed,
            first_result,
            composition,
        })
    }

    /// How the application of a request fares, as its hosts say.
    pub(super) fn fares(&self, workload: &Workload, number: usize) -> Option<ApplicationStatus> {
        let host = workload.requests()[number].host;
        self.status(host, &name(number)).ok()
    }

    fn result(&self, number: usize) -> PathBuf {
        self.files().join(format!("{}.jsonl", name(number)))
    }
}

fn name(request: usize) -> String {
    format!("request-{request}")
}

/// Rows as CSV, one after each interval.
fn rows(every: Duration, rng: &mut Rng) -> String {
    let mut text = "time,key,value,price\n".to_owned();
    let count = STREAM_TIME.as_nanos() / every.as_nanos().max(1);
    for row in 0..count {
        let time = BEGIN_MS + row * every.as_nanos() / 1_000_000;
        let (key, value, price) = (rng.below(10), rng.below(VALUES), rng.fraction() * 100.0);
        writeln!(text, "{time},{key},{value},{price:.2}")
            .expect("writing into memory does not fail");
    }
    text
}

/// When event time begins, which means nothing. Unit: milliseconds since 1970.
const BEGIN_MS: u128 = 1_700_000_000_000;

/// How many values there are.
const VALUES: u64 = 1_000;

/// The application of a request: operators that compute what their kinds' numbers say, so that those of one kind are equal
/// wherever they stand, and others are not. Filters let nine rows of ten pass.
fn application(workload: &Workload, number: usize, result: &Path) -> String {
    let request = &workload.requests()[number];
    let mut text = format!(
        "name = \"{}\"\n[qos]\nlatency = \"{}ms\"\n[source.rows]\nstream = \"{}\"\n",
        name(number),
        request.target.as_millis(),
        workload.stream(number),
    );
    let mut from = "rows".to_owned();
    for (index, (kind, cost)) in workload.operators(number).enumerate() {
        let operator = format!("operator-{}", index + 1);
        let what = match kind % 2 {
            0 => format!("use = \"filter\"\nwhere = \"value >= {}\"\n", kind % 100),
            _ => format!(
                "use = \"map\"\n[operator.{operator}.select]\nkey = \"key\"\nvalue = \"value\"\nprice = \"price * {kind}.0\"\n"
            ),
        };
        let cost = cost.as_micros();
        write!(
            text,
            "[operator.{operator}]\nfrom = \"{from}\"\ncost = \"{cost}us\"\n{what}"
        )
        .expect("writing into memory does not fail");
        from = operator;
    }
    let result = result.display();
    write!(
        text,
        "[sink.out]\nfrom = \"{from}\"\nconnector = \"file\"\npath = \"{result}\"\n"
    )
    .expect("writing into memory does not fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::prototype::settings;

    #[test]
    fn what_is_asked_for_is_an_application() {
        let settings = settings(8, 40);
        let workload = Workload::draw(&settings, &Rng::from_seed(1));
        for number in 0..40 {
            let text = application(&workload, number, Path::new("out.jsonl"));
            let count = text.matches("[operator.operator-").count();
            assert!(count >= 2, "{text}");
            toml::from_str::<toml::Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        let rows = rows(Duration::from_secs(100), &mut Rng::from_seed(1));
        assert_eq!(rows.lines().count(), 37);
    }
}
