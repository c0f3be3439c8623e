//! Runs the real binary as a user does: every wrong word must end in exit code 2 and a sentence that says what to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

use std::process::{Command, Output};

/// Runs `ringside` with these arguments and an environment without settings.
fn ringside(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringside"));
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("RINGSIDE_"));
    for name in own {
        command.env_remove(name);
    }
    command.args(arguments).env_remove("NODE_NAME").output().unwrap()
}

/// Standard error of a run that must end with exit code 2 and say nothing on standard output.
fn refused(arguments: &[&str]) -> String {
    let output = ringside(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert!(said.starts_with("error: ") && said.ends_with('\n'), "{said}");
    said
}

/// Roles that take the agent's flags.
const ROLES: [&str; 2] = ["agent", "doctor"];

/// A configuration file that lives as long as the test.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn an_unknown_flag_or_role_is_answered_with_the_nearest() {
    for role in ROLES {
        let said = refused(&[role, "--intervall", "1s"]);
        assert!(said.contains("'--intervall'") && said.contains("'--interval'"), "{said}");
    }
    let said = refused(&["docter"]);
    assert!(said.contains("'doctor'"), "{said}");
}

#[test]
fn an_unknown_key_of_a_configuration_file_is_answered_with_its_line_and_the_nearest() {
    for (name, text) in [
        ("c.yaml", "# ours\nringbytes: 1MiB\n"),
        ("c.json", "{\n\"ringbytes\": \"1MiB\"}\n"),
        ("c.toml", "# ours\nringbytes = \"1MiB\"\n"),
    ] {
        let (_dir, path) = file(name, text);
        for role in ROLES {
            let said = refused(&[role, "--config", &path]);
            assert_eq!(said, format!("error: {path}:2: unknown key \"ringbytes\"; did you mean \"ring-bytes\"?\n"));
        }
    }
}

#[test]
fn an_interval_of_nothing_is_refused_with_the_range() {
    for role in ROLES {
        for interval in ["0", "0s", "61s", "10ms"] {
            let said = refused(&[role, "--interval", interval]);
            assert!(said.contains("--interval") && said.contains("give an interval from 100ms to 60s"), "{said}");
        }
    }
}

#[test]
fn an_address_that_others_can_reach_is_refused_and_the_flag_for_it_is_named() {
    for role in ROLES {
        for address in ["0.0.0.0:9750", "[::]:9750", "192.0.2.1:9750"] {
            let said = refused(&[role, "--listen", address]);
            assert!(said.contains(&format!("use --insecure-listen {address} if that is meant")), "{said}");
        }
    }
}

#[test]
fn a_size_that_is_none_is_refused_with_an_example() {
    for role in ROLES {
        let said = refused(&[role, "--ring-bytes", "much"]);
        assert!(said.contains("--ring-bytes: \"much\" is not a size; write a number of bytes"), "{said}");
    }
}

#[test]
fn a_configuration_file_that_is_not_there_is_named() {
    for role in ROLES {
        let said = refused(&[role, "--config", "/nonexistent/ringside.yaml"]);
        assert!(
            said.contains("/nonexistent/ringside.yaml") && said.contains("check the path given by --config"),
            "{said}"
        );
    }
}

#[test]
fn version_and_help_go_to_standard_output_and_succeed() {
    let output = ringside(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("ringside {}\n", env!("CARGO_PKG_VERSION")));
    let output = ringside(&["doctor", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("--insecure-listen") && help.contains("RINGSIDE_RING_BYTES"), "{help}");
    assert_eq!(ringside(&[]).status.code(), Some(2));
}

/// Checks that scripts may rely on.
const CHECKS: [&str; 30] = [
    "configuration",
    "kernel",
    "os",
    "machine",
    "clock-ticks",
    "psi",
    "lockdown",
    "cgroup-layout",
    "cgroup-namespace",
    "cgroup-controllers",
    "cgroup-delegation",
    "memory-accounting",
    "swap-accounting",
    "io-controller",
    "memory-peak",
    "cpu-burst",
    "pid-namespace",
    "hidepid",
    "capabilities",
    "kmsg",
    "open-files",
    "inotify-watches",
    "inotify-instances",
    "docker-socket",
    "listen",
    "data-dir",
    "socket-lists",
    "perf-events",
    "resctrl",
    "storage",
];

#[test]
fn the_doctor_answers_in_json_with_every_named_check() {
    let output = ringside(&["doctor", "-o", "json", "--listen", "127.0.0.1:0", "--node-name", "n1"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["node"], "n1");
    let findings = report["findings"].as_array().unwrap();
    for check in CHECKS {
        let finding = findings.iter().find(|finding| finding["name"] == check);
        let finding = finding.unwrap_or_else(|| panic!("no check {check} in {report:#}"));
        let state = finding["state"].as_str().unwrap();
        assert!(["ok", "limited", "missing", "failed"].contains(&state), "{finding}");
        assert!(!finding["seen"].as_str().unwrap().is_empty(), "{finding}");
        if state != "ok" {
            assert!(finding["cost"].is_string() && finding["cure"].is_string(), "{finding}");
        }
    }
    assert_eq!(report["agent_can_run"], true);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_doctor_fails_where_the_agent_could_not_run() {
    let empty = tempfile::tempdir().unwrap();
    let root = empty.path().to_str().unwrap();
    let output =
        ringside(&["doctor", "--procfs", root, "--sysfs", root, "--cgroupfs", root, "--listen", "127.0.0.1:0"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ cgroup-layout") && text.contains("--cgroupfs"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where no terminal is");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringside"));
    command.args(["doctor", "--listen", "127.0.0.1:0"]).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn settings_come_from_the_environment_too() {
    let (_dir, path) = file("c.toml", "node_name = \"from-file\"\n");
    let node = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringside"));
        command.args(["doctor", "-o", "json", "--listen", "127.0.0.1:0"]).env_remove("NODE_NAME");
        let output = command.envs(environment.iter().copied()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["node"].as_str().unwrap().to_owned()
    };
    assert_eq!(node(&[("RINGSIDE_CONFIG", &path)]), "from-file");
    assert_eq!(node(&[("RINGSIDE_CONFIG", &path), ("NODE_NAME", "from-env")]), "from-env");
}
