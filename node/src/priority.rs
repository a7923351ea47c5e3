//! Which threads the system runs first.
//!
//! Workers run as long as there is work. Threads that read, write and talk to other hosts run for moments, and what they do is waited for: on a
//! host whose workers are never idle, the system would else let them wait for some milliseconds each time.

/// How much less than other threads the system is to favor workers.
///
/// Unit: niceness, of which each takes off about a fifth. Range: 0 to 19. Source: measured; with 5, results of a busy host of two cores
/// reach their thread within half a millisecond, with 0 after six: see `testbed/results/deadlines.md`.
const WORKER_NICENESS: i32 = 5;

/// Lets the calling thread, a worker, run after others. Where the system refuses, it runs as all do.
pub fn after_others() {
    if let Err(error) = rustix::process::nice(WORKER_NICENESS) {
        tracing::debug!("workers run as all threads do: {error}");
    }
}
