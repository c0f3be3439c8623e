//! Files of `/proc`.
//!
//! In: one file's bytes. Out: one struct, or an iterator over its lines. Source: `Documentation/filesystems/proc.rst`.
//! `/proc/pressure/*` is read by [`parse_pressure`](crate::kernel::cgroup::parse_pressure).
//! Never reads. Next: the node and network readers of `sample/`.

pub mod diskstats;
pub mod loadavg;
pub mod meminfo;
pub mod mountinfo;
pub mod net_dev;
pub mod pid_cgroup;
pub mod pid_stat;
pub mod stat;
pub mod uptime;
pub mod vmstat;

pub use diskstats::{Diskstat, Diskstats, parse_diskstats};
pub use loadavg::{Loadavg, parse_loadavg};
pub use meminfo::{Meminfo, parse_meminfo};
pub use net_dev::{Interface, Interfaces, parse_net_dev};
pub use pid_cgroup::{PidCgroup, PidCgroups, parse_pid_cgroup};
pub use pid_stat::{PidStat, parse_pid_stat};
pub use stat::{CpuTimes, Cpus, Stat, parse_stat, per_cpu};
pub use uptime::{Uptime, parse_uptime};
pub use vmstat::{Vmstat, parse_vmstat};
