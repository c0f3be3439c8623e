//! Collectors of the node's network interfaces: their properties and the one counter that `net/dev` does not have.
//!
//! In: `/sys/class/net/*`. Out: their parts, by `device`. Kernel documentation:
//! `Documentation/ABI/testing/sysfs-class-net`. Files that have no answer for an interface (`speed` of a bridge, `carrier`
//! of one that is down) fail with EINVAL: the value is not there. Next: [`reader`](super::reader).

use super::source::{Missing, Source};
use super::{DetailRow, Found, Part};

/// Most interfaces that are looked at: as many as the tick shows.
const INTERFACES_CAP: usize = 512;

/// Files with one number each.
const PROPERTIES: [&str; 17] = [
    "addr_assign_type",
    "carrier",
    "carrier_changes",
    "carrier_down_count",
    "carrier_up_count",
    "dev_id",
    "dormant",
    "flags",
    "ifindex",
    "iflink",
    "link_mode",
    "mtu",
    "name_assign_type",
    "netdev_group",
    "speed",
    "tx_queue_len",
    "type",
];

/// Files with a word each, and the labels they become.
const WORDS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];

pub(super) fn netclass(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("class/net");
    let (mut rows, mut infos) = (Vec::new(), Vec::new());
    for device in source.names(&folder, "").into_iter().take(INTERFACES_CAP) {
        let of_device = folder.join(&device);
        // A file of the folder, such as `bonding_masters`, is no interface.
        if !of_device.is_dir() {
            continue;
        }
        let mut row = DetailRow::default().with("device", &*device);
        for file in PROPERTIES {
            row.put(file, source.integer(&of_device.join(file)));
        }
        let mut info = DetailRow::default().with("device", device);
        for file in WORDS {
            let word = source.text(&of_device.join(file)).unwrap_or_default();
            if file == "operstate" {
                row.put("up", Some(u64::from(word == "up")));
            }
            info = info.with(file, word);
        }
        rows.push(row);
        infos.push(info);
    }
    if rows.is_empty() { Err(Missing) } else { Ok(vec![(Part::Interface, rows), (Part::InterfaceInfo, infos)]) }
}

pub(super) fn netdev(source: &mut Source) -> Result<Found, Missing> {
    let folder = source.sys.join("class/net");
    let mut rows = Vec::new();
    for device in source.names(&folder, "").into_iter().take(INTERFACES_CAP) {
        let value = source.integer(&folder.join(&device).join("statistics/rx_nohandler"));
        if value.is_some() {
            let mut row = DetailRow::default().with("device", device);
            row.put("rx_nohandler", value);
            rows.push(row);
        }
    }
    if rows.is_empty() { Err(Missing) } else { Ok(vec![(Part::InterfaceStatistics, rows)]) }
}
