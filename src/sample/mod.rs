//! ONE TICK: who × bytes at one instant.
//!
//! In: [`Discovery`](crate::discover::Discovery) events and kernel files. Out: [`NodeSample`], plain data.
//! It has its own thread, and talks to no network, no runtime and no disk. Next: `store/`.

pub mod catalogue;
pub mod derived;
pub mod details;
pub mod push_stats;
pub mod row;
pub mod storage;

mod cgroup;
mod clock;
mod filesystem;
mod machine;
mod members;
mod network;
mod node;
mod node_sample;
mod sampler;
mod self_stats;
mod subject_ids;
mod tally;
#[cfg(test)]
pub(crate) mod testing;

pub use crate::discover::{CgroupIdentity, CgroupKind, Metadata, Owner, QosClass, Runtime, Workload};
pub use cgroup::Hierarchies;
pub use machine::MachineFacts;
pub use node_sample::{NodeSample, Roster, Subject, SubjectId};
pub use sampler::{SampleError, Sampler, SamplerOptions};
pub use self_stats::{SelfStats, SourceFile, TICK_BUCKETS_USEC};
pub use subject_ids::SubjectIds;
pub use tally::{Tallies, Tally, TallyKey, Victim};
