//! Collectors of hardware: frequencies, throttling, temperatures, memory errors, disks, the board.
//!
//! In: files of `/sys`, and udev's data beside the given procfs. Out: their parts. Kernel documentation:
//! `Documentation/admin-guide/pm/cpufreq.rst`, `Documentation/driver-api/thermal/sysfs-api.rst`,
//! `Documentation/ABI/testing/sysfs-devices-edac`, `-sysfs-firmware-dmi`. Next: [`reader`](super::reader).

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Missing, Source};
use super::{DetailRow, Found, Part};
use crate::kernel::proc::parse_diskstats;

/// `thermal_throttle`: once per core and once per package, although each of their CPUs has the files.
pub(super) fn cpu(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("devices/system/cpu");
    let (mut cores, mut packages) = (BTreeMap::new(), BTreeMap::new());
    for (_, name) in source.numbered(&folder, "cpu") {
        let of_cpu = folder.join(name);
        let (Some(package), Some(core)) = (
            source.integer(&of_cpu.join("topology/physical_package_id")),
            source.integer(&of_cpu.join("topology/core_id")),
        ) else {
            continue;
        };
        if let Some(count) = source.integer(&of_cpu.join("thermal_throttle/core_throttle_count")) {
            cores.entry((package, core)).or_insert(count);
        }
        if let Some(count) = source.integer(&of_cpu.join("thermal_throttle/package_throttle_count")) {
            packages.entry(package).or_insert(count);
        }
    }
    let core = |((package, core), count): ((i64, i64), i64)| {
        let mut row = DetailRow::default().with("package", package.to_string()).with("core", core.to_string());
        row.put("core_throttle_count", Some(count));
        row
    };
    let package = |(package, count): (i64, i64)| {
        let mut row = DetailRow::default().with("package", package.to_string());
        row.put("package_throttle_count", Some(count));
        row
    };
    Ok(vec![
        (Part::CoreThrottle, cores.into_iter().map(core).collect()),
        (Part::PackageThrottle, packages.into_iter().map(package).collect()),
    ])
}

/// Files of `cpufreq`, all in kHz.
const CPUFREQ: [&str; 6] = [
    "cpuinfo_cur_freq",
    "cpuinfo_min_freq",
    "cpuinfo_max_freq",
    "scaling_cur_freq",
    "scaling_min_freq",
    "scaling_max_freq",
];

pub(super) fn cpufreq(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("devices/system/cpu");
    let mut rows = Vec::new();
    for (number, name) in source.numbered(&folder, "cpu") {
        let of_cpu = folder.join(name).join("cpufreq");
        if !of_cpu.is_dir() {
            continue;
        }
        let mut row = DetailRow::default().with("cpu", number.to_string());
        for file in CPUFREQ {
            row.put(file, source.integer(&of_cpu.join(file)));
        }
        rows.push(row);
    }
    Ok(vec![(Part::CpuFrequency, rows)])
}

pub(super) fn thermal_zone(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("class/thermal");
    let mut zones = Vec::new();
    for (number, name) in source.numbered(&folder, "thermal_zone") {
        let of_zone = folder.join(name);
        let kind = source.text(&of_zone.join("type")).unwrap_or_default();
        let mut row = DetailRow::default().with("zone", number.to_string()).with("type", kind);
        row.put("temp", source.integer(&of_zone.join("temp")));
        zones.push(row);
    }
    let mut devices = Vec::new();
    for (number, name) in source.numbered(&folder, "cooling_device") {
        let of_device = folder.join(name);
        let kind = source.text(&of_device.join("type")).unwrap_or_default();
        let mut row = DetailRow::default().with("name", number.to_string()).with("type", kind);
        row.put("cur_state", source.integer(&of_device.join("cur_state")));
        row.put("max_state", source.integer(&of_device.join("max_state")));
        devices.push(row);
    }
    Ok(vec![(Part::ThermalZone, zones), (Part::CoolingDevice, devices)])
}

