//! A testbed that an experiment brings up, asks, and takes down.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use composition::policy::Policy;
use model::{Clock, Rng, convert};
use node::api::{ApplyBody, PublishBody};
use node::client::{Client, encoded};
use node::clock::MachineClock;
use node::node::{ApplicationStatus, Composition, Failure, Placed};

use super::Options;
use crate::cli::note;
use crate::experiment::workload::Workload;
use crate::local::api;
use crate::local::down;
use crate::local::fault::number;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::launch::log_end;
use crate::local::process::{self, Process};
use crate::local::shape;
use crate::local::up::{self, Testbed};

/// Nodes that know one another, and files for their sources and sinks. They are ended when it is dropped.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    folder: &'a Folder,
    pub(super) interrupt: &'a Interrupt,
    files: tempfile::TempDir,
    pub(super) testbed: Testbed,
    clients: Vec<Client>,
    pub(super) clock: MachineClock,
}

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

/// For how long a published stream is looked for. Unit: time. Source: guess; a few rounds of what holders refresh.
const PUBLISHED_WAIT: Duration = Duration::from_secs(60);

/// How often it is looked for. Unit: time. Source: guess; below what a round trip differs by.
const FIRST_RESULT_INTERVAL: Duration = Duration::from_millis(5);

/// How long each stream plays. Unit: time. Source: longer than 300 requests take, four at a time, that are all answered and get their first
/// results at the last moment.
const STREAM_TIME: Duration = Duration::from_secs(3600);

/// The columns of the streams.
const COLUMNS: &str = "time = \"int64\", key = \"int64\", value = \"int64\", price = \"float64\"";

impl<'a> Bed<'a> {
    /// Brings so many nodes up, which compose by a policy.
    pub(super) fn up(
        options: &'a Options,
        nodes: u32,
        seed: u64,
        policy: &dyn Policy,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        let folder = &options.folder;
        let wanted = up::Options {
            nodes,
            program: std::path::PathBuf::new(),
            arguments: vec!["--set".to_owned(), format!("offer.cpu={}", options.cores)],
            shape: Some(shape::Options {
                latency: options.latency.clone(),
                seed,
                policy: Some(policy.name().to_owned()),
                workers: Some(std::num::NonZeroUsize::MIN),
                clocks: Vec::new(),
            }),
            netns: None,
        };
        let testbed = up::up(folder, &wanted, interrupt)?;
        // From here on it is taken down, whatever happens.
        let mut bed = Self {
            folder,
            interrupt,
            files: tempfile::tempdir()?,
            testbed,
            clients: Vec::new(),
            clock: MachineClock::start(),
        };
        for node in 1..=nodes {
            let data = folder.node(node);
            let token = std::fs::read_to_string(data.join("token"))?;
            let address = api::address(&data)?.to_string();
            bed.clients
                .push(Client::new(address, Some(token.trim().to_owned())));
        }
        Ok(bed)
    }

    /// What a round trip takes on average between its nodes.
    pub(super) fn mean_round_trip(&self) -> Duration {
        let area = self.testbed.area.as_ref();
        let millis = area.map_or(0.0, |area| area.mean_round_trip_ms);
        Duration::from_secs_f64(millis / 1e3)
    }

    /// Publishes all streams of a workload, of rows that are drawn, and waits until each is found.
    pub(super) fn publish(&self, workload: &Workload, rng: &Rng) -> anyhow::Result<Vec<String>> {
        let every = Duration::from_secs_f64(1.0 / workload.settings().rows_per_second);
        let mut names = Vec::new();
        for (host, client) in self.clients.iter().enumerate() {
            for name in workload.published(host) {
                let rows = rows(every, &mut rng.keyed(&name));
                let file = format!("{name}.csv");
                std::fs::write(self.files.path().join(&file), rows)?;
                let text = format!(
                    "connector = \"file\"\npath = \"{file}\"\ntime = {{ field = \"time\", unit = \"ms\" }}\n\
                     schema = {{ {COLUMNS} }}\nspeed = 1.0\nrate = {}\n",
                    workload.settings().rows_per_second
                );
                let body = PublishBody {
                    name: name.clone(),
                    file: format!("{name}.toml"),
                    text,
                    folder: self.files.path().to_owned(),
                };
                let published = client.post("/v1/streams", &body);
                published.map_err(|it| anyhow!("{name}: {}", it.message))?;
                names.push(name);
            }
        }
        for (number, name) in names.iter().enumerate() {
            let asked = number % self.clients.len();
            let until = self.clock.now() + PUBLISHED_WAIT;
            while self.look_up(asked, name).is_err() {
                self.interrupt.check()?;
                anyhow::ensure!(self.clock.now() < until, "{name} is not found");
                process::pause(FIRST_RESULT_INTERVAL)?;
            }
        }
        Ok(names)
    }

    /// How long a node takes to look a stream up.
    pub(super) fn look_up(&self, node: usize, name: &str) -> anyhow::Result<Duration> {
        let start = self.clock.now();
        let found = self.clients[node].get(&format!("/v1/dht/{}", encoded(name)));
        let took = self.clock.now().since(start);
        let found = found.map_err(|it| anyhow!(it.message))?;
        let is_found = found.as_array().is_some_and(|entries| !entries.is_empty());
        is_found
            .then_some(took)
            .with_context(|| format!("nothing stands under {name}"))
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
    pub(super) fn ask(&self, workload: &Workload, number: usize) -> Result<Asked, Failure> {
        self.interrupt
            .check()
            .map_err(|error| Failure::new(node::node::FailureKind::Failed, error.to_string()))?;
        let file = self.result(number);
        let body = ApplyBody {
            file: "app.toml".to_owned(),
            text: application(workload, number, &file),
            folder: self.files.path().to_owned(),
            spread: false,
        };
        let start = self.clock.now();
        let answer = self.clients[workload.requests()[number].host].post("/v1/apps", &body)?;
        let composed = self.clock.now().since(start);
        let composition = serde_json::from_value(answer)
            .map_err(|error| Failure::new(node::node::FailureKind::Failed, error.to_string()))?;
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
    pub(super) fn status(&self, workload: &Workload, number: usize) -> Option<ApplicationStatus> {
        let client = &self.clients[workload.requests()[number].host];
        let shown = client.get(&format!("/v1/apps/{}", name(number))).ok()?;
        serde_json::from_value(shown).ok()
    }

    fn result(&self, number: usize) -> std::path::PathBuf {
        self.files.path().join(format!("{}.jsonl", name(number)))
    }
}

impl Bed<'_> {
    /// Says what nodes said last that have ended by themselves: figures would not tell.
    fn tell_ended(&self) {
        let Ok(running) = Process::all_of(self.folder) else {
            return;
        };
        for node in &self.testbed.nodes {
            if !running.iter().any(|process| process.node == node.number) {
                let log = log_end(self.folder, node.number).join("\n  ");
                note(&format!(
                    "node {} has ended; it said last:\n  {log}",
                    node.number
                ));
            }
        }
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        self.tell_ended();
        if let Err(error) = down::down(self.folder) {
            note(&format!("the testbed could not be ended: {error:#}"));
        }
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
