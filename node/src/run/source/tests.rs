use std::sync::mpsc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use engine::runtime::Runtime;
use engine::{
    Batch, Config, Deployed, Deployment, OperatorDeployment, OperatorPart, SinkDeployment,
    SourcePart, columns, operator,
};
use model::plan::Builder;
use model::{DataType, Field, NodeId, Qos, Scalar, Schema, SourceName, Value};

use super::*;
use crate::clock::MachineClock;

mod again;

const ORIGIN: Origin = Origin(1);

/// A source that gives what it is told to.
#[derive(Debug)]
struct Scripted {
    schema: Schema,
    pace: Pace,
    readings: mpsc::Receiver<Reading>,
}

impl Source for Scripted {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError> {
        match self.readings.recv_timeout(wait) {
            Ok(reading) => Ok(reading),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(Reading::Idle),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(Reading::End),
        }
    }
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("x", DataType::Int64)]).unwrap()
}

/// Records at these event times, in milliseconds.
fn records(millis: &[i64]) -> Reading {
    let column: ArrayRef = Arc::new(Int64Array::from(millis.to_vec()));
    let count = u32::try_from(millis.len()).unwrap();
    Reading::Records(Records {
        count,
        columns: RecordBatch::try_new(columns::to_arrow(&schema()), vec![column]).unwrap(),
        times: millis.iter().map(|millis| millis * 1000).collect(),
        places: (0..count).collect(),
        bad: Vec::new(),
    })
}

/// A source, a window of so many milliseconds where there is to be one, and a sink.
fn deploy(runtime: &Runtime, window_millis: Option<i64>) -> Deployed {
    let mut plan = Builder::new("test", Qos::default()).unwrap();
    let name = SourceName::Published {
        publisher: NodeId([0; 32]),
        name: "s".into(),
    };
    let outputs = vec![
        ("out".to_owned(), schema()),
        ("bad".to_owned(), engine::intake::bad_schema()),
    ];
    let mut stream = plan.source("s", name, outputs).unwrap().port(0).unwrap();
    let mut operators = Vec::new();
    if let Some(millis) = window_millis {
        let kind = operator::find("window").unwrap();
        let span = vec![("tumbling".to_owned(), Scalar::Micros(millis * 1000))];
        let select = vec![("n".to_owned(), Scalar::from("count(*)"))];
        let arguments = [
            ("window", Value::Table(span)),
            ("select", Value::Table(select)),
        ];
        let compiled = (kind.compile)(&arguments.into_iter().collect(), &[schema()]).unwrap();
        let (parameters, outputs) = (compiled.parameters.clone(), compiled.outputs.clone());
        let accepted = plan
            .operator("w", "window", parameters, &[stream], outputs)
            .unwrap();
        stream = accepted.port(0).unwrap();
        operators.push(OperatorPart::Here(OperatorDeployment {
            compiled,
            numbering: kind.numbering,
            declared: None,
        }));
    }
    plan.sink("k", stream).unwrap();
    let deployed = runtime.deploy(Deployment {
        plan: plan.build().unwrap(),
        origins: vec![ORIGIN],
        sources: vec![SourcePart::Here],
        operators,
        sinks: vec![Some(SinkDeployment {
            target: Duration::from_secs(1),
        })],
    });
    let deployed = deployed.unwrap();
    runtime.handle().start(deployed.application);
    deployed
}

/// Runs a scripted source until its script ends and hands every batch with rows to `each`, which may go on
/// with the script.
fn run(
    pace: Pace,
    window_millis: Option<i64>,
    script: mpsc::SyncSender<Reading>,
    readings: mpsc::Receiver<Reading>,
    mut each: impl FnMut(&Batch, &mut Option<mpsc::SyncSender<Reading>>),
) {
    let source = Box::new(Scripted {
        schema: schema(),
        pace,
        readings,
    });
    let mut script = Some(script);
    run_source(source, window_millis, |batch| each(batch, &mut script));
}

/// Runs a source until it ends and hands every batch with rows to `each`.
fn run_source(source: Box<dyn Source>, window_millis: Option<i64>, mut each: impl FnMut(&Batch)) {
    let clock = Arc::new(MachineClock::start());
    let runtime = Runtime::start(Config::default(), 1, clock.clone()).unwrap();
    let deployed = deploy(&runtime, window_millis);
    let place = Place {
        handle: runtime.handle(),
        application: deployed.application,
        id: deployed.sources[0].unwrap(),
        idle_after: Duration::from_millis(5),
    };
    let thread = Thread::new(place, source, ORIGIN, clock, None);
    std::thread::scope(|scope| {
        scope.spawn(move || thread.run());
        while let Ok((channel, batch)) = runtime
            .handle()
            .receive(deployed.application, deployed.sinks[0].unwrap())
        {
            if !batch.rows.is_empty() {
                each(&batch);
            }
            runtime
                .handle()
                .acknowledge(deployed.sinks[0].unwrap(), channel, &batch);
        }
    });
}

