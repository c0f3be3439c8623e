//! cAdvisor's set `diskIO`.

use super::super::family::{Family, Series, Value, blkio, counter, device, gauge, root_disk, root_disk_without_cgroup};
use super::super::layout::Rows;
use super::super::set::Set;
use super::computed;
use crate::sample::catalogue::{DeviceColumn as D, DiskColumn as K};

/// Block devices per cgroup; whole disks as the root's.
pub const FAMILIES: &[Family] = &[
    counter("container_fs_reads_bytes_total", "Bytes read from a device.", &[device(D::Rbytes)]).of(Set::DiskIo),
    counter("container_fs_writes_bytes_total", "Bytes written to a device.", &[device(D::Wbytes)]).of(Set::DiskIo),
    counter(
        "container_fs_reads_total",
        "Reads completed on a device.",
        &[device(D::Rios), root_disk_without_cgroup(K::Reads)],
    )
    .of(Set::DiskIo),
    counter(
        "container_fs_writes_total",
        "Writes completed on a device.",
        &[device(D::Wios), root_disk_without_cgroup(K::Writes)],
    )
    .of(Set::DiskIo),
    counter("container_fs_sector_reads_total", "Sectors read.", &[root_disk(K::ReadSectors)]).of(Set::DiskIo),
    counter("container_fs_sector_writes_total", "Sectors written.", &[root_disk(K::WrittenSectors)]).of(Set::DiskIo),
    counter("container_fs_reads_merged_total", "Reads merged with another.", &[root_disk(K::ReadsMerged)])
        .of(Set::DiskIo),
    counter("container_fs_writes_merged_total", "Writes merged with another.", &[root_disk(K::WritesMerged)])
        .of(Set::DiskIo),
    counter("container_fs_read_seconds_total", "Time spent reading.", &[root_disk(K::ReadTimeMsec)]).of(Set::DiskIo),
    counter("container_fs_write_seconds_total", "Time spent writing.", &[root_disk(K::WriteTimeMsec)]).of(Set::DiskIo),
    gauge("container_fs_io_current", "Requests in flight.", &[root_disk(K::InFlight)]).of(Set::DiskIo),
    counter(
        "container_fs_io_time_seconds_total",
        "Time in which requests were in flight.",
        &[root_disk(K::IoTimeMsec)],
    )
    .of(Set::DiskIo),
    counter(
        "container_fs_io_time_weighted_seconds_total",
        "Time in which requests were in flight, times their number.",
        &[root_disk(K::IoTimeWeightedMsec)],
    )
    .of(Set::DiskIo),
    counter("container_fs_io_cost_usage_seconds_total", "Device time by the io cost model.", &[device(D::CostUsage)])
        .of(Set::DiskIo),
    counter("container_fs_io_cost_wait_seconds_total", "Time waited for io cost budget.", &[device(D::CostWait)])
        .of(Set::DiskIo),
    counter("container_fs_io_cost_indebt_seconds_total", "Time in io cost debt.", &[device(D::CostIndebt)])
        .of(Set::DiskIo),
    counter(
        "container_fs_io_cost_indelay_seconds_total",
        "Time delayed to pay io cost debt.",
        &[device(D::CostIndelay)],
    )
    .of(Set::DiskIo),
    counter(
        "container_blkio_device_usage_total",
        "Bytes by device and operation.",
        &[
            blkio(D::Rbytes).with("operation=\"Read\""),
            blkio(D::Wbytes).with("operation=\"Write\""),
            Series::new(Rows::BlkioDevices, Value::Computed(computed::discarded_v1)).with("operation=\"Discard\""),
            blkio(D::SyncBytes).with("operation=\"Sync\""),
            blkio(D::AsyncBytes).with("operation=\"Async\""),
            blkio(D::TotalBytes).with("operation=\"Total\""),
        ],
    )
    .of(Set::DiskIo),
];
