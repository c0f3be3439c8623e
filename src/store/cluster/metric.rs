//! What is pushed: one line per metric, with the number that the protocol and the cluster's store know it by.
//!
//! In: nothing. Out: [`Metric`] and its facts. A number is never given again to another metric; a receiver that does not
//! know one leaves it out. Next: [`super::frame`], [`super`], the agent's push, the APIs.

/// How a metric's integers are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows; a fall is a reset.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// What one unit of a metric's integer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricUnit {
    /// Bytes.
    Bytes,
    /// Microseconds, of CPU time or of waiting.
    Usec,
    /// Things.
    Count,
    /// Thousandths of a CPU.
    Millicores,
}

/// The facts about one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// The metric.
    pub metric: Metric,
    /// Name with its unit, in the kernel's words.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Unit of the integer.
    pub unit: MetricUnit,
    /// One sentence for people.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($variant:ident = $number:literal, $name:literal, $kind:ident, $unit:ident, $help:literal;)*) => {
        /// A pushed metric; its discriminant is its number in the protocol, 0 to 63.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Metric {
            $(#[doc = $help] $variant = $number,)*
        }

        impl Metric {
            /// Every metric, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its facts.
            #[must_use]
            pub const fn info(self) -> MetricInfo {
                match self {
                    $(Self::$variant => MetricInfo {
                        metric: self,
                        name: $name,
                        kind: MetricKind::$kind,
                        unit: MetricUnit::$unit,
                        help: $help,
                    },)*
                }
            }
        }
    };
}

metrics! {
    CpuUsageUsec = 0, "cpu_usage_usec", Counter, Usec, "CPU time used.";
    MemoryWorkingSetBytes = 1, "memory_working_set_bytes", Gauge, Bytes, "Memory in use without inactive file pages.";
    MemoryCurrentBytes = 2, "memory_current_bytes", Gauge, Bytes, "All memory that is charged.";
    MemoryAnonBytes = 3, "memory_anon_bytes", Gauge, Bytes, "Anonymous memory.";
    MemoryFileBytes = 4, "memory_file_bytes", Gauge, Bytes, "Page cache.";
    MemoryShmemBytes = 5, "memory_shmem_bytes", Gauge, Bytes, "Shared memory and tmpfs.";
    MemoryKernelBytes = 6, "memory_kernel_bytes", Gauge, Bytes, "Kernel memory.";
    MemoryMaxBytes = 7, "memory_max_bytes", Gauge, Bytes, "Hard limit of memory; absent without one.";
    MemorySwapBytes = 8, "memory_swap_bytes", Gauge, Bytes, "Swap in use.";
    MemoryMajorFaults = 9, "memory_major_faults", Counter, Count, "Page faults that had to read.";
    CpuThrottledUsec = 10, "cpu_throttled_usec", Counter, Usec, "Time for which the CPU limit kept runnable tasks waiting.";
    CpuPeriods = 11, "cpu_periods", Counter, Count, "Enforcement periods of the CPU limit.";
    CpuThrottledPeriods = 12, "cpu_throttled_periods", Counter, Count, "Periods in which the CPU limit was hit.";
    CpuLimitMillicores = 13, "cpu_limit_millicores", Gauge, Millicores, "CPU limit; absent without one.";
    EphemeralStorageBytes = 14, "ephemeral_storage_bytes", Gauge, Bytes, "Local storage in use: writable layers, logs, empty directories.";
    IoReadBytes = 15, "io_read_bytes", Counter, Bytes, "Bytes read from block devices.";
    IoWriteBytes = 16, "io_write_bytes", Counter, Bytes, "Bytes written to block devices.";
    IoReads = 17, "io_reads", Counter, Count, "Read operations on block devices.";
    IoWrites = 18, "io_writes", Counter, Count, "Write operations on block devices.";
    NetworkReceiveBytes = 19, "network_receive_bytes", Counter, Bytes, "Bytes received; pods and nodes only.";
    NetworkTransmitBytes = 20, "network_transmit_bytes", Counter, Bytes, "Bytes sent; pods and nodes only.";
    NetworkReceivePackets = 21, "network_receive_packets", Counter, Count, "Packets received; pods and nodes only.";
    NetworkTransmitPackets = 22, "network_transmit_packets", Counter, Count, "Packets sent; pods and nodes only.";
    NetworkReceiveDropped = 23, "network_receive_dropped", Counter, Count, "Received packets that were dropped; pods and nodes only.";
    NetworkTransmitDropped = 24, "network_transmit_dropped", Counter, Count, "Packets to be sent that were dropped; pods and nodes only.";
    CpuPressureSomeUsec = 25, "cpu_pressure_some_usec", Counter, Usec, "Time for which some task waited for a CPU.";
    CpuPressureFullUsec = 26, "cpu_pressure_full_usec", Counter, Usec, "Time for which all tasks waited for a CPU.";
    MemoryPressureSomeUsec = 27, "memory_pressure_some_usec", Counter, Usec, "Time for which some task waited for memory.";
    MemoryPressureFullUsec = 28, "memory_pressure_full_usec", Counter, Usec, "Time for which all tasks waited for memory.";
    IoPressureSomeUsec = 29, "io_pressure_some_usec", Counter, Usec, "Time for which some task waited for io.";
    IoPressureFullUsec = 30, "io_pressure_full_usec", Counter, Usec, "Time for which all tasks waited for io.";
    MemoryEventsHigh = 31, "memory_events_high", Counter, Count, "Times that memory.high was passed and reclaim was forced.";
    MemoryEventsMax = 32, "memory_events_max", Counter, Count, "Times that the hard limit of memory was about to be passed.";
    MemoryEventsOomKill = 33, "memory_events_oom_kill", Counter, Count, "Processes killed for want of memory.";
    Restarts = 34, "restarts", Counter, Count, "Restarts of the container.";
    Pids = 35, "pids", Gauge, Count, "Tasks.";
    CpuCapacityMillicores = 36, "cpu_capacity_millicores", Gauge, Millicores, "CPUs of the node.";
    MemoryCapacityBytes = 37, "memory_capacity_bytes", Gauge, Bytes, "Memory of the node.";
    SwapCapacityBytes = 38, "swap_capacity_bytes", Gauge, Bytes, "Swap of the node.";
    EphemeralStorageCapacityBytes = 39, "ephemeral_storage_capacity_bytes", Gauge, Bytes, "Size of the node's local storage.";
}

impl Metric {
    /// The metric of a number of the protocol.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The metric of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| metric.info().name == name)
    }
}

/// Some of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricSet(u64);

impl MetricSet {
    /// Every metric.
    pub const ALL: Self = Self(u64::MAX >> (64 - Metric::ALL.len()));

    /// These.
    #[must_use]
    pub const fn of(metrics: &[Metric]) -> Self {
        let (mut bits, mut rest) = (0, metrics);
        while let Some((first, others)) = rest.split_first() {
            bits |= 1 << *first as u8;
            rest = others;
        }
        Self(bits)
    }

    /// Whether `metric` is one of them.
    #[must_use]
    pub const fn has(self, metric: Metric) -> bool {
        self.0 >> metric as u8 & 1 == 1
    }

    /// A bit for each, at its number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_number_is_its_place_and_fits_a_mask() {
        for (place, metric) in Metric::ALL.iter().enumerate() {
            assert_eq!(*metric as usize, place);
            assert_eq!(Metric::of_number(u8::try_from(place).unwrap()), Some(*metric));
            assert_eq!(Metric::of_name(metric.info().name), Some(*metric));
        }
        assert!(Metric::ALL.len() <= 64);
        assert_eq!(Metric::of_number(63), None);
    }
}
