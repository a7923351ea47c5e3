//! The source `host`: what the machine that this runs on is doing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use engine::batch::ROWS_MAX;
use engine::operator::{ArgumentError, Parameter, Shape};
use model::plan::Live;
use model::{
    Arguments, Clock, DataType, EventTime, Field, Instant, Scalar, Schema, Value, convert,
};
use sysinfo::{
    DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Networks,
    ProcessRefreshKind, ProcessesToUpdate, System,
};

use super::cell::Unit;
use super::options::{TimeOption, wrong};
use super::typed::Assembly;
use super::{Context, Opened, Pace, Reading, Source, SourceError, SourceKind};

/// The kind.
pub(super) const KIND: SourceKind = SourceKind {
    name: "host",
    doc: "The load of this machine: processors, memory, disks, network.",
    parameters: &[Parameter {
        name: "every",
        shape: Shape::Duration,
        required: false,
        doc: "The time from one row to the next, 100 ms to 1 h; by default 1 s.",
    }],
    live: |_| {
        Some(Live {
            speed: 1.0,
            is_by_clock: true,
        })
    },
    open,
};

pub(crate) const EVERY_DEFAULT: Duration = Duration::from_secs(1);
const EVERY_MIN: Duration = Duration::from_millis(100);
const EVERY_MAX: Duration = Duration::from_secs(3600);

/// How many rows wait to be read before sampling pauses.
///
/// Unit: rows. Source: guess; more than a reader ever falls behind.
const ROWS_AHEAD: usize = 16;

const _: () = assert!(ROWS_AHEAD <= ROWS_MAX, "what waits fits into one batch");

/// The columns. Memory is in bytes, fractions are of the whole; disks and network are sums over all devices
/// and over all interfaces that lead out of the machine.
const COLUMNS: [(&str, DataType); 13] = [
    ("time", DataType::Timestamp),
    ("host", DataType::Utf8),
    ("cpu", DataType::Float64),
    ("memory", DataType::Float64),
    ("memory_used", DataType::Int64),
    ("memory_total", DataType::Int64),
    ("swap_used", DataType::Int64),
    ("load1", DataType::Float64),
    ("processes", DataType::Int64),
    ("disk_read_bytes_per_second", DataType::Float64),
    ("disk_written_bytes_per_second", DataType::Float64),
    ("network_received_bytes_per_second", DataType::Float64),
    ("network_sent_bytes_per_second", DataType::Float64),
];

/// A row, in the order of the columns.
type Row = [serde_json::Value; COLUMNS.len()];

fn open(arguments: &Arguments, context: &Context<'_>) -> Opened<dyn Source> {
    let every = match arguments.find("every") {
        None => EVERY_DEFAULT,
        Some(value) => every(value).map_err(|error| vec![error])?,
    };
    let fields = COLUMNS.map(|(name, data_type)| Field::new(name, data_type));
    let schema = Schema::new(fields.to_vec()).expect("the columns differ by name");
    let time = TimeOption {
        field: "time".to_owned(),
        unit: None,
    };
    Ok(Box::new(Host {
        assembly: Assembly::new(&schema, Some(&time), Some(Unit::Microseconds))
            .expect("`time` is a column of times"),
        schema,
        every,
        clock: Arc::clone(&context.clock),
        epoch: context.epoch,
        sampling: None,
    }))
}

fn every(value: &Value) -> Result<Duration, ArgumentError> {
    let Value::Scalar(Scalar::Micros(micros)) = value else {
        return Err(wrong("every", format!("{value:?} is no time span"), "1s"));
    };
    let every = Duration::from_micros(u64::try_from(*micros).unwrap_or(0));
    match (EVERY_MIN..=EVERY_MAX).contains(&every) {
        true => Ok(every),
        false => Err(wrong(
            "every",
            format!("{every:?} is out of range"),
            "100ms to 1h",
        )),
    }
}

/// The source. Nothing is sampled before somebody reads.
struct Host {
    schema: Schema,
    assembly: Assembly,
    every: Duration,
    clock: Arc<dyn Clock>,
    epoch: EventTime,
    sampling: Option<Sampling>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// A thread that samples, until this is dropped.
struct Sampling {
    rows: Receiver<Result<Row, sysinfo::Error>>,
    /// Nothing is ever sent: that it is gone ends the thread.
    _stop: SyncSender<()>,
}

impl Source for Host {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn pace(&self) -> Pace {
        // Event times are those of the readings, so that time passes for windows while none comes.
        Pace {
            speed: Some(1.0),
            is_live: true,
            ..Pace::default()
        }
    }

    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError> {
        if self.sampling.is_none() {
            self.sampling = Some(self.start().map_err(|error| failure(&error.to_string()))?);
        }
        let Some(Sampling { rows, .. }) = &self.sampling else {
            return Ok(Reading::Idle);
        };
        let mut wait = wait;
        loop {
            match rows.recv_timeout(wait) {
                Ok(Ok(row)) => {
                    let mut columns = row.iter().enumerate();
                    let outcome =
                        columns.try_for_each(|(index, value)| self.assembly.json(index, value));
                    self.assembly.close(outcome, b"");
                }
                Ok(Err(error)) => return Err(failure(&error.to_string())),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failure("sampling has ended"));
                }
                Err(RecvTimeoutError::Timeout) if self.assembly.is_empty() => {
                    return Ok(Reading::Idle);
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Reading::Records(self.assembly.finish()));
                }
            }
            wait = Duration::ZERO;
        }
    }
}

fn failure(reason: &str) -> SourceError {
    SourceError {
        place: "host".to_owned(),
        reason: reason.to_owned(),
    }
}