pub(super) fn edac(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("devices/system/edac/mc");
    let (mut controllers, mut csrows) = (Vec::new(), Vec::new());
    for (number, name) in source.numbered(&folder, "mc") {
        let of_controller = folder.join(name);
        let mut row = DetailRow::default().with("controller", number.to_string());
        row.put("ce_count", source.integer(&of_controller.join("ce_count")));
        row.put("ue_count", source.integer(&of_controller.join("ue_count")));
        controllers.push(row);
        // Errors whose row the hardware does not tell stand under a row of their own.
        let mut unknown = DetailRow::default().with("controller", number.to_string()).with("csrow", "unknown");
        unknown.put("ce_count", source.integer(&of_controller.join("ce_noinfo_count")));
        unknown.put("ue_count", source.integer(&of_controller.join("ue_noinfo_count")));
        csrows.push(unknown);
        for (csrow, name) in source.numbered(&of_controller, "csrow") {
            let of_row = of_controller.join(name);
            let mut row = DetailRow::default().with("controller", number.to_string()).with("csrow", csrow.to_string());
            row.put("ce_count", source.integer(&of_row.join("ce_count")));
            row.put("ue_count", source.integer(&of_row.join("ue_count")));
            csrows.push(row);
        }
    }
    Ok(vec![(Part::MemoryController, controllers), (Part::MemoryRow, csrows)])
}

/// udev's words about a disk, and the labels they become.
const DISK_WORDS: [(&str, &str); 5] = [
    ("path", "ID_PATH"),
    ("wwn", "ID_WWN"),
    ("model", "ID_MODEL"),
    ("serial", "ID_SERIAL_SHORT"),
    ("revision", "ID_REVISION"),
];
const MAPPER_WORDS: [(&str, &str); 5] = [
    ("name", "DM_NAME"),
    ("uuid", "DM_UUID"),
    ("vg_name", "DM_VG_NAME"),
    ("lv_name", "DM_LV_NAME"),
    ("lv_layer", "DM_LV_LAYER"),
];
const FILESYSTEM_WORDS: [(&str, &str); 4] =
    [("type", "ID_FS_TYPE"), ("usage", "ID_FS_USAGE"), ("uuid", "ID_FS_UUID"), ("version", "ID_FS_VERSION")];

/// Most disks whose words are read.
const DISKS_CAP: usize = 512;

pub(super) fn diskstats(source: &mut Source) -> Result<Found, Missing> {
    let disks: Vec<(String, u32, u32)> = parse_diskstats(source.proc("diskstats").ok_or(Missing)?)
        .map(|disk| (String::from_utf8_lossy(disk.name).into_owned(), disk.device.major, disk.device.minor))
        .take(DISKS_CAP)
        .collect();
    let mut seen = BTreeSet::new();
    let (mut infos, mut mappers, mut filesystems) = (Vec::new(), Vec::new(), Vec::new());
    for (name, major, minor) in disks {
        if !seen.insert(name.clone()) {
            continue;
        }
        let words = source
            .bytes(&source.root.join(format!("run/udev/data/b{major}:{minor}")))
            .map(udev_properties)
            .unwrap_or_default();
        let row = |labels: &[(&'static str, &str)]| {
            labels.iter().fold(DetailRow::default().with("device", &*name), |row, (label, key)| {
                row.with(label, words.get(*key).cloned().unwrap_or_default())
            })
        };
        infos.push(row(&DISK_WORDS).with("major", major.to_string()).with("minor", minor.to_string()));
        if words.get("DM_NAME").is_some_and(|name| !name.is_empty()) {
            mappers.push(row(&MAPPER_WORDS));
        }
        if words.get("ID_FS_TYPE").is_some_and(|kind| !kind.is_empty()) {
            filesystems.push(row(&FILESYSTEM_WORDS));
        }
    }
    Ok(vec![(Part::DiskInfo, infos), (Part::DeviceMapper, mappers), (Part::DiskFilesystem, filesystems)])
}

/// The properties (`E:NAME=value`) of one file of udev's database.
fn udev_properties(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let pair =
        |line: &str| line.strip_prefix("E:")?.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Labels and files of the board's description.
const DMI: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// A file that may not be read (serial numbers are root's) gives no label.
pub(super) fn dmi(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("class/dmi/id");
    if !folder.is_dir() {
        return Err(Missing);
    }
    let row = DMI.iter().fold(DetailRow::default(), |row, (label, file)| {
        row.with(label, source.text(&folder.join(file)).unwrap_or_default())
    });
    Ok(vec![(Part::Dmi, vec![row])])
}
