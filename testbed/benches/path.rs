//! What a batch costs on its way, by policy and by how many rows it has: see `testbed::bench::path`.
//!
//! Processor time of this thread, so that what else runs on the machine counts only by the caches that it takes.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use testbed::bench::path::{POLICIES, Path};

/// How many dataflows there are. Unit: count. Source: as many operators as a node of the experiments has.
const OPERATORS: usize = 350;

/// How many rows a batch has. Unit: count.
const ROWS: [u32; 5] = [1, 10, 100, 1_000, 10_000];

fn path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for rows in ROWS {
        group.throughput(Throughput::Elements(rows.into()));
        for (name, policy) in POLICIES {
            let rows_count = usize::try_from(rows).expect("32 bits fit a pointer");
            let mut path = Path::new(policy, OPERATORS, rows_count).expect("dataflows are made");
            group.bench_function(BenchmarkId::new(name, rows), |bencher| {
                bencher.iter_custom(|batches| path.run(batches).expect("batches arrive"));
            });
        }
    }
    group.finish();
}

/// How long each of them is measured. Unit: time. Source: guess; 15 of them take two minutes.
const MEASURED: Duration = Duration::from_secs(5);

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(MEASURED);
    targets = path
}
criterion_main!(benches);