impl Host {
    fn start(&self) -> Result<Sampling, std::io::Error> {
        let (row_sender, rows) = sync_channel(ROWS_AHEAD);
        let (stop, stopped) = sync_channel(0);
        let (every, clock, epoch) = (self.every, Arc::clone(&self.clock), self.epoch);
        let sample = move || {
            let mut machine = match Machine::new(clock.now()) {
                Ok(machine) => machine,
                Err(error) => {
                    // Nobody is left to tell if the reader is gone.
                    let _ = row_sender.send(Err(error));
                    return;
                }
            };
            // The load of processors is a difference, which needs a moment.
            let mut next = clock.now() + MINIMUM_CPU_UPDATE_INTERVAL;
            while stopped.recv_timeout(next.since(clock.now())) == Err(RecvTimeoutError::Timeout) {
                let row = machine.sample(clock.now(), epoch);
                if row_sender.send(Ok(row)).is_err() {
                    return;
                }
                next = (next + every).max(clock.now());
            }
        };
        std::thread::Builder::new()
            .name("host".to_owned())
            .spawn(sample)?;
        Ok(Sampling { rows, _stop: stop })
    }
}

/// The machine as the system tells of it.
struct Machine {
    name: Option<String>,
    system: System,
    disks: Disks,
    networks: Networks,
    /// When it was last looked at.
    seen: Instant,
}

impl Machine {
    fn new(now: Instant) -> Result<Self, sysinfo::Error> {
        let mut system = System::new()?;
        system.refresh_cpu_usage();
        let io = DiskRefreshKind::nothing().with_io_usage();
        Ok(Self {
            name: System::host_name().ok(),
            system,
            disks: Disks::new_with_refreshed_list_specifics(io)?,
            networks: Networks::new_with_refreshed_list()?,
            seen: now,
        })
    }

    fn sample(&mut self, now: Instant, epoch: EventTime) -> Row {
        let system = &mut self.system;
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let process = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, process);
        let io = DiskRefreshKind::nothing().with_io_usage();
        self.disks.refresh_specifics(true, io);
        self.networks.refresh(true);
        let seconds = now.since(self.seen).as_secs_f64().max(f64::MIN_POSITIVE);
        self.seen = now;

        let rate = |bytes: u64| convert::count_to_f64(bytes) / seconds;
        let (read, written) = self.disk_bytes();
        let (received, sent) = self.network_bytes();
        let (used, total) = (self.system.used_memory(), self.system.total_memory());
        let memory = convert::count_to_f64(used) / convert::count_to_f64(total.max(1));
        let time = epoch.plus(convert::micros(now.since(Instant::ZERO)));
        [
            time.0.into(),
            self.name.clone().into(),
            (f64::from(self.system.global_cpu_usage()) / 100.0)
                .clamp(0.0, 1.0)
                .into(),
            memory.into(),
            used.into(),
            total.into(),
            self.system.used_swap().into(),
            System::load_average().ok().map(|load| load.one).into(),
            self.system.processes().len().into(),
            rate(read).into(),
            rate(written).into(),
            rate(received).into(),
            rate(sent).into(),
        ]
    }

    /// What disks read and wrote since they were last looked at. A disk that is mounted twice counts once.
    fn disk_bytes(&self) -> (u64, u64) {
        let mut names = BTreeSet::new();
        let mut sums = (0, 0);
        for disk in self.disks.iter().filter(|disk| names.insert(disk.name())) {
            let usage = disk.usage();
            sums.0 += usage.read_bytes;
            sums.1 += usage.written_bytes;
        }
        sums
    }

    /// What interfaces received and sent since they were last looked at, the one to the machine itself left
    /// out.
    fn network_bytes(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for network in self.networks.values() {
            let addresses = network.ip_networks();
            if !addresses.iter().any(|network| network.addr.is_loopback()) {
                sums.0 += network.received();
                sums.1 += network.transmitted();
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    use super::*;
    use crate::clock::MachineClock;

    #[test]
    fn the_first_row_comes_soon_and_says_what_can_be() {
        let clock = MachineClock::start();
        let context = Context {
            folder: Path::new("."),
            epoch: clock.epoch(),
            clock: Arc::new(clock),
        };
        let arguments = Arguments::from_iter([("every", Value::Scalar(Scalar::Micros(100_000)))]);
        let mut source = open(&arguments, &context).unwrap();
        let mut rows = 0;
        while rows < 3 {
            let reading = source.read(Duration::from_secs(10)).unwrap();
            let Reading::Records(records) = reading else {
                panic!("no row within ten seconds: {reading:?}");
            };
            assert_eq!(records.bad, []);
            let is_soon = context.clock.now() < Instant::ZERO + Duration::from_secs(2);
            assert!(rows > 0 || is_soon, "the first row is late");
            let (cpu, _) = source.schema().find("cpu").unwrap();
            let (memory, _) = source.schema().find("memory").unwrap();
            for index in [cpu, memory] {
                let column = records.columns.column(index).as_primitive::<Float64Type>();
                let is_fraction = |value: &f64| (0.0..=1.0).contains(value);
                assert!(column.values().iter().all(is_fraction), "{column:?}");
            }
            assert!(records.times.iter().all(|time| *time > context.epoch.0));
            assert!(records.times.is_sorted());
            rows += records.count;
        }
    }

    #[test]
    fn rows_are_neither_too_frequent_nor_too_rare() {
        let is_accepted = |micros| every(&Value::Scalar(Scalar::Micros(micros))).is_ok();
        assert!(is_accepted(100_000));
        assert!(is_accepted(3_600_000_000));
        assert!(!is_accepted(99_999));
        assert!(!is_accepted(3_600_000_001));
        assert!(!is_accepted(-1));
    }
}
