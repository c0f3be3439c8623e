//! Facts about the configuration.

use super::*;

fn resolve(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Result<AgentConfig, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    AgentConfig::resolve(&AgentFlags::of(flags), &environment)
}

fn message(result: Result<AgentConfig, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

/// A file that lives as long as the test.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn without_any_flag_the_defaults_of_the_help_hold() {
    let config = resolve(&[], &[]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:9750".parse().unwrap());
    assert!(!config.insecure);
    assert_eq!(config.interval, Duration::from_secs(1));
    assert_eq!(config.ring_bytes, 32 << 20);
    assert_eq!(config.procfs, Path::new("/proc"));
    assert_eq!(config.sysfs, Path::new("/sys"));
    assert_eq!(config.cgroupfs, Path::new("/sys/fs/cgroup"));
    assert_eq!(config.labels, LabelSet::Full);
    assert_eq!(config.docker_socket, SocketChoice::Auto);
    assert_eq!(config.cri_sockets, [SocketChoice::Auto]);
    assert_eq!(config.max_cgroups, 20_000);
    assert_eq!(config.kept_files, KeptFiles::Auto);
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.node_name, None);
    assert_eq!((config.push, config.pod_names), (PushRoute::Auto, PodNamesChoice::Auto));
    assert_eq!(config.push_interval, Duration::from_secs(15));
    assert!(config.warnings.is_empty());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let (_dir, path) = file("c.yaml", "interval: 4s\n");
    let interval = |flags: &[(&'static str, &str)], environment: &[(&str, &str)]| {
        resolve(flags, environment).unwrap().interval.as_secs()
    };
    let from_file = ("config", path.as_str());
    assert_eq!(interval(&[], &[]), 1);
    assert_eq!(interval(&[from_file], &[]), 4);
    assert_eq!(interval(&[from_file], &[("RINGSIDE_INTERVAL", "3s")]), 3);
    assert_eq!(interval(&[from_file, ("interval", "2s")], &[("RINGSIDE_INTERVAL", "3s")]), 2);
}

#[test]
fn lists_of_metrics_labels_and_variables_are_read_and_refused() {
    let config = resolve(&[], &[]).unwrap();
    assert_eq!((config.metrics, config.compat), (Sets::default(), Compat::Off));
    assert_eq!((config.container_labels, config.container_env), (LabelKeys::All, Vec::new()));
    let config = resolve(&[("metrics", "+tcp"), ("metrics", "-cpu"), ("container-labels", "none")], &[]).unwrap();
    assert_eq!(config.metrics, Sets::parse("default,tcp,-cpu", Sets::default()).unwrap());
    assert_eq!(config.container_labels, LabelKeys::Off);
    let config = resolve(&[("compat", "cadvisor"), ("container-env", "A,B")], &[]).unwrap();
    assert_eq!((config.metrics, config.compat), (Sets::cadvisor(), Compat::Cadvisor));
    assert_eq!(config.container_env, ["A", "B"]);
    let (_dir, path) = file("c.yaml", "metrics: [default, +tcp]\n");
    assert_eq!(resolve(&[("config", &path)], &[]).unwrap().metrics, Sets::parse("+tcp", Sets::default()).unwrap());
    for (key, value, why) in [
        ("metrics", "cpu,memry", "is not a list of sets: there is no set \"memry\"; did you mean memory?"),
        ("compat", "cadviser", "use none, cadvisor"),
        ("container-labels", "a,,b", "has an empty entry"),
        ("container-labels", "a,all", "stand alone"),
        ("container-env", "A,", "has an empty entry"),
    ] {
        let said = message(resolve(&[(key, value)], &[]));
        assert!(said.contains(&format!("--{key}")) && said.contains(why), "{said}");
    }
}

#[test]
fn a_flag_that_repeats_the_default_still_beats_the_file() {
    let (_dir, path) = file("c.yaml", "interval: 4s\n");
    let config = resolve(&[("config", &path), ("interval", "1s")], &[]).unwrap();
    assert_eq!(config.interval.as_secs(), 1);
}

#[test]
fn every_setting_can_be_set_in_yaml_with_dashes_and_in_toml_with_underscores() {
    let rows = [
        ("listen", "[::1]:9751"),
        ("secure-listen", "0.0.0.0:9753"),
        ("tls-cert-file", "/etc/ringside/tls.crt"),
        ("tls-private-key-file", "/etc/ringside/tls.key"),
        ("client-ca-file", "/etc/ringside/clients.crt"),
        ("static-token-file", "/etc/ringside/tokens.csv"),
        ("kubeconfig", "/etc/ringside/kubeconfig"),
        ("interval", "500ms"),
        ("ring-bytes", "64MiB"),
        ("data-dir", "/var/lib/ringside"),
        ("procfs", "/host/proc"),
        ("sysfs", "/host/sys"),
        ("cgroupfs", "/host/sys/fs/cgroup"),
        ("storage", "on"),
        ("storage-interval", "5m"),
        ("rootfs", "/host"),
        ("kubelet-dir", "/data/kubelet"),
        ("labels", "slim"),
        ("metrics", "default,+tcp,-pressure"),
        ("compat", "cadvisor"),
        ("container-labels", "team,app.kubernetes.io/*"),
        ("container-env", "APP_,VERSION"),
        ("label-names", "utf8"),
        ("docker-socket", "none"),
        ("podman-socket", "none"),
        ("cri-socket", "/run/crio/crio.sock"),
        ("max-cgroups", "7"),
        ("kept-files", "100"),
        ("detail-interval", "30s"),
        ("perf-events", "instructions,page-faults"),
        ("referenced-reset", "4"),
        ("pod-names", "api-server"),
        ("push", "direct"),
        ("push-interval", "30s"),
        ("push-url", "https://10.0.0.1:8443"),
        ("push-token-file", "/run/token"),
        ("push-ca-file", "/run/ca.crt"),
        ("node-name", "n1"),
        ("log-format", "text"),
        ("log-level", "debug"),
    ];
    let missing: Vec<_> = SETTINGS.iter().map(|s| s.key).filter(|key| rows.iter().all(|(row, _)| row != key)).collect();
    assert_eq!(missing, ["config", "insecure-listen"], "a new setting needs a row here");

    let by_flags = resolve(&rows, &[]).unwrap();
    assert_eq!(by_flags.interval, Duration::from_millis(500));
    assert_eq!(by_flags.node_name.as_deref(), Some("n1"));

    let yaml: String = rows.iter().map(|(key, value)| format!("{key}: \"{value}\"\n")).collect();
    let toml: String = rows.iter().map(|(key, value)| format!("{} = \"{value}\"\n", key.replace('-', "_"))).collect();
    let variables: Vec<(String, &str)> = rows.iter().map(|(key, value)| (settings::variable(key), *value)).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(by_flags, resolve(&[], &variables).unwrap());
    for (name, text) in [("c.yaml", yaml), ("c.toml", toml)] {
        let (_dir, path) = file(name, &text);
        let mut config = resolve(&[("config", &path)], &[]).unwrap();
        assert_eq!(config.config_file.take(), Some(PathBuf::from(&path)));
        assert_eq!(config, by_flags, "{name}");
    }
}

#[test]
fn an_unknown_key_names_the_file_the_line_and_the_nearest_key() {
    for (name, text) in
        [("c.yaml", "labels: slim\nintervall: 2s\n"), ("c.toml", "labels = \"slim\"\nintervall = \"2s\"\n")]
    {
        let (_dir, path) = file(name, text);
        let said = message(resolve(&[("config", &path)], &[]));
        assert_eq!(said, format!("{path}:2: unknown key \"intervall\"; did you mean \"interval\"?"));
    }
    let (_dir, path) = file("c.yaml", "zzzzzzzz: 1\n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.contains("use one of listen, insecure-listen, secure-listen"), "{said}");
}

#[test]
fn a_wrong_value_in_a_file_names_the_file_the_line_and_the_key() {
    let (_dir, path) = file("c.toml", "\n\nring_bytes = \"much\"\n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.starts_with(&format!("{path}:3: key \"ring_bytes\": \"much\" is not a size; write")), "{said}");
}

