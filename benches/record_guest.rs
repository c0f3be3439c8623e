//! Records the trace `guest-v2`: containers on a virtual machine with cgroup v2, read from inside.
//!
//! In: `RECORDER` (the example `record_trace`), `TRACE_SECONDS`, `TRACE_FILE`; `benches/record.sh guest-v2` sets them.
//! Out: the file. The machine is the one of the integration tests; times inside are an emulator's.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a recording that cannot go on stops with the reason")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use support::guest::{CgroupLayout, Guest};
use support::process::{run, wait_until};

const BURSTABLE: &str = "/kubepods/burstable/pod0f5c3c1e-8f1d-4c6b-9d7e-000000000001";
const BEST_EFFORT: &str = "/kubepods/besteffort/pod0f5c3c1e-8f1d-4c6b-9d7e-000000000002";

/// Name, pod, script.
const WORKLOADS: [(&str, &str, &str); 7] = [
    ("compute", BURSTABLE, "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; done"),
    ("memory", BURSTABLE, "while :; do head -c 12m /dev/zero | tail -c 12m >/dev/null; sleep 0.5; done"),
    ("disk", BURSTABLE, "while :; do dd if=/dev/zero of=/scratch/$$ bs=64k count=8 conv=fsync; sleep 1; done"),
    ("forks", BEST_EFFORT, "while :; do ls / | cat >/dev/null; sleep 0.2; done"),
    ("bursty", BEST_EFFORT, "while :; do sleep 19; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done"),
    ("idle-1", BEST_EFFORT, "exec sleep 100000"),
    ("idle-2", BURSTABLE, "exec sleep 100000"),
];

fn main() {
    let variable =
        |name: &str| std::env::var(name).expect("RECORDER, TRACE_SECONDS, TRACE_FILE: use benches/record.sh");
    let (recorder, seconds, file) = (variable("RECORDER"), variable("TRACE_SECONDS"), variable("TRACE_FILE"));
    let guest = Guest::start(CgroupLayout::V2);
    send(&guest, &recorder, "/lab/record_trace");
    for (number, (name, pod, script)) in WORKLOADS.iter().enumerate() {
        let cgroup = format!("{pod}/{number:064x}");
        let limits = json!({ "linux": { "resources": {
            "cpu": { "quota": 20_000, "period": 100_000 }, "memory": { "limit": 64 << 20 },
        } } });
        guest.run_container(name, &cgroup, &["sh", "-c", script], limits);
    }
    eprintln!("seven containers run; {seconds} ticks are recorded");
    guest.sh(&format!(
        "(/lab/record_trace --seconds {seconds} --out /run/trace --keep filesystem=/scratch \
         >/lab/log/record.log 2>&1; echo $? >/run/recorded) &"
    ));
    let seconds: u64 = seconds.parse().expect("TRACE_SECONDS is a number");
    // Writing the file takes an emulator minutes.
    wait_until("the end of the recording", Duration::from_secs(seconds * 2 + 900), || {
        std::thread::sleep(Duration::from_secs(5));
        let log = guest.sh("tail -n 3 /lab/log/record.log; cat /run/recorded 2>/dev/null || true");
        if log.trim_end().lines().last() == Some("0") { Ok(()) } else { Err(log) }
    });
    let trace = guest.exec("cat /run/trace").stdout;
    std::fs::write(&file, &trace).expect("the trace's file can be written");
    eprintln!("{file}: {} bytes", trace.len());
}

/// Copies a program and nothing else: the libraries that it needs are those of the agent.
fn send(guest: &Guest, program: &str, to: &str) {
    let stripped = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let path = stripped.path().to_str().expect("its name is text");
    run("strip", &["--strip-debug", "-o", path, program]);
    let bytes = std::fs::read(path).expect("strip has written it");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    // The host is 10.0.2.2 for the guest.
    guest.sh(&format!("nc 10.0.2.2 {port} </dev/null >'{to}' 2>/dev/null &"));
    let (mut connection, _) = listener.accept().expect("the guest asks for the recorder");
    connection.write_all(&bytes).expect("the guest takes the recorder");
    drop(connection);
    let begin = Instant::now();
    let length = bytes.len().to_string();
    wait_until("the whole recorder in the guest", Duration::from_secs(120), || {
        let there = guest.sh(&format!("stat -c %s '{to}'"));
        if there.trim() == length { Ok(()) } else { Err(format!("{} of {length} bytes", there.trim())) }
    });
    guest.sh(&format!("chmod 755 '{to}'"));
    eprintln!("the recorder is in the guest after {:.0?}", begin.elapsed());
}
