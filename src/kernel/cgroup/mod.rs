//! Files of cgroup v2, and of the v2 half (`/sys/fs/cgroup/unified`) of a hybrid machine.
//!
//! In: one file's bytes. Out: one struct. Source: `Documentation/admin-guide/cgroup-v2.rst`.
//! Never reads. Next: the cgroup reader of `sample/`.

pub mod cgroup_events;
pub mod cgroup_procs;
pub mod cgroup_stat;
pub mod cpu_max;
pub mod cpu_stat;
pub mod cpu_stat_local;
pub mod hugetlb;
pub mod hugetlb_events;
pub mod io_stat;
pub mod memory_events;
pub mod memory_stat;
pub mod memory_swap_events;
pub mod pids_events;
pub mod pressure;
pub mod value;

pub use cgroup_events::{CgroupEvents, parse_cgroup_events};
pub use cgroup_procs::{CgroupProcs, Pids, parse_cgroup_procs, pids};
pub use cgroup_stat::{CgroupStat, parse_cgroup_stat};
pub use cpu_max::{CpuMax, parse_cpu_max};
pub use cpu_stat::{CpuStat, parse_cpu_stat};
pub use cpu_stat_local::{CpuStatLocal, parse_cpu_stat_local};
pub use hugetlb::{HugePageSize, hugetlb_page_size};
pub use hugetlb_events::{HugetlbEvents, parse_hugetlb_events};
pub use io_stat::{IoStatDevice, IoStatDevices, parse_io_stat};
pub use memory_events::{MemoryEvents, parse_memory_events};
pub use memory_stat::{MemoryStat, parse_memory_stat};
pub use memory_swap_events::{MemorySwapEvents, parse_memory_swap_events};
pub use pids_events::{PidsEvents, parse_pids_events};
pub use pressure::{Pressure, PressureLine, parse_pressure};
pub use value::{parse_limit, parse_value};
