//! The agent beside the real node_exporter on the same machine: every series of its default output is on the agent's page
//! under the same name and labels, with the same type, and with a value that lies between node_exporter's before and after.
//!
//! Other programs make the machine move meanwhile. So the two are compared several times, and a series is wrong if it was
//! wrong each time.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use support::agent::Agent;
use support::exposition::{Labels, Sample, Scrape};
use support::guest::{CgroupLayout, Guest, GuestOptions};
use support::node_exporter::NodeExporter;

/// Families of node_exporter's page that the agent does not have, by the beginning of their names.
const NOT_OURS: [(&str, &str); 5] = [
    ("go_", "about node_exporter's own runtime"),
    ("process_", "about node_exporter's own process"),
    ("promhttp_", "about node_exporter's own server"),
    ("node_exporter_", "about node_exporter's own build"),
    ("node_textfile_", "there is no textfile collector: what writes files can be scraped itself"),
];

/// Collectors that node_exporter runs by default and the agent does not have.
const COLLECTORS_NOT_OURS: [(&str, &str); 18] = [
    ("bcache", "one caching driver's counters"),
    ("bonding", "state of bonded interfaces"),
    ("btrfs", "one filesystem's allocation"),
    ("fibrechannel", "storage adapters"),
    ("hwmon", "sensors under names that differ by driver"),
    ("infiniband", "network adapters"),
    ("ipvs", "kube-proxy's own metrics say more"),
    ("mdadm", "software RAID"),
    ("nfs", "one client's counters"),
    ("nfsd", "one server's counters"),
    ("nvme", "firmware versions"),
    ("powersupplyclass", "batteries"),
    ("rapl", "energy counters, which only root may read since CVE-2020-8694"),
    ("systemd", "Debian turns it on; node_exporter itself does not"),
    ("tapestats", "tape drives"),
    ("textfile", "what writes files can be scraped itself"),
    ("xfs", "one filesystem's counters"),
    ("zfs", "one filesystem's counters"),
];

/// Collectors whose files the tick reads all together: there is no cost of each one, but `ringside_agent_tick_…`.
const OF_THE_TICK: [&str; 6] = ["filesystem", "loadavg", "meminfo", "pressure", "stat", "vmstat"];

/// Names on the agent's page that node_exporter 1.5 does not have yet.
const NEWER: [(&str, &str); 1] =
    [("node_pressure_irq_stalled_seconds_total", "node_exporter 1.9 has it; /proc/pressure/irq is of Linux 6.1")];

/// What a gauge may differ by from everything between node_exporter's values before and after.
fn tolerance(name: &str, total_memory: f64) -> f64 {
    match name {
        // The kernel counts it every five seconds, and both show hundredths.
        "node_load1" | "node_load5" | "node_load15" => 0.011,
        _ if name.starts_with("node_memory_") => total_memory / 100.0,
        "node_procs_running" | "node_procs_blocked" | "node_disk_io_now" => 16.0,
        "node_filesystem_avail_bytes" | "node_filesystem_free_bytes" => 256e6,
        "node_filesystem_files_free" => 5e3,
        // Connections of the test itself, among others.
        "node_netstat_Tcp_CurrEstab" | "node_filefd_allocated" => 64.0,
        "node_sockstat_TCP_mem_bytes" => 4e6,
        "node_sockstat_TCP_mem" => 1e3,
        _ if name.starts_with("node_sockstat_") => 32.0,
        "node_nf_conntrack_entries" => 64.0,
        "node_entropy_available_bits" => 64.0,
        "node_arp_entries" => 8.0,
        "node_udp_queues" => 1e5,
        // Without a time server the kernel lets the error grow by half a millisecond each second.
        "node_timex_maxerror_seconds" | "node_timex_estimated_error_seconds" => 0.01,
        _ => 0.0,
    }
}

/// Why a series of node_exporter's is not on the agent's page, if there is a reason.
fn excepted(sample: &Sample) -> Option<&'static str> {
    let by_name = NOT_OURS.iter().find(|(prefix, _)| sample.name.starts_with(prefix));
    if let Some((_, reason)) = by_name {
        return Some(reason);
    }
    if sample.name.starts_with("node_scrape_collector_") {
        let collector = sample.labels["collector"].as_str();
        if let Some((_, reason)) = COLLECTORS_NOT_OURS.iter().find(|(name, _)| *name == collector) {
            return Some(reason);
        }
        if sample.name.ends_with("_duration_seconds") && OF_THE_TICK.contains(&collector) {
            return Some("read with the rest of the tick");
        }
        if collector == "filesystem" {
            return Some("node_filesystem_device_error says which filesystem does not answer");
        }
    }
    if sample.value == 0.0 && sample.name.starts_with("node_filesystem_files") {
        return Some("a filesystem that makes inodes as it needs them has no number of them");
    }
    None
}

