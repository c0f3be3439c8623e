//! Second opinions: the procfs crate on the same bytes, cgroups-rs on the same cgroup.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use std::io::Cursor;
use std::process::Command;

use cgroups_rs::CgroupPid;
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cgroup_builder::CgroupBuilder;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::hierarchies;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use procfs::{FromBufRead, KernelStats, LoadAverage, Meminfo};
use ringside::kernel::cgroup::parse_value;
use ringside::kernel::cgroup_v1::{parse_cfs_quota, parse_cpuacct_usage, parse_limit_in_bytes, parse_memory_stat};
use ringside::kernel::proc::{parse_diskstats, parse_loadavg, parse_meminfo, parse_net_dev, parse_stat, per_cpu};
use ringside::units::Limit;

/// The texts: this machine's own, and those of the captured machines.
fn texts(file: &str) -> Vec<Vec<u8>> {
    let captured = ["v2", "v1", "hybrid"].map(|tree| format!("tests/fixtures/{tree}/proc/{file}"));
    let here = format!("/proc/{file}");
    captured.iter().chain([&here]).map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"))).collect()
}

#[test]
fn meminfo_says_the_same_to_the_procfs_crate() {
    for text in texts("meminfo") {
        let (ours, theirs) = (parse_meminfo(&text), Meminfo::from_buf_read(Cursor::new(&text)).unwrap());
        assert_eq!(ours.mem_total_bytes, Some(theirs.mem_total));
        assert_eq!(ours.mem_free_bytes, Some(theirs.mem_free));
        assert_eq!(ours.mem_available_bytes, theirs.mem_available);
        assert_eq!(ours.buffers_bytes, Some(theirs.buffers));
        assert_eq!(ours.cached_bytes, Some(theirs.cached));
        assert_eq!(ours.slab_bytes, Some(theirs.slab));
        assert_eq!(ours.sreclaimable_bytes, theirs.s_reclaimable);
        assert_eq!(ours.swap_total_bytes, Some(theirs.swap_total));
        assert_eq!(ours.dirty_bytes, Some(theirs.dirty));
        assert_eq!(ours.committed_as_bytes, Some(theirs.committed_as));
        assert_eq!(ours.huge_pages_total, theirs.hugepages_total);
        assert_eq!(ours.hugepagesize_bytes, theirs.hugepagesize);
    }
}

#[test]
fn stat_says_the_same_to_the_procfs_crate() {
    for text in texts("stat") {
        let info = procfs::process::Process::myself().map(|_| procfs::LocalSystemInfo).unwrap();
        let theirs = <KernelStats as procfs::FromBufReadSI>::from_buf_read(Cursor::new(&text), &info).unwrap();
        let ours = parse_stat(&text);
        assert_eq!(ours.cpu.user_ticks, Some(theirs.total.user));
        assert_eq!(ours.cpu.system_ticks, Some(theirs.total.system));
        assert_eq!(ours.cpu.idle_ticks, Some(theirs.total.idle));
        assert_eq!(ours.cpu.iowait_ticks, theirs.total.iowait);
        assert_eq!(ours.cpu.steal_ticks, theirs.total.steal);
        assert_eq!(ours.ctxt, Some(theirs.ctxt));
        assert_eq!(ours.btime_unix_seconds, Some(theirs.btime));
        assert_eq!(ours.processes, Some(theirs.processes));
        let cpus: Vec<_> = per_cpu(&text).map(|(_, times)| times.user_ticks).collect();
        assert_eq!(cpus, theirs.cpu_time.iter().map(|times| Some(times.user)).collect::<Vec<_>>());
    }
}

