//! Following a tick allocates nothing in the steady state: counted by the allocator, on a node of a hundred containers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]
#![expect(unsafe_code, reason = "a global allocator can only be written so; it counts and passes on")]

mod synthetic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use ringside::view::prometheus::maxima::Tracker;

thread_local! {
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    COUNTED.with(|counted| counted.set(counted.get().map(|number| number + 1)));
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counter is a thread-local `Cell` without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    COUNTED.set(Some(0));
    work();
    COUNTED.replace(None).unwrap()
}

#[test]
fn a_tick_is_followed_without_an_allocation_and_one_under_an_exposition_with_a_bounded_number() {
    let mut tracker = Tracker::default();
    // The rates repeat themselves, so that after some ticks every bucket that is needed is there.
    let samples: Vec<_> = (1..140).map(|tick| synthetic::node(100, tick)).collect();
    let (first, rest) = samples.split_at(100);
    for sample in first {
        tracker.observe(sample);
    }
    let steady: Vec<u64> = rest[..30].iter().map(|sample| allocations(|| tracker.observe(sample))).collect();
    assert_eq!(steady.iter().sum::<u64>(), 0, "{steady:?}");

    // An exposition in the making shares the distributions: the tick copies what it changes, once per cgroup.
    let shown = tracker.maxima(Instant::now());
    let copied = allocations(|| tracker.observe(&rest[30]));
    drop(shown);
    let cgroups = 201;
    assert!((1..cgroups * 9).contains(&copied), "{copied}");
    assert_eq!(allocations(|| tracker.observe(&rest[31])), 0, "in place again");
}
