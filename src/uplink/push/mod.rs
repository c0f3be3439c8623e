//! The agent's push: what is new in the ring goes to the aggregator, whatever the network does.
//!
//! In: the ring. Out: bodies of the push protocol, and events for OOM kills. The ring is the queue: nothing is kept here but
//! how far the receiver has come. It takes no lock of the ring for longer than any reader does, and never makes the tick
//! wait. Next: `uplink::receive` on the aggregator.
//!
//! | step | file |
//! |---|---|
//! | a sample as it is pushed | `snapshot.rs` |
//! | samples of the past | `past.rs` |

mod answer;
mod pace;
mod past;
mod snapshot;
mod target;

pub use snapshot::{NodeCpuSource, snapshot};
