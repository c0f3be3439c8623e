//! Files of `/proc`.
//!
//! In: one file's bytes. Out: one struct, or an iterator over its lines. Source: `Documentation/filesystems/proc.rst`.
//! `/proc/pressure/*` is read by [`parse_pressure`](crate::kernel::cgroup::parse_pressure).
//! Never reads. Next: the node and network readers of `sample/`.

pub mod diskstats;
pub mod loadavg;
pub mod meminfo;
pub mod mountinfo;
pub mod net_arp;
pub mod net_dev;
pub mod net_snmp;
pub mod net_snmp6;
pub mod net_sockstat;
pub mod net_softnet_stat;
pub mod net_stat_nf_conntrack;
pub mod net_udp;
pub mod pid_cgroup;
pub mod pid_stat;
pub mod schedstat;
pub mod stat;
pub mod sys_fs_file_nr;
pub mod uptime;
pub mod vmstat;

pub use diskstats::{Diskstat, Diskstats, parse_diskstats};
pub use loadavg::{Loadavg, parse_loadavg};
pub use meminfo::{Meminfo, parse_meminfo};
pub use net_arp::parse_arp;
pub use net_dev::{Interface, Interfaces, parse_net_dev};
pub use net_snmp::{Snmp, parse_snmp};
pub use net_snmp6::parse_snmp6;
pub use net_sockstat::{Sockstat, parse_sockstat};
pub use net_softnet_stat::{Softnet, parse_softnet_stat};
pub use net_stat_nf_conntrack::parse_nf_conntrack;
pub use net_udp::{UdpQueues, parse_udp};
pub use pid_cgroup::{PidCgroup, PidCgroups, parse_pid_cgroup};
pub use pid_stat::{PidStat, parse_pid_stat};
pub use schedstat::{CpuSchedstat, parse_schedstat};
pub use stat::{CpuTimes, Cpus, Stat, parse_stat, per_cpu};
pub use sys_fs_file_nr::{FileNr, parse_file_nr};
pub use uptime::{Uptime, parse_uptime};
pub use vmstat::{Vmstat, parse_vmstat};
