//! The node's kernel, clock, software and hardware under node_exporter's names: what is read off the tick.
//!
//! In: the parts of [`NodeDetail`](crate::sample::details::node::NodeDetail). Out: families, each in the set of its
//! collector; and of the collectors themselves whether they succeed and what they cost. History has none of them.

use super::super::family::{Family, Series, Value, counter, gauge, info};
use super::super::layout::Rows;
use super::super::set::Set;
use super::node_value::{
    detail, push, push_info, push_info_of_shown_disks, push_ppm, push_ppm_ratio, push_times, succeeded,
};
use crate::sample::catalogue::NodeColumn as N;
use crate::sample::details::node::Part as P;

/// Collectors `schedstat`, `filefd`, `entropy`, `time`, `timex`, `uname`, `os`, `selinux`, `dmi`, `cpufreq`,
/// `thermal_zone`, `edac`, and what the tick does not read of `diskstats` and `cpu`.
pub const FAMILIES: &[Family] = &[
    counter(
        "node_schedstat_running_seconds_total",
        "Number of seconds CPU spent running a process.",
        &[detail(|details, _, emit| push(details, P::Schedstat, "running_nanos", 9, emit))],
    )
    .of(Set::Node("schedstat")),
    counter(
        "node_schedstat_waiting_seconds_total",
        "Number of seconds spent by processing waiting for this CPU.",
        &[detail(|details, _, emit| push(details, P::Schedstat, "waiting_nanos", 9, emit))],
    )
    .of(Set::Node("schedstat")),
    counter(
        "node_schedstat_timeslices_total",
        "Number of timeslices executed by CPU.",
        &[detail(|details, _, emit| push(details, P::Schedstat, "timeslices", 0, emit))],
    )
    .of(Set::Node("schedstat")),
    gauge(
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        &[detail(|details, _, emit| push(details, P::Filefd, "allocated", 0, emit))],
    )
    .of(Set::Node("filefd")),
    gauge(
        "node_filefd_maximum",
        "File descriptor statistics: maximum.",
        &[detail(|details, _, emit| push(details, P::Filefd, "maximum", 0, emit))],
    )
    .of(Set::Node("filefd")),
    gauge(
        "node_entropy_available_bits",
        "Bits of available entropy.",
        &[detail(|details, _, emit| push(details, P::Entropy, "entropy_avail", 0, emit))],
    )
    .of(Set::Node("entropy")),
    gauge(
        "node_entropy_pool_size_bits",
        "Bits of entropy pool.",
        &[detail(|details, _, emit| push(details, P::Entropy, "poolsize", 0, emit))],
    )
    .of(Set::Node("entropy")),
    info(
        "node_time_clocksource_available_info",
        "Available clocksources read from '/sys/devices/system/clocksource'.",
        &[detail(|details, _, emit| push_info(details, P::ClocksourceAvailable, emit))],
    )
    .of(Set::Node("time")),
    info(
        "node_time_clocksource_current_info",
        "Current clocksource read from '/sys/devices/system/clocksource'.",
        &[detail(|details, _, emit| push_info(details, P::ClocksourceCurrent, emit))],
    )
    .of(Set::Node("time")),
    gauge(
        "node_time_zone_offset_seconds",
        "System time zone offset in seconds.",
        &[detail(|details, _, emit| push(details, P::TimeZone, "offset_seconds", 0, emit))],
    )
    .of(Set::Node("time")),
    gauge(
        "node_timex_sync_status",
        "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
        &[detail(|details, _, emit| push(details, P::Timex, "synchronised", 0, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_offset_seconds",
        "Time offset in between local system and reference clock.",
        &[detail(|details, _, emit| push(details, P::Timex, "offset_nanos", 9, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_maxerror_seconds",
        "Maximum error in seconds.",
        &[detail(|details, _, emit| push(details, P::Timex, "max_error_usec", 6, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_estimated_error_seconds",
        "Estimated error in seconds.",
        &[detail(|details, _, emit| push(details, P::Timex, "estimated_error_usec", 6, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_status",
        "Value of the status array bits.",
        &[detail(|details, _, emit| push(details, P::Timex, "status", 0, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_loop_time_constant",
        "Phase-locked loop time constant.",
        &[detail(|details, _, emit| push(details, P::Timex, "constant", 0, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_tick_seconds",
        "Seconds between clock ticks.",
        &[detail(|details, _, emit| push(details, P::Timex, "tick_usec", 6, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_pps_jitter_seconds",
        "Pulse per second jitter.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_jitter_nanos", 9, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_pps_shift_seconds",
        "Pulse per second interval duration.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_shift_seconds", 0, emit))],
    )
    .of(Set::Node("timex")),
    counter(
        "node_timex_pps_jitter_total",
        "Pulse per second count of jitter limit exceeded events.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_jitter_exceeded", 0, emit))],
    )
    .of(Set::Node("timex")),
    counter(
        "node_timex_pps_calibration_total",
        "Pulse per second count of calibration intervals.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_calibrations", 0, emit))],
    )
    .of(Set::Node("timex")),
    counter(
        "node_timex_pps_error_total",
        "Pulse per second count of calibration errors.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_errors", 0, emit))],
    )
    .of(Set::Node("timex")),
    counter(
        "node_timex_pps_stability_exceeded_total",
        "Pulse per second count of stability limit exceeded events.",
        &[detail(|details, _, emit| push(details, P::Timex, "pps_stability_exceeded", 0, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_tai_offset_seconds",
        "International Atomic Time (TAI) offset.",
        &[detail(|details, _, emit| push(details, P::Timex, "tai_offset_seconds", 0, emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_frequency_adjustment_ratio",
        "Local clock frequency adjustment.",
        &[detail(|details, _, emit| push_ppm_ratio(details, P::Timex, "frequency_ppm_65536ths", emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_pps_frequency_hertz",
        "Pulse per second frequency.",
        &[detail(|details, _, emit| push_ppm(details, P::Timex, "pps_frequency_ppm_65536ths", emit))],
    )
    .of(Set::Node("timex")),
    gauge(
        "node_timex_pps_stability_hertz",
        "Pulse per second stability, average of recent frequency changes.",
        &[detail(|details, _, emit| push_ppm(details, P::Timex, "pps_stability_ppm_65536ths", emit))],
    )
    .of(Set::Node("timex")),
    info(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        &[detail(|details, _, emit| push_info(details, P::Uname, emit))],
    )
    .of(Set::Node("uname")),
    info(
        "node_os_info",
        "The operating system by its os-release, as labels.",
        &[detail(|details, _, emit| push_info(details, P::Os, emit))],
    )
    .of(Set::Node("os")),
    gauge(
        "node_os_version",
        "Metric containing the major.minor part of the OS version.",
        &[detail(|details, _, emit| push(details, P::OsVersion, "version", 0, emit))],
    )
    .of(Set::Node("os")),
    gauge(
        "node_selinux_enabled",
        "SELinux is enabled, 1 is true, 0 is false.",
        &[detail(|details, _, emit| push(details, P::Selinux, "enabled", 0, emit))],
    )
    .of(Set::Node("selinux")),
    gauge(
        "node_selinux_current_mode",
        "Current SELinux enforcement mode.",
        &[detail(|details, _, emit| push(details, P::Selinux, "current_mode", 0, emit))],
    )
    .of(Set::Node("selinux")),
    gauge(
        "node_selinux_config_mode",
        "Configured SELinux enforcement mode.",
        &[detail(|details, _, emit| push(details, P::Selinux, "config_mode", 0, emit))],
    )
    .of(Set::Node("selinux")),
    info(
        "node_dmi_info",
        "The board and its firmware, as far as DMI tells of them, as labels.",
        &[detail(|details, _, emit| push_info(details, P::Dmi, emit))],
    )
    .of(Set::Node("dmi")),
    info(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        &[detail(|details, _, emit| push_info_of_shown_disks(details, P::DiskInfo, emit))],
    )
    .of(Set::Node("diskstats")),
    info(
        "node_disk_device_mapper_info",
        "Info about disk device mapper.",
        &[detail(|details, _, emit| push_info_of_shown_disks(details, P::DeviceMapper, emit))],
    )
    .of(Set::Node("diskstats")),
    info(
        "node_disk_filesystem_info",
        "Info about disk filesystem.",
        &[detail(|details, _, emit| push_info_of_shown_disks(details, P::DiskFilesystem, emit))],
    )
    .of(Set::Node("diskstats")),
    gauge(
        "node_cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "cpuinfo_cur_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    gauge(
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "cpuinfo_min_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    gauge(
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "cpuinfo_max_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    gauge(
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "scaling_cur_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    gauge(
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "scaling_min_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    gauge(
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
        &[detail(|details, _, emit| push_times(details, P::CpuFrequency, "scaling_max_freq", 1000, emit))],
    )
    .of(Set::Node("cpufreq")),
    counter(
        "node_cpu_core_throttles_total",
        "Number of times this CPU core has been throttled.",
        &[detail(|details, _, emit| push(details, P::CoreThrottle, "core_throttle_count", 0, emit))],
    )
    .of(Set::Node("cpu")),
    counter(
        "node_cpu_package_throttles_total",
        "Number of times this CPU package has been throttled.",
        &[detail(|details, _, emit| push(details, P::PackageThrottle, "package_throttle_count", 0, emit))],
    )
    .of(Set::Node("cpu")),
    gauge(
        "node_thermal_zone_temp",
        "Zone temperature in Celsius.",
        &[detail(|details, _, emit| push(details, P::ThermalZone, "temp", 3, emit))],
    )
    .of(Set::Node("thermal_zone")),
    gauge(
        "node_cooling_device_cur_state",
        "Current throttle state of the cooling device.",
        &[detail(|details, _, emit| push(details, P::CoolingDevice, "cur_state", 0, emit))],
    )
    .of(Set::Node("thermal_zone")),
    gauge(
        "node_cooling_device_max_state",
        "Maximum throttle state of the cooling device.",
        &[detail(|details, _, emit| push(details, P::CoolingDevice, "max_state", 0, emit))],
    )
    .of(Set::Node("thermal_zone")),
    counter(
        "node_edac_correctable_errors_total",
        "Total correctable memory errors.",
        &[detail(|details, _, emit| push(details, P::MemoryController, "ce_count", 0, emit))],
    )
    .of(Set::Node("edac")),
    counter(
        "node_edac_uncorrectable_errors_total",
        "Total uncorrectable memory errors.",
        &[detail(|details, _, emit| push(details, P::MemoryController, "ue_count", 0, emit))],
    )
    .of(Set::Node("edac")),
    counter(
        "node_edac_csrow_correctable_errors_total",
        "Total correctable memory errors for this csrow.",
        &[detail(|details, _, emit| push(details, P::MemoryRow, "ce_count", 0, emit))],
    )
    .of(Set::Node("edac")),
    counter(
        "node_edac_csrow_uncorrectable_errors_total",
        "Total uncorrectable memory errors for this csrow.",
        &[detail(|details, _, emit| push(details, P::MemoryRow, "ue_count", 0, emit))],
    )
    .of(Set::Node("edac")),
    gauge(
        "node_scrape_collector_success",
        "node_exporter: Whether a collector succeeded.",
        &[
            detail(|details, _, emit| push(details, P::Collectors, "success", 0, emit)),
            Series::new(Rows::Node, Value::Computed(|sight| succeeded(sight, N::ContextSwitches)))
                .with("collector=\"stat\""),
            Series::new(Rows::Node, Value::Computed(|sight| succeeded(sight, N::Load1Hundredths)))
                .with("collector=\"loadavg\""),
            Series::new(Rows::Node, Value::Computed(|sight| succeeded(sight, N::MeminfoMemTotal)))
                .with("collector=\"meminfo\""),
            Series::new(Rows::Node, Value::Computed(|sight| succeeded(sight, N::VmstatPgpgin)))
                .with("collector=\"vmstat\""),
            Series::new(Rows::Node, Value::Computed(|sight| succeeded(sight, N::CpuPressureSomeTotalUsec)))
                .with("collector=\"pressure\""),
        ],
    )
    .of(Set::Node("scrape")),
    gauge(
        "node_scrape_collector_duration_seconds",
        "node_exporter: Duration of a collector scrape.",
        &[detail(|details, _, emit| push(details, P::Collectors, "duration_nanos", 9, emit))],
    )
    .of(Set::Node("scrape")),
    counter(
        "ringside_node_collector_runs_total",
        "How often a collector has read its files since the agent started.",
        &[detail(|details, _, emit| push(details, P::Collectors, "runs", 0, emit))],
    )
    .of(Set::Agent),
];
