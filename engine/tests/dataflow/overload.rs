//! More rows than can be worked off: where sources drop the oldest, those who are late share what there is, and what is left out is told.

use std::collections::VecDeque;
use std::time::Duration;

use engine::intake::{Intake, Records};
use engine::report::RoleReport;
use engine::scheduler::Worker;
use engine::{Config, Engine, SinkDeployment};
use model::{Instant, convert};

use crate::support::{Flow, Record, Started, origin, reading, started};

/// How many rows each tenant gets in a millisecond, and how long one takes: each of them alone would fill the core.
const ROWS: usize = 20;
const ROW: Duration = Duration::from_micros(50);

/// How many readings a source holds while there is no room for them.
const HELD_MAX: usize = 100;

/// A source that reads whether there is room or not.
struct Tenant {
    flow: Started,
    intake: Intake,
    held: VecDeque<(Instant, Records)>,
    dropped: usize,
}

impl Tenant {
    fn new(engine: &mut Engine, number: usize, cores: f64) -> Self {
        let mut flow = Flow::new();
        let source = flow.source();
        let passed = flow.filter("v >= 0", source);
        flow.sink(passed);
        let mut deployment = flow.deployment();
        deployment.origins = vec![origin(number)];
        let target = Duration::from_millis(50);
        deployment.sinks = vec![Some(SinkDeployment { target })];
        let flow = started(engine, deployment);
        engine.set_demand(flow.application, cores);
        Self {
            flow,
            intake: Intake::new(origin(number), 0),
            held: VecDeque::new(),
            dropped: 0,
        }
    }

    fn read(&mut self, now: Instant, records: Records) {
        self.held.push_back((now, records));
        while self.held.len() > HELD_MAX {
            let (_, oldest) = self.held.pop_front().unwrap();
            self.intake.drop(&oldest);
            self.dropped += ROWS;
        }
    }

    /// Offers what there is room for, and takes what has left. Says how many rows that were.
    fn go_on(&mut self, now: Instant, engine: &mut Engine) -> usize {
        while engine.has_room(self.flow.sources[0])
            && let Some((read, records)) = self.held.pop_front()
        {
            let taken = self.intake.take(read, records);
            engine.offer(now, self.flow.sources[0], taken);
        }
        let mut left = 0;
        while let Some((channel, batch)) = engine.receive(now, self.flow.sinks[0]) {
            engine.acknowledge(now, self.flow.sinks[0], channel, &batch);
            left += batch.rows.len();
        }
        left
    }
}

#[test]
fn who_is_late_gets_its_part_by_what_it_was_admitted_with_and_says_what_it_lacks() {
    // So little memory that rows wait in sources and not in between.
    let mut engine = Engine::new(Config {
        memory_bytes: engine::MEMORY_MIN,
        ..Config::default()
    });
    let mut tenants = [1.0, 3.0].map(|cores| {
        let number = if cores > 1.0 { 1 } else { 0 };
        Tenant::new(&mut engine, number, cores)
    });
    let mut left = [0; 2];
    let mut free = Instant::ZERO;
    for tick in 0..8_000_u64 {
        let now = Instant::ZERO + Duration::from_millis(tick);
        for (tenant, left) in tenants.iter_mut().zip(&mut left) {
            if tick < 6_000 {
                let time = i64::try_from(tick).unwrap();
                let rows: [Record; ROWS] = [Some((time, time, time)); ROWS];
                tenant.read(now, reading(&rows));
            }
            let gone = tenant.go_on(now, &mut engine);
            if (1_000..6_000).contains(&tick) {
                *left += gone;
            }
        }
        // One core, which is busy until `free`.
        while free <= now {
            let Some(dispatch) = engine.next(free.max(now), Worker::default()) else {
                free = now + Duration::from_millis(1);
                break;
            };
            let completed = dispatch.run();
            let busy = ROW * u32::try_from(completed.rows()).unwrap();
            free = free + busy;
            engine.complete(now, completed, busy);
        }
    }
    let [first, second] = left.map(|rows| convert::count_to_f64(convert::size(rows)));
    let capacity = 5_000.0 * 20.0;
    assert!(
        (0.97 * capacity..1.03 * capacity).contains(&(first + second)),
        "no time is lost: {first} and {second}"
    );
    assert!(
        (2.7..3.3).contains(&(second / first)),
        "shares of 1 and 3 gave {first} and {second}"
    );
    let end = Instant::ZERO + Duration::from_secs(8);
    for tenant in &tenants {
        let report = engine.report(end, tenant.flow.application).unwrap();
        let mut results = 0;
        let mut missing = 0;
        for component in report.components {
            if let RoleReport::Sink(delays) = component.role {
                results += component.rows_in;
                missing += delays.missing;
            }
        }
        assert!(tenant.held.is_empty(), "all that was held has left");
        assert_eq!(missing, convert::size(tenant.dropped));
        assert_eq!(results + missing, 6_000 * convert::size(ROWS));
    }
}
