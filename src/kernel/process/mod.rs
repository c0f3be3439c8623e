//! Files of one process that are read off the tick.
//!
//! In: one file's bytes, or a process's folder. Out: one struct, or a count. Source:
//! `Documentation/filesystems/proc.rst`, `Documentation/scheduler/sched-stats.rst`. What a file costs grows with the
//! process's descriptors, mappings or sockets, so that each reader has a cap. Next: `sample/details/`.

pub mod descriptors;
pub mod limits;
pub mod net_counters;
pub mod net_sockets;
pub mod schedstat;
pub mod smaps_rollup;

pub use descriptors::{Descriptors, Sockets};
pub use limits::parse_max_open_files;
pub use net_counters::{Counters, net_counters};
pub use net_sockets::{TextSocket, TextSockets, parse_tcp, parse_udp};
pub use schedstat::{Schedstat, parse_schedstat};
pub use smaps_rollup::parse_referenced;
