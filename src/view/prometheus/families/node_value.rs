//! How values that are read off the tick become series: their labels rendered, their units the base ones.
//!
//! In: a [`Part`] and a key of it. Out: label text and numbers, handed to the encoder. Next: the tables of
//! [`node_network`](super::node_network) and [`node_system`](super::node_system).

use super::super::family::{DetailReader, Emit, Series, Sight, Value};
use super::super::labels::push_label;
use super::super::layout::Rows;
use super::super::node_exporter::shows_disk;
use super::super::number::Number;
use crate::sample::catalogue::NodeColumn;
use crate::sample::details::Details;
use crate::sample::details::node::{DetailRow, DetailValue, Part};

/// One part in a million, in the 65536ths of it that adjtimex(2) counts in.
const PPM_65536THS: f64 = 1.0 / 65_536e6;

/// Series of the node that are read off the tick.
#[must_use]
pub const fn detail(function: DetailReader) -> Series {
    Series::new(Rows::Node, Value::Detail(function))
}

fn each(details: &Details, part: Part, emit: &mut Emit<'_>, number: impl Fn(&DetailRow) -> Option<Number>) {
    let mut labels = String::new();
    for row in details.node.rows(part) {
        if let Some(number) = number(row) {
            labels.clear();
            for (name, value) in &row.labels {
                push_label(&mut labels, 0, name, value);
            }
            emit(&labels, number);
        }
    }
}

/// A value of each row, with the decimal places of its unit.
pub fn push(details: &Details, part: Part, key: &str, places: u8, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| {
        Some(match row.value(key)? {
            DetailValue::Integer(units) => Number::Decimal { units, places },
            DetailValue::Float(value) => Number::Float(value / 10f64.powi(i32::from(places))),
        })
    });
}

/// A value of each row times a factor.
pub fn push_times(details: &Details, part: Part, key: &str, factor: u32, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| match row.value(key)? {
        DetailValue::Integer(value) => value.checked_mul(u64::from(factor)).map(Number::integer),
        DetailValue::Float(value) => Some(Number::Float(value * f64::from(factor))),
    });
}

/// A share of a million, in the kernel's 65536ths of it, as a number.
pub fn push_ppm(details: &Details, part: Part, key: &str, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| Some(Number::Float(float(row.value(key)?) * PPM_65536THS)));
}

/// A ratio that is given as its distance from 1.
pub fn push_ppm_ratio(details: &Details, part: Part, key: &str, emit: &mut Emit<'_>) {
    each(details, part, emit, |row| Some(Number::Float(1.0 + float(row.value(key)?) * PPM_65536THS)));
}

/// Pages as bytes.
pub fn push_pages(details: &Details, part: Part, key: &str, emit: &mut Emit<'_>) {
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    each(details, part, emit, |row| match row.value(key)? {
        DetailValue::Integer(pages) => pages.checked_mul(page_bytes).map(Number::integer),
        DetailValue::Float(_) => None,
    });
}

/// 1 for each row: its labels are what it says.
pub fn push_info(details: &Details, part: Part, emit: &mut Emit<'_>) {
    each(details, part, emit, |_| Some(Number::integer(1)));
}

/// The same for the disks that are shown.
pub fn push_info_of_shown_disks(details: &Details, part: Part, emit: &mut Emit<'_>) {
    let shown = |row: &DetailRow| row.labels.iter().any(|(name, value)| *name == "device" && shows_disk(value));
    each(details, part, emit, |row| shown(row).then(|| Number::integer(1)));
}

/// Whether the tick has read the file that a column is of.
pub fn succeeded(sight: &Sight<'_>, column: NodeColumn) -> Option<Number> {
    Some(Number::integer(u64::from(sight.row.value(column).is_some())))
}

