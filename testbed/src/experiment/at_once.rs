//! Several runs at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does something for each of some numbers, for so many at a time; what came of it, in their order. The order in which they begin is theirs
/// as well.
pub(super) fn at_once<T: Send>(
    jobs: usize,
    numbers: std::ops::Range<usize>,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(numbers.start);
    let done = Mutex::new(Vec::with_capacity(numbers.len()));
    let go_on = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return;
            }
            let result = work(number);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.min(numbers.len()) {
            scope.spawn(go_on);
        }
        go_on();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;

    /// Each waits until the other has begun, which it never has where one comes after the other.
    #[test]
    fn two_jobs_are_under_way_together_and_results_keep_their_order() {
        let begun = (Mutex::new(0), Condvar::new());
        let work = |number: usize| {
            let mut count = begun.0.lock().unwrap();
            *count += 1;
            begun.1.notify_all();
            let limit = Duration::from_secs(20);
            let waited = begun.1.wait_timeout_while(count, limit, |count| *count < 2);
            (number, waited.unwrap().1.timed_out())
        };
        let expected: Vec<(usize, bool)> = (3..9).map(|number| (number, false)).collect();
        assert_eq!(at_once(2, 3..9, work), expected);
    }

    #[test]
    fn nothing_to_do_is_done() {
        assert_eq!(at_once(4, 5..5, |number| number), Vec::<usize>::new());
    }
}
