//! ONE TICK: who × bytes at one instant.
//!
//! In: [`Discovery`](crate::discover::Discovery) events and kernel files. Out: [`NodeSample`], plain data.
//! It has its own thread, and talks to no network, no runtime and no disk. Next: `store/`.

pub mod catalogue;
pub mod row;

mod machine;
mod node_sample;
mod self_stats;
mod tally;

pub use crate::discover::{CgroupIdentity, CgroupKind, Metadata, QosClass, Runtime, Workload};
pub use machine::MachineFacts;
pub use node_sample::{NodeSample, Roster, Subject, SubjectId};
pub use self_stats::{SelfStats, SourceFile, TICK_BUCKETS_USEC};
pub use tally::{Tallies, Tally, TallyKey};