#[test]
fn loadavg_and_diskstats_and_interfaces_say_the_same_to_the_procfs_crate() {
    for text in texts("loadavg") {
        let theirs = <LoadAverage as procfs::FromRead>::from_read(Cursor::new(&text)).unwrap();
        let ours = parse_loadavg(&text);
        let hundredths = |load: f32| Some(format!("{:.0}", f64::from(load) * 100.0).parse::<u64>().unwrap());
        assert_eq!(ours.load1_hundredths, hundredths(theirs.one));
        assert_eq!(ours.load15_hundredths, hundredths(theirs.fifteen));
        assert_eq!(ours.total, Some(u64::from(theirs.max)));
    }
    for text in texts("diskstats") {
        let theirs = procfs::DiskStats::from_buf_read(Cursor::new(&text)).unwrap().0;
        let ours: Vec<_> =
            parse_diskstats(&text).map(|disk| (disk.name.to_vec(), disk.reads, disk.written_sectors)).collect();
        let theirs: Vec<_> = theirs
            .iter()
            .map(|disk| (disk.name.clone().into_bytes(), Some(disk.reads), Some(disk.sectors_written)))
            .collect();
        assert_eq!(ours, theirs);
    }
    for text in texts("net/dev") {
        let theirs = procfs::net::InterfaceDeviceStatus::from_buf_read(Cursor::new(&text)).unwrap().0;
        assert_eq!(parse_net_dev(&text).count(), theirs.len());
        for ours in parse_net_dev(&text) {
            let theirs = &theirs[std::str::from_utf8(ours.name).unwrap()];
            assert_eq!(ours.rx_bytes, Some(theirs.recv_bytes));
            assert_eq!(ours.rx_drop, Some(theirs.recv_drop));
            assert_eq!(ours.tx_packets, Some(theirs.sent_packets));
            assert_eq!(ours.tx_errs, Some(theirs.sent_errs));
        }
    }
}

/// cgroups-rs sees a hybrid machine's v1 half, which is the half that it knows well; a machine with v2 alone is held
/// against its own files by the guests' tests.
#[test]
fn a_v1_cgroup_says_the_same_to_cgroups_rs() {
    let hierarchy = hierarchies::auto();
    if hierarchy.v2() {
        return;
    }
    let name = format!("ringside-oracle-{}", std::process::id());
    let cgroup = CgroupBuilder::new(&name)
        .memory()
        .memory_hard_limit(64 << 20)
        .done()
        .cpu()
        .shares(512)
        .period(100_000)
        .quota(25_000)
        .done()
        .pid()
        .maximum_number_of_processes(MaxValue::Value(50))
        .done()
        .set_specified_controllers(["memory", "cpu", "cpuacct", "pids"].map(str::to_owned).to_vec())
        .build(hierarchy)
        .expect("cgroups can be made: run as root");
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    cgroup.add_task_by_tgid(CgroupPid::from(u64::from(busy.id()))).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    busy.kill().unwrap();
    busy.wait().unwrap();

    let read = |controller: &str, file: &str| {
        let path = format!("/sys/fs/cgroup/{controller}/{name}/{file}");
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let memory: &MemController = cgroup.controller_of().unwrap();
    let cpuacct: &CpuAcctController = cgroup.controller_of().unwrap();
    let cpu: &CpuController = cgroup.controller_of().unwrap();
    let pids: &PidController = cgroup.controller_of().unwrap();
    // Nobody runs in it any more: what is read twice is the same twice.
    let usage = parse_cpuacct_usage(&read("cpuacct", "cpuacct.usage")).unwrap();
    assert_eq!(usage, cpuacct.cpuacct().usage);
    assert!(usage > 10_000_000, "it ran for a while under its quota: {usage} ns");
    let stat = parse_memory_stat(&read("memory", "memory.stat"));
    assert_eq!(stat.total_pgfault, Some(memory.memory_stat().stat.total_pgfault));
    assert_eq!(stat.total_rss_bytes, Some(memory.memory_stat().stat.total_rss));
    assert_eq!(parse_limit_in_bytes(&read("memory", "memory.limit_in_bytes")), Ok(Limit::At(64 << 20)));
    assert_eq!(parse_cfs_quota(&read("cpu", "cpu.cfs_quota_us")), Ok(Limit::At(25_000)));
    assert_eq!(parse_value(&read("cpu", "cpu.shares")), Ok(cpu.shares().unwrap()));
    assert_eq!(parse_value(&read("pids", "pids.current")), Ok(pids.get_pid_current().unwrap()));
    assert_eq!(parse_value(&read("pids", "pids.max")), Ok(50));
    cgroup.delete().unwrap();
}
