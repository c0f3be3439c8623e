//! Facts about the machine that do not change while it runs. Read once at start, off the tick.

/// What this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineFacts {
    /// Name of the node: `NODE_NAME`, else the host name.
    pub node_name: String,
    /// Logical CPUs that are online.
    pub cpu_cores: u64,
    /// Physical cores.
    pub cpu_physical_cores: u64,
    /// Sockets.
    pub cpu_sockets: u64,
    /// Physical memory in bytes (`MemTotal`).
    pub memory_bytes: u64,
    /// Swap in bytes (`SwapTotal`).
    pub swap_bytes: u64,
    /// `/etc/machine-id`; empty when there is none.
    pub machine_id: String,
    /// `/sys/class/dmi/id/product_uuid`; empty when not readable.
    pub system_uuid: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Kernel release (`uname -r`).
    pub kernel_version: String,
    /// Operating system's name and version (`PRETTY_NAME`).
    pub os_version: String,
    /// `v2`, `v1` or `hybrid`.
    pub cgroup_layout: String,
    /// Clock ticks per second of `/proc/stat`.
    pub ticks_per_second: u64,
    /// Page size in bytes.
    pub page_bytes: u64,
}
