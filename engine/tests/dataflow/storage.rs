//! Who is too far behind for the memory is served out of a storage, in order; what that cannot keep is told to be missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::edge::storage::{Answer, Order};
use engine::{Batch, MEMORY_MIN, Slot};
use model::ComponentId;

use crate::published::Published;
use crate::support::{Flow, Left};

/// A storage that forgets one batch in so many; none where zero.
#[derive(Default)]
struct Storage {
    kept: BTreeMap<(Slot, u64), Arc<Batch>>,
    forgets_one_in: u64,
    written: u64,
    read: Vec<u64>,
    failed: usize,
}

impl Storage {
    fn serve(&mut self, numbers: &mut Published) {
        loop {
            let orders = numbers.engine.take_orders();
            if orders.is_empty() {
                return;
            }
            for (slot, order) in orders {
                let answer = match order {
                    Order::Write(number, _, batch) => {
                        assert!(!batch.rows.is_empty());
                        self.written += 1;
                        if self.forgets_one_in == 0 || number % self.forgets_one_in > 0 {
                            self.kept.insert((slot, number), batch);
                        }
                        Answer::Written(number)
                    }
                    Order::Read(number) => {
                        self.read.push(number);
                        let kept = self.kept.get(&(slot, number)).cloned();
                        self.failed += usize::from(kept.is_none());
                        Answer::Read(number, kept)
                    }
                    Order::Drop(number) => {
                        self.kept.remove(&(slot, number));
                        continue;
                    }
                };
                numbers.engine.handle_answer(numbers.now, slot, answer);
            }
        }
    }

    /// Takes all that waits at a sink, and all that comes while it is taken.
    fn drain(&mut self, numbers: &mut Published, sink: ComponentId, left: &mut Left) -> u64 {
        let mut missing = 0;
        loop {
            let before = left.len();
            missing += numbers.drain(sink, left);
            self.serve(numbers);
            if left.len() == before {
                return missing;
            }
        }
    }
}

/// A fast and a slow application at one source. What each got, and what it was told to be missing.
fn run(disk_bytes: u64, forgets_one_in: u64) -> ([(Left, u64); 2], u64, Storage) {
    let mut numbers = Published::with_storage(disk_bytes);
    let mut storage = Storage {
        forgets_one_in,
        ..Storage::default()
    };
    let passing = || {
        let mut flow = Flow::new();
        let source = flow.source();
        flow.sink(source);
        flow
    };
    let [fast, slow] = [(); 2].map(|()| numbers.run(passing(), &[]).sinks[0].unwrap());
    let mut got = [(); 2].map(|()| (Left::new(), 0));
    let mut stored = 0;
    for _ in 0..80 {
        assert_eq!(numbers.feed(4), 4, "the fast one waits for nobody");
        got[0].1 += numbers.drain(fast, &mut got[0].0);
        storage.serve(&mut numbers);
        stored = numbers.engine.stored_bytes().max(stored);
        let used = numbers.engine.memory().used_bytes();
        assert!(used <= MEMORY_MIN / 2, "{used} bytes are in memory");
    }
    numbers.end();
    got[0].1 += storage.drain(&mut numbers, fast, &mut got[0].0);
    got[1].1 += storage.drain(&mut numbers, slow, &mut got[1].0);
    assert_eq!(
        numbers.engine.stored_bytes(),
        0,
        "nothing is wanted any more"
    );
    (got, stored, storage)
}

const ROWS: usize = 320_000;

#[test]
fn who_is_far_behind_gets_all_of_it_out_of_the_storage() {
    let ([fast, slow], stored, storage) = run(64 << 20, 0);
    assert_eq!((fast.0.len(), fast.1), (ROWS, 0));
    assert_eq!(slow.1, 0);
    assert_eq!(slow.0, fast.0);
    assert!(stored > 4 << 20, "{stored} bytes lay in the storage");
    assert!(storage.kept.is_empty(), "what was released is gone");
    assert!(
        storage.read.is_sorted_by(|one, next| one < next),
        "it is read in order"
    );
    let written = usize::try_from(storage.written).unwrap();
    assert!(storage.read.len() <= written, "and once");
}

#[test]
fn what_the_storage_has_no_room_for_is_told_to_be_missing() {
    let ([fast, slow], stored, storage) = run(1 << 20, 0);
    assert_eq!((fast.0.len(), fast.1), (ROWS, 0));
    assert!(slow.1 > 0);
    assert_eq!(slow.0.len() + usize::try_from(slow.1).unwrap(), ROWS);
    assert!((1..=(1 << 20) + (64 << 10)).contains(&stored), "{stored}");
    assert!(storage.kept.is_empty());
}

#[test]
fn what_the_storage_has_lost_is_told_to_be_missing_and_the_rest_comes() {
    let ([fast, slow], _, storage) = run(64 << 20, 5);
    assert_eq!((fast.0.len(), fast.1), (ROWS, 0));
    assert!(storage.failed > 10);
    let lost = storage.failed * 1000;
    assert_eq!(
        (slow.0.len(), slow.1),
        (ROWS - lost, u64::try_from(lost).unwrap())
    );
}