#[test]
fn files_that_cannot_be_understood_say_where_and_what_to_do() {
    let (_dir, path) = file("c.yaml", "interval: 1s\nlabels: [slim\n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.contains("mend this place"), "{said}");
    let (_dir, path) = file("c.toml", "interval = \n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.starts_with(&format!("{path}:1: ")) && said.contains("mend this place"), "{said}");
    let (_dir, path) = file("c.conf", "interval: 1s\n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.contains("end it in .yaml"), "{said}");
    let said = message(resolve(&[("config", "/nonexistent/c.yaml")], &[]));
    assert!(said.contains("/nonexistent/c.yaml") && said.contains("check the path given by --config"), "{said}");
    let (_dir, path) = file("c.yaml", "- interval\n");
    let said = message(resolve(&[("config", &path)], &[]));
    assert!(said.contains("keys and values"), "{said}");
}

#[test]
fn a_key_set_twice_is_refused_in_either_spelling() {
    for (name, text) in [
        ("c.yaml", "max-cgroups: 5\nmax_cgroups: 6\n"),
        ("c.toml", "max-cgroups = 5\nmax_cgroups = 6\n"),
        ("c.yaml", "max-cgroups: 5\nmax-cgroups: 6\n"),
    ] {
        let (_dir, path) = file(name, text);
        let said = message(resolve(&[("config", &path)], &[]));
        assert!(said.contains("twice") || said.to_lowercase().contains("duplicate"), "{said}");
    }
}

#[test]
fn numbers_that_a_template_turned_into_floats_are_still_integers() {
    for (name, text) in [
        ("c.toml", "max-cgroups = 2000.0\nring-bytes = 3.3554432e+07\n"),
        ("c.yaml", "max-cgroups: 2000\nring-bytes: 3.3554432e+07\n"),
    ] {
        let (_dir, path) = file(name, text);
        let config = resolve(&[("config", &path)], &[]).unwrap();
        assert_eq!((config.max_cgroups, config.ring_bytes), (2000, 32 << 20), "{name}");
    }
}

#[test]
fn an_empty_file_and_an_empty_key_leave_the_defaults() {
    for text in ["", "# nothing\n", "interval:\nlabels: null\n", "{}"] {
        let (_dir, path) = file("c.yaml", text);
        let config = resolve(&[("config", &path)], &[]).unwrap();
        assert_eq!((config.interval.as_secs(), config.labels), (1, LabelSet::Full), "{text:?}");
    }
}

#[test]
fn booleans_lists_and_groups_do_not_fit_a_plain_key() {
    for text in ["node-name: true\n", "interval: [1s, 2s]\n", "labels:\n  full: yes\n"] {
        let (_dir, path) = file("c.yaml", text);
        let said = message(resolve(&[("config", &path)], &[]));
        assert!(said.contains("does not fit this key; write text or a number"), "{said}");
    }
}

#[test]
fn plain_http_leaves_the_machine_only_by_its_own_name() {
    for address in ["0.0.0.0:9750", "[::]:9750", "10.0.0.1:9750", "[::ffff:10.0.0.1]:9750"] {
        let said = message(resolve(&[("listen", address)], &[]));
        assert!(said.contains(&format!("--insecure-listen {address}")), "{said}");
        let config = resolve(&[("insecure-listen", address)], &[]).unwrap();
        assert_eq!((config.listen, config.insecure), (address.parse().unwrap(), true));
    }
    assert!(message(resolve(&[("listen", ":9750")], &[])).contains("--insecure-listen 0.0.0.0:9750"));
    for address in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:9750", "localhost:9750", "[::ffff:127.0.0.1]:1"] {
        assert!(!resolve(&[("listen", address)], &[]).unwrap().insecure);
    }
}

#[test]
fn the_more_binding_of_two_addresses_wins_and_two_in_one_place_are_refused() {
    let said = message(resolve(&[("listen", "127.0.0.1:1"), ("insecure-listen", "0.0.0.0:2")], &[]));
    assert_eq!(said, "--listen and --insecure-listen are both given; give only one of them");
    let config = resolve(&[("listen", "127.0.0.1:1")], &[("RINGSIDE_INSECURE_LISTEN", "0.0.0.0:2")]).unwrap();
    assert_eq!((config.listen.port(), config.insecure), (1, false));
    let config = resolve(&[("insecure-listen", "0.0.0.0:2")], &[("RINGSIDE_LISTEN", "127.0.0.1:1")]).unwrap();
    assert_eq!((config.listen.port(), config.insecure), (2, true));
}

#[test]
fn intervals_outside_100ms_to_60s_are_refused() {
    for (text, want) in [("100ms", 100), ("0.25s", 250), ("1.5s", 1500), ("60s", 60_000), ("1m", 60_000)] {
        assert_eq!(resolve(&[("interval", text)], &[]).unwrap().interval, Duration::from_millis(want));
    }
    for text in ["0", "0s", "99ms", "60.1s", "2m", "1h", "99999999999999999999s"] {
        let said = message(resolve(&[("interval", text)], &[]));
        assert!(said.contains("from 100ms to 60s"), "{said}");
    }
    for text in ["", "s", "1d", "-1s", "1.s", "1,5s", "one", "1e3s"] {
        let said = message(resolve(&[("interval", text)], &[]));
        assert!(said.contains("write a number and a unit"), "{said}");
    }
    assert!(message(resolve(&[("interval", "5")], &[])).contains("has no unit; write for example 5s"));
}

#[test]
fn sizes_take_binary_and_decimal_suffixes() {
    for (text, want) in [
        ("4096", 4096),
        ("1k", 1000),
        ("32MiB", 32 << 20),
        ("32Mi", 32 << 20),
        ("32mib", 32 << 20),
        ("100MB", 100_000_000),
        ("100M", 100_000_000),
        ("1.5GiB", 3 << 29),
        ("2 GB", 2_000_000_000),
    ] {
        assert_eq!(resolve(&[("ring-bytes", text)], &[]).unwrap().ring_bytes, want, "{text}");
    }
    for (text, why) in [
        ("0", "at least"),
        ("0.0000000001k", "is not a size"),
        ("32m", "ambiguous"),
        ("32 apples", "is not a size"),
        ("-1", "is not a size"),
        ("99999999999999999999GiB", "more than this machine can address"),
    ] {
        let said = message(resolve(&[("ring-bytes", text)], &[]));
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn sockets_are_paths_auto_or_none() {
    let config = resolve(&[("docker-socket", "unix:///run/d.sock"), ("podman-socket", "none")], &[]).unwrap();
    assert_eq!(config.docker_paths(), [PathBuf::from("/run/d.sock")]);
    assert!(config.podman_paths().is_empty());
    assert!(config.cri_paths().len() > 1);
    assert!(message(resolve(&[("docker-socket", "tcp://1.2.3.4:2375")], &[])).contains("give an absolute path"));

    let both = [PathBuf::from("/run/a.sock"), PathBuf::from("/run/b.sock")];
    let config = resolve(&[("cri-socket", "/run/a.sock"), ("cri-socket", "/run/b.sock")], &[]).unwrap();
    assert_eq!(config.cri_paths(), both);
    let config = resolve(&[], &[("RINGSIDE_CRI_SOCKET", "/run/a.sock, /run/b.sock")]).unwrap();
    assert_eq!(config.cri_paths(), both);
    let (_dir, path) = file("c.yaml", "cri-socket:\n- /run/a.sock\n- /run/b.sock\n");
    assert_eq!(resolve(&[("config", &path)], &[]).unwrap().cri_paths(), both);
    let said = message(resolve(&[("cri-socket", "none"), ("cri-socket", "/run/b.sock")], &[]));
    assert!(said.contains("stand alone"), "{said}");
}

#[test]
fn the_downward_api_names_the_node_unless_the_agent_is_told_otherwise() {
    let name = |flags: &[(&'static str, &str)], env: &[(&str, &str)]| resolve(flags, env).unwrap().node_name;
    assert_eq!(name(&[], &[("NODE_NAME", "a")]).as_deref(), Some("a"));
    assert_eq!(name(&[], &[("NODE_NAME", "a"), ("RINGSIDE_NODE_NAME", "b")]).as_deref(), Some("b"));
    assert_eq!(name(&[("node-name", "c")], &[("NODE_NAME", "a")]).as_deref(), Some("c"));
    assert_eq!(name(&[], &[("NODE_NAME", "")]), None);
    assert!(message(resolve(&[("node-name", "a\nb")], &[])).contains("cannot name a node; give 1 to 253"));
}

#[test]
fn a_misspelt_variable_is_warned_about_and_those_of_a_service_are_not() {
    let config = resolve(
        &[],
        &[
            ("RINGSIDE_INTERVALL", "2s"),
            ("RINGSIDE_PORT", "tcp://10.0.0.1:9750"),
            ("RINGSIDE_PORT_9750_TCP_ADDR", "10.0.0.1"),
            ("RINGSIDE_SERVICE_HOST", "10.0.0.1"),
        ],
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        ["environment variable RINGSIDE_INTERVALL is not known and has no effect; did you mean RINGSIDE_INTERVAL?"]
    );
}

#[test]
fn an_error_names_the_source_it_came_from() {
    assert!(message(resolve(&[("labels", "fat")], &[])).starts_with("--labels: \"fat\" is not one of"));
    let said = message(resolve(&[], &[("RINGSIDE_LOG_LEVEL", "loud")]));
    assert!(said.starts_with("environment variable RINGSIDE_LOG_LEVEL: \"loud\""), "{said}");
    assert!(said.ends_with("use error, warn, info, debug, trace"), "{said}");
    assert!(message(resolve(&[("max-cgroups", "0")], &[])).contains("give a number from 1 up"));
    assert!(message(resolve(&[("kept-files", "some")], &[])).contains("give a number or auto"));
    assert!(message(resolve(&[("procfs", "")], &[])).contains("give the path of the mount"));
}

#[test]
fn the_reading_off_the_tick_takes_an_interval_and_events_by_name() {
    for (flag, wrong, cure) in [
        ("detail-interval", "900ms", "from 1s to 10m"),
        ("detail-interval", "11m", "from 1s to 10m"),
        ("perf-events", "instructions,nonsense", "names no event \"nonsense\"; use of instructions, cycles"),
        ("referenced-reset", "-1", "give a number from 0 up"),
    ] {
        let said = message(resolve(&[(flag, wrong)], &[]));
        assert!(said.contains(cure), "{said}");
    }
    let config = resolve(&[("perf-events", "page-faults, instructions,page-faults,")], &[]).unwrap();
    let names: Vec<_> = config.perf_events.iter().map(|event| event.name).collect();
    assert_eq!(names, ["page-faults", "instructions"]);
    let config = resolve(&[], &[]).unwrap();
    assert_eq!((config.detail_interval, config.referenced_reset), (Duration::from_secs(15), 0));
    assert!(config.perf_events.is_empty());
}

#[test]
fn a_push_takes_an_interval_of_seconds_and_an_https_url() {
    for (flag, wrong, cure) in [
        ("push-interval", "500ms", "from 1s to 60s"),
        ("push-interval", "2m", "from 1s to 60s"),
        ("push-url", "http://aggregator", "https URL"),
        ("push-url", "aggregator", "https URL"),
        ("push", "apiserver", "auto, api-server, direct, none"),
        ("pod-names", "yes", "auto, api-server, none"),
    ] {
        let said = message(resolve(&[(flag, wrong)], &[]));
        assert!(said.contains(wrong) && said.contains(cure), "{said}");
    }
}

#[test]
fn a_certificate_without_its_key_is_told() {
    let said = message(resolve(&[("tls-cert-file", "a.crt")], &[]));
    assert_eq!(said, "--tls-cert-file is given without --tls-private-key-file; give both, or neither");
    let said = message(resolve(&[], &[("RINGSIDE_TLS_PRIVATE_KEY_FILE", "a.key")]));
    assert_eq!(
        said,
        "environment variable RINGSIDE_TLS_PRIVATE_KEY_FILE is given without --tls-cert-file; give both, or neither"
    );
}
