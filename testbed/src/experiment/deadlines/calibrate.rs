//! What this machine gives and takes, found out before each experiment: loads are parts of that.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use engine::Config;
use engine::scheduler::Policy;
use model::Clock;
use node::clock::MachineClock;

use super::figures::{Delays, quantile};
use super::plan::MEMORY_BYTES;
use super::reference::Reference;
use super::scenario::{Overheads, Role, Scenario};
use super::schedule::Schedule;
use super::{cores, threads};

/// For how long cores are tried. Unit: time. Source: guess; many slices of the system's scheduler.
const TRIAL: Duration = Duration::from_millis(300);

/// For how long the engine is tried. Unit: milliseconds. Source: guess; thousands of batches.
const PILOT_MS: f64 = 1500.0;

/// At which load the engine is tried: workers wake up for some batches and find others waiting. Source: guess.
const PILOT_LOAD: f64 = 0.7;

/// How many cores so many threads get that all want one: each its processor time over the time that passed. Unit: cores.
pub fn capacity(workers: usize) -> f64 {
    let clock = MachineClock::start();
    let barrier = Barrier::new(workers);
    let spin = || {
        barrier.wait();
        let (from, before) = (clock.now(), clock.thread_cpu());
        while clock.now().since(from) < TRIAL {
            std::hint::spin_loop();
        }
        let used = clock.thread_cpu().saturating_sub(before).as_secs_f64();
        used / clock.now().since(from).as_secs_f64()
    };
    thread::scope(|scope| {
        let spinning: Vec<_> = (0..workers).map(|_| scope.spawn(spin)).collect();
        let gotten = spinning.into_iter().filter_map(|it| it.join().ok());
        gotten.sum()
    })
}

/// What the machine gives to the workers of a scenario, and what its engine takes beside operators.
///
/// # Errors
/// When the scenario cannot be run.
pub fn overheads(scenario: &Scenario) -> anyhow::Result<Overheads> {
    let config = Config {
        memory_bytes: MEMORY_BYTES,
        policy: Policy::Fifo,
        ..Config::default()
    };
    let short = Scenario {
        warm_up_ms: 0.0,
        measured_ms: PILOT_MS,
        tail_ms: 0.0,
        ..scenario.clone()
    };
    let mut overheads = Overheads {
        capacity: capacity(scenario.workers),
        ..Overheads::default()
    };
    let busy = short.loaded(PILOT_LOAD, overheads)?;
    let run = threads::run(&busy, &Schedule::draw(&busy, 0), config)?;
    overheads.dispatch = run.dispatch();

    let idle = short.without_work();
    let schedule = Schedule::draw(&idle, 0);
    let reference = Reference::of(&idle, &schedule);
    let median = |run| {
        let all = Delays::of(&idle, &reference, &run);
        let finished = [Role::Tight, Role::Bulk].map(|role| all.of_role(role));
        let finished: Vec<f64> = finished.concat();
        quantile(&finished, 0.5).filter(|it| it.is_finite())
    };
    let real = threads::run(&idle, &schedule, config)?;
    let modelled = cores::run(
        &idle,
        &schedule.offered_at(&real.offered),
        config,
        overheads,
    )?;
    let (real, modelled) = (median(real), median(modelled));
    if let (Some(real), Some(modelled)) = (real, modelled) {
        overheads.delivery = model::convert::seconds((real - modelled).max(0.0));
    }
    Ok(overheads)
}