/// Without empty labels: to Prometheus they are absent.
fn key(sample: &Sample) -> (String, Labels) {
    let labels = sample.labels.iter().filter(|(_, value)| !value.is_empty());
    (sample.name.clone(), labels.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn by_key(scrape: &Scrape) -> BTreeMap<(String, Labels), f64> {
    scrape.samples.iter().map(|sample| (key(sample), sample.value)).collect()
}

/// The series that are wrong, with what is wrong.
fn compare(before: &Scrape, ours: &Scrape, after: &Scrape) -> BTreeMap<(String, Labels), String> {
    let (first, shown, last) = (by_key(before), by_key(ours), by_key(after));
    let total_memory = last[&("node_memory_MemTotal_bytes".to_owned(), Labels::new())];
    let mut wrong = BTreeMap::new();
    for sample in &after.samples {
        let key = key(sample);
        let Some(&from) = first.get(&key) else { continue };
        let to = sample.value;
        if let Some(reason) = excepted(sample) {
            // The agent has a process of its own to tell of.
            let own = !sample.name.starts_with("node_");
            assert!(own || !shown.contains_key(&key), "{key:?} is there, and this is no longer true: {reason}");
            continue;
        }
        let Some(&value) = shown.get(&key) else {
            wrong.insert(key, "is not there".to_owned());
            continue;
        };
        if sample.name == "node_scrape_collector_duration_seconds" {
            assert!(value > 0.0 && value < 10.0, "{key:?}: {value}");
            continue;
        }
        let (low, high) = (from.min(to), from.max(to));
        // Sums of floats there, decimal places here: the last digits may differ.
        let allowed = tolerance(&sample.name, total_memory) + 1e-9 * high.abs();
        if value < low - allowed || value > high + allowed {
            wrong.insert(key, format!("is {value}, and there {from} before and {to} after"));
        }
    }
    wrong
}

/// Compares until nothing is left that was wrong each time.
fn assert_all_there(scrapes: impl Fn() -> (Scrape, Scrape, Scrape)) {
    let mut wrong: Option<BTreeMap<(String, Labels), String>> = None;
    for _ in 0..8 {
        let (before, ours, after) = scrapes();
        let found = compare(&before, &ours, &after);
        let still: BTreeMap<_, _> = match wrong.take() {
            Some(old) => found.into_iter().filter(|(key, _)| old.contains_key(key)).collect(),
            None => found,
        };
        if still.is_empty() {
            return types_and_helps(&after, &ours);
        }
        wrong = Some(still);
    }
    panic!("wrong eight times: {wrong:#?}");
}

/// Every collector has run once, and the filesystems have been asked.
fn is_complete(scrape: &Scrape) -> bool {
    scrape.all("ringside_node_collector_runs_total").count() == 22
        && scrape.all("node_filesystem_size_bytes").next().is_some()
}

#[test]
fn every_series_of_node_exporter_is_there_with_its_name_labels_type_and_value() {
    let exporter = NodeExporter::start();
    let agent = Agent::start::<&str>([]);
    agent.scrape_until("every collector and the filesystems", is_complete);
    assert_all_there(|| (exporter.scrape(), agent.scrape_later_tick(), exporter.scrape()));
}

/// Another kernel, which has a board to tell of and counts what the scheduler does.
#[test]
fn on_a_debian_machine_with_a_board_and_schedstat_they_say_the_same_too() {
    let program = PathBuf::from("/usr/bin/prometheus-node-exporter");
    let options = GuestOptions { on_disk: vec![program], ..GuestOptions::new(CgroupLayout::V2) };
    let guest = Guest::start_with(&options);
    guest.sh(
        "/scratch/prometheus-node-exporter --web.listen-address=127.0.0.1:9100 >/lab/log/node-exporter.log 2>&1 &\n\
         for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do\n\
             wget -q -O /dev/null http://127.0.0.1:9100/ && exit 0; sleep 1\n\
         done; tail /lab/log/node-exporter.log; exit 1",
    );
    guest.start_agent(&[]);
    let complete = guest.agent_scrape_until("every collector and the filesystems", is_complete);
    assert!(complete.value("node_schedstat_running_seconds_total", &[("cpu", "0")]) > 0.0);
    assert_eq!(complete.value("node_dmi_info", &[("system_vendor", "QEMU")]), 1.0);
    let theirs = || Scrape::parse(&guest.sh("wget -q -O - http://127.0.0.1:9100/metrics"));
    assert_all_there(|| {
        let before = theirs();
        let tick = |scrape: &Scrape| scrape.value("ringside_agent_ticks_total", &[]);
        let now = tick(&guest.agent_scrape("/metrics"));
        let ours = guest.agent_scrape_until("the next tick but one", |scrape| tick(scrape) > now + 1.0);
        (before, ours, theirs())
    });
}

fn types_and_helps(theirs: &Scrape, ours: &Scrape) {
    let names: BTreeSet<&str> =
        theirs.samples.iter().filter(|sample| excepted(sample).is_none()).map(|sample| sample.name.as_str()).collect();
    assert!(names.len() > 200, "a page worth comparing: {} families", names.len());
    for name in &names {
        let (there, here) = (theirs.types[*name].as_str(), ours.types[*name].as_str());
        // node_exporter does not say what the kernel's tables count; for us each key has its kind.
        assert!(there == here || (there == "untyped" && here != "untyped"), "{name} is a {there} there, a {here} here");
        assert!(!ours.helps[*name].is_empty(), "{name} has no help");
    }
    let more: Vec<&str> = ours.names().into_iter().filter(|name| name.starts_with("node_")).collect();
    for name in more.iter().filter(|name| !theirs.types.contains_key(**name)) {
        assert!(NEWER.iter().any(|(newer, _)| newer == name), "{name} is not a name of node_exporter's");
    }
}