#[expect(clippy::cast_precision_loss, reason = "corrections of the clock are far below 2^53")]
fn float(value: DetailValue) -> f64 {
    match value {
        DetailValue::Integer(value) => value as f64,
        DetailValue::Float(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{node_network, node_system};
    use super::*;
    use crate::sample::SubjectId;
    use crate::sample::details::node::{NodeDetails, NodeRoots};

    /// What this machine may lack, in the form that the kernel's documentation gives it.
    const FILES: &[(&str, &str)] = &[
        ("proc/1/net/dev", ""),
        (
            "proc/1/net/sockstat",
            "sockets: used 27\nTCP: inuse 4 orphan 1 tw 2 alloc 5 mem 438\nUDP: inuse 3 mem 6\nUDPLITE: inuse 0\nRAW: inuse 7\nFRAG: inuse 8 memory 9\nSMC: inuse 10\n",
        ),
        (
            "proc/1/net/sockstat6",
            "TCP6: inuse 11\nUDP6: inuse 12\nUDPLITE6: inuse 13\nRAW6: inuse 14\nFRAG6: inuse 15 memory 16\n",
        ),
        ("proc/1/net/softnet_stat", "0000000a 00000002 00000001\n"),
        (
            "proc/1/net/arp",
            "IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n192.0.2.2 0x1 0x2 02:fc:00:00:00:06 * eth0\n",
        ),
        ("proc/1/net/udp", "header\n1: a b 07 00000001:00000500 0\n2: a b 07 00000002:00000000 0\n"),
        (
            "proc/1/net/stat/nf_conntrack",
            "entries found invalid ignore insert insert_failed drop early_drop search_restart\n83c 2 3 4 5 6 7 8 9\n83c a 3 4 5 6 7 8 9\n",
        ),
        ("proc/sys/net/netfilter/nf_conntrack_count", "1\n"),
        ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
        ("proc/sys/kernel/random/entropy_avail", "256\n"),
        ("proc/sys/kernel/random/poolsize", "4096\n"),
        ("proc/sys/fs/file-nr", "1333\t0\t2466177\n"),
        ("proc/schedstat", "version 15\ntimestamp 1\ncpu0 0 0 0 0 0 0 2500000000 1500000 42\n"),
        (
            "proc/diskstats",
            " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n 253 0 dm-0 1 2 3 4 5 6 7 8 9 10 11\n",
        ),
        ("run/udev/data/b8:0", "S:disk/by-id/x\nE:ID_MODEL=Fast_Disk\nE:ID_SERIAL_SHORT=S=1\nE:ID_WWN=0x5\n"),
        (
            "run/udev/data/b253:0",
            "E:DM_NAME=vg-root\nE:DM_UUID=LVM-1\nE:DM_VG_NAME=vg\nE:DM_LV_NAME=root\nE:ID_FS_TYPE=ext4\nE:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=u-1\nE:ID_FS_VERSION=1.0\n",
        ),
        ("sys/class/net/eth0/speed", "1000\n"),
        ("sys/class/net/eth0/carrier", "1\n"),
        ("sys/class/net/eth0/flags", "0x1003\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/eth0/address", "02:fc:00:00:00:01\n"),
        ("sys/class/net/eth0/ifalias", "up\"link\n"),
        ("sys/class/net/eth0/statistics/rx_nohandler", "3\n"),
        ("sys/class/net/bonding_masters", "\n"),
        ("sys/class/dmi/id/bios_vendor", "SeaBIOS\n"),
        ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
        ("sys/class/thermal/thermal_zone0/temp", "48500\n"),
        ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
        ("sys/class/thermal/thermal_zone1/temp", "-2500\n"),
        ("sys/class/thermal/thermal_zone1/type", "acpitz\n"),
        ("sys/class/thermal/cooling_device3/type", "Processor\n"),
        ("sys/class/thermal/cooling_device3/cur_state", "1\n"),
        ("sys/class/thermal/cooling_device3/max_state", "10\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_cur_freq", "1800000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq", "800000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3600000\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1799998\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "800001\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3500000\n"),
        ("sys/devices/system/cpu/cpu0/topology/core_id", "4\n"),
        ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "1\n"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "6\n"),
        ("sys/devices/system/edac/mc/mc0/ce_count", "3\n"),
        ("sys/devices/system/edac/mc/mc0/ue_count", "1\n"),
        ("sys/devices/system/edac/mc/mc0/ce_noinfo_count", "1\n"),
        ("sys/devices/system/edac/mc/mc0/ue_noinfo_count", "0\n"),
        ("sys/devices/system/edac/mc/mc0/csrow2/ce_count", "2\n"),
        ("sys/devices/system/edac/mc/mc0/csrow2/ue_count", "1\n"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "kvm-clock tsc \n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ("sys/fs/selinux/enforce", "1"),
        ("etc/selinux/config", "SELINUX=permissive\n"),
        ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nNAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\n"),
    ];

    /// All series of the families that are read off the tick, of a node that has everything.
    fn lines() -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (name, text) in FILES {
            write(name, text.as_bytes());
        }
        for file in ["mtu", "ifindex", "iflink", "dev_id", "dormant", "link_mode", "type", "tx_queue_len"] {
            write(&format!("sys/class/net/eth0/{file}"), b"7\n");
        }
        for file in ["addr_assign_type", "name_assign_type", "netdev_group"] {
            write(&format!("sys/class/net/eth0/{file}"), b"1\n");
        }
        for file in ["carrier_changes", "carrier_up_count", "carrier_down_count"] {
            write(&format!("sys/class/net/eth0/{file}"), b"2\n");
        }
        // Of this machine: too long to stand here.
        for file in ["netstat", "snmp", "snmp6"] {
            write(&format!("proc/1/net/{file}"), &fs::read(Path::new("/proc/self/net").join(file)).unwrap());
        }
        let roots = NodeRoots { procfs: folder.path().join("proc"), sysfs: folder.path().join("sys") };
        let details = Details { node: NodeDetails::read_once(&roots), ..Details::default() };
        let mut lines = Vec::new();
        for family in node_network::FAMILIES.iter().chain(node_system::FAMILIES) {
            let before = lines.len();
            for series in family.series {
                let Value::Detail(function) = series.value else { continue };
                function(&details, SubjectId(1), &mut |labels, number| {
                    let mut digits = Vec::new();
                    number.push_to(&mut digits);
                    lines.push(format!("{}{{{labels}}} {}", family.name, String::from_utf8(digits).unwrap()));
                });
            }
            assert!(lines.len() > before, "{} has no series: is its key the reader's?", family.name);
        }
        lines
    }

    #[test]
    fn every_value_has_the_base_unit_and_the_labels_of_node_exporter() {
        let lines = lines();
        for line in [
            "node_sockstat_sockets_used{} 27",
            "node_sockstat_TCP_mem{} 438",
            "node_sockstat_TCP_inuse{} 4",
            "node_sockstat_TCP_orphan{} 1",
            "node_sockstat_TCP_tw{} 2",
            "node_sockstat_TCP_alloc{} 5",
            "node_sockstat_UDP_inuse{} 3",
            "node_sockstat_UDP_mem{} 6",
            "node_sockstat_UDPLITE_inuse{} 0",
            "node_sockstat_RAW_inuse{} 7",
            "node_sockstat_FRAG_inuse{} 8",
            "node_sockstat_FRAG_memory{} 9",
            "node_sockstat_SMC_inuse{} 10",
            "node_sockstat_TCP6_inuse{} 11",
            "node_sockstat_UDP6_inuse{} 12",
            "node_sockstat_UDPLITE6_inuse{} 13",
            "node_sockstat_RAW6_inuse{} 14",
            "node_sockstat_FRAG6_inuse{} 15",
            "node_sockstat_FRAG6_memory{} 16",
            "node_softnet_processed_total{cpu=\"0\"} 10",
            "node_nf_conntrack_entries{} 2108",
            "node_nf_conntrack_stat_found{} 12",
            "node_nf_conntrack_entries_limit{} 262144",
            "node_arp_entries{device=\"eth0\"} 2",
            "node_udp_queues{queue=\"tx\",ip=\"v4\"} 3",
            "node_udp_queues{queue=\"rx\",ip=\"v4\"} 1280",
            "node_network_speed_bytes{device=\"eth0\"} 125000000",
            "node_network_flags{device=\"eth0\"} 4099",
            "node_network_up{device=\"eth0\"} 1",
            "node_network_info{device=\"eth0\",address=\"02:fc:00:00:00:01\",ifalias=\"up\\\"link\",operstate=\"up\"} 1",
            "node_network_receive_nohandler_total{device=\"eth0\"} 3",
            "node_schedstat_running_seconds_total{cpu=\"0\"} 2.5",
            "node_schedstat_waiting_seconds_total{cpu=\"0\"} 0.0015",
            "node_schedstat_timeslices_total{cpu=\"0\"} 42",
            "node_filefd_maximum{} 2466177",
            "node_entropy_pool_size_bits{} 4096",
            "node_time_clocksource_available_info{device=\"0\",clocksource=\"kvm-clock\"} 1",
            "node_time_clocksource_current_info{device=\"0\",clocksource=\"tsc\"} 1",
            "node_time_zone_offset_seconds{time_zone=\"UTC\"} 0",
            "node_os_version{id=\"ubuntu\",id_like=\"debian\",name=\"Ubuntu\"} 22.04",
            "node_selinux_current_mode{} 1",
            "node_selinux_config_mode{} 0",
            "node_dmi_info{bios_vendor=\"SeaBIOS\",system_vendor=\"QEMU\"} 1",
            "node_disk_info{device=\"sda\",wwn=\"0x5\",model=\"Fast_Disk\",serial=\"S=1\",major=\"8\",minor=\"0\"} 1",
            "node_disk_device_mapper_info{device=\"dm-0\",name=\"vg-root\",uuid=\"LVM-1\",vg_name=\"vg\",lv_name=\"root\"} 1",
            "node_disk_filesystem_info{device=\"dm-0\",type=\"ext4\",usage=\"filesystem\",uuid=\"u-1\",version=\"1.0\"} 1",
            "node_cpu_frequency_max_hertz{cpu=\"0\"} 3600000000",
            "node_cpu_scaling_frequency_hertz{cpu=\"0\"} 1799998000",
            "node_cpu_core_throttles_total{package=\"1\",core=\"4\"} 5",
            "node_cpu_package_throttles_total{package=\"1\"} 6",
            "node_thermal_zone_temp{zone=\"0\",type=\"x86_pkg_temp\"} 48.5",
            "node_thermal_zone_temp{zone=\"1\",type=\"acpitz\"} -2.5",
            "node_cooling_device_max_state{name=\"3\",type=\"Processor\"} 10",
            "node_edac_correctable_errors_total{controller=\"0\"} 3",
            "node_edac_csrow_correctable_errors_total{controller=\"0\",csrow=\"unknown\"} 1",
            "node_edac_csrow_uncorrectable_errors_total{controller=\"0\",csrow=\"2\"} 1",
            "node_scrape_collector_success{collector=\"dmi\"} 1",
        ] {
            assert!(lines.iter().any(|found| found == line), "no {line} in {lines:#?}");
        }
        let page_bytes = u64::try_from(rustix::param::page_size()).unwrap();
        assert!(lines.contains(&format!("node_sockstat_TCP_mem_bytes{{}} {}", 438 * page_bytes)));
        assert!(!lines.iter().any(|line| line.contains("\"sda1\"")), "a partition");
    }

    #[test]
    fn no_two_series_are_the_same() {
        let lines = lines();
        let series: std::collections::BTreeSet<&str> =
            lines.iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
        assert_eq!(series.len(), lines.len());
    }
}
