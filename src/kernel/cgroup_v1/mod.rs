//! Files of the cgroup v1 controllers.
//!
//! In: one file's bytes. Out: one struct. Source: `Documentation/admin-guide/cgroup-v1/`. Files that hold one number
//! (`memory.usage_in_bytes`, `memory.failcnt`, `cpu.shares`, `pids.current`, …) are read by
//! [`parse_value`](crate::kernel::cgroup::parse_value). Never reads. Next: the cgroup reader of `sample/`.

pub mod blkio;
pub mod cpu_stat;
pub mod cpu_stat_local;
pub mod cpuacct_stat;
pub mod cpuacct_usage;
pub mod limit;
pub mod memory_oom_control;
pub mod memory_stat;

pub use blkio::{BlkioDevice, BlkioDevices, parse_blkio};
pub use cpu_stat::{CpuStat, parse_cpu_stat};
pub use cpu_stat_local::{CpuStatLocal, parse_cpu_stat_local};
pub use cpuacct_stat::{CpuacctStat, parse_cpuacct_stat};
pub use cpuacct_usage::parse_cpuacct_usage;
pub use limit::{parse_cfs_quota, parse_limit_in_bytes};
pub use memory_oom_control::{MemoryOomControl, parse_memory_oom_control};
pub use memory_stat::{MemoryStat, parse_memory_stat};