#[test]
fn a_replay_goes_at_the_speed_of_its_event_times() {
    let (script, readings) = mpsc::sync_channel(1);
    script
        .send(records(&[1_000_000, 1_000_000, 1_000_040, 1_000_080]))
        .unwrap();
    let pace = Pace {
        speed: Some(2.0),
        ..Pace::default()
    };
    let mut arrivals = Vec::new();
    run(pace, None, script, readings, |batch, script| {
        *script = None;
        arrivals.extend(std::iter::repeat_n(batch.header.arrival, batch.rows.len()));
    });
    assert_eq!(arrivals.len(), 4, "nothing is lost");
    for (row, millis) in [(1, 0), (2, 20), (3, 40)] {
        // The clock was started before the replay.
        let passed = arrivals[row].since(Instant::ZERO);
        assert!(
            passed >= Duration::from_millis(millis),
            "row {row} came after {passed:?}"
        );
    }
}

#[test]
fn windows_close_while_a_live_source_gives_nothing() {
    let (script, readings) = mpsc::sync_channel(1);
    script.send(records(&[1_000_001])).unwrap();
    let pace = Pace {
        speed: Some(1.0),
        is_live: true,
        ..Pace::default()
    };
    let mut closed = 0;
    run(pace, Some(20), script, readings, |batch, script| {
        // The script has not ended: it was time alone that closed the window.
        assert!(script.take().is_some());
        closed += batch.rows.len();
    });
    assert_eq!(closed, 1);
}

/// A source that gives these, and nothing for a time before the last.
#[derive(Debug)]
struct Late {
    schema: Schema,
    pace: Pace,
    readings: Vec<Reading>,
    /// How often it gives nothing, and how much longer than asked for that takes.
    idle: (u32, Duration),
}

impl Source for Late {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError> {
        if self.readings.len() == 1 && self.idle.0 > 0 {
            self.idle.0 -= 1;
            let (_open, never) = mpsc::channel::<()>();
            let waited = never.recv_timeout(wait + self.idle.1);
            assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
            return Ok(Reading::Idle);
        }
        Ok(self.readings.pop().unwrap_or(Reading::End))
    }
}

/// How many rows windows of 20 ms have of two that are 10 ms apart, where nothing comes between them.
fn rows_around(is_live: bool, idle: (u32, Duration)) -> Vec<i64> {
    let source = Late {
        schema: schema(),
        pace: Pace {
            speed: Some(1.0),
            is_live,
            ..Pace::default()
        },
        readings: vec![records(&[1_000_010]), records(&[1_000_001])],
        idle,
    };
    let mut counts = Vec::new();
    run_source(Box::new(source), Some(20), |batch| {
        let columns = batch.rows.columns();
        let count = columns.column_by_name("n").unwrap();
        let count = count.as_any().downcast_ref::<Int64Array>().unwrap();
        counts.extend(count.values().iter().copied());
    });
    counts
}

#[test]
fn who_stood_still_reads_what_came_meanwhile_before_windows_close() {
    let stood = STOOD + Duration::from_millis(50);
    assert_eq!(rows_around(true, (1, stood)), [2]);
    assert_eq!(
        rows_around(true, (10, Duration::ZERO)),
        [1],
        "what a live source does not give in time is late"
    );
}

#[test]
fn what_is_there_already_is_never_late_however_slowly_it_is_read() {
    assert_eq!(rows_around(false, (10, Duration::ZERO)), [2]);
}

#[test]
fn what_a_source_drops_is_said_to_be_missing() {
    let (script, readings) = mpsc::sync_channel(1);
    let total = 400_000u64;
    let thousand = |first: i64| records(&(first..first + 1000).collect::<Vec<i64>>());
    script.send(thousand(0)).unwrap();
    let pace = Pace {
        overflow: Overflow::DropOldest,
        is_live: true,
        ..Pace::default()
    };
    let (mut rows, mut missing, mut through) = (0, 0, 0);
    run(pace, None, script, readings, |batch, script| {
        if let Some(script) = script.take() {
            // Nobody reads while the source is given the rest, of which it can hold a part.
            (1000..400_000)
                .step_by(1000)
                .for_each(|first| script.send(thousand(first)).unwrap());
        }
        assert_eq!(
            batch.header.interval.after(),
            through,
            "no index is left out"
        );
        through = batch.header.interval.through();
        rows += u64::try_from(batch.rows.len()).unwrap();
        missing += u64::from(batch.header.missing);
    });
    assert!(missing > 0, "something was dropped");
    assert_eq!((rows + missing, through), (total, total));
}

#[test]
fn what_comes_closely_leaves_together_and_nothing_is_lost() {
    let (script, readings) = mpsc::sync_channel(400);
    for millis in 0..400 {
        script.send(records(&[millis])).unwrap();
    }
    let (mut batches, mut rows) = (0, 0);
    run(Pace::default(), None, script, readings, |batch, script| {
        *script = None;
        batches += 1;
        rows += batch.rows.len();
    });
    assert_eq!(rows, 400);
    assert!(batches < 100, "{batches} batches of 400 rows");
}
