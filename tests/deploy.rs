//! What `deploy/` holds is what the chart renders, is valid, asks for no more than it says, and starts a binary that
//! knows its flags. Rendered by Helm's own engine and checked by Kubernetes' own schemas, through `deploy/render.sh`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn render_sh(arguments: &[&str]) -> Output {
    Command::new(deploy().join("render.sh")).args(arguments).output().unwrap()
}

/// What `deploy/render.sh` prints when all is well.
fn printed(arguments: &[&str]) -> String {
    let output = render_sh(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A manifest of the chart with these values over the defaults, and its objects.
fn manifest(values: &Value) -> Result<(String, Vec<Value>), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let output = render_sh(&["--run", "render-json", file.path().to_str().unwrap()]);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut both: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(objects) = both["objects"].take() else { panic!("no objects for {values}") };
    Ok((both["manifest"].as_str().unwrap().to_owned(), objects))
}

/// A manifest in a file, and its objects.
fn objects(values: &Value) -> (tempfile::NamedTempFile, Vec<Value>) {
    let (text, objects) = manifest(values).unwrap_or_else(|error| panic!("{values}: {error}"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    (file, objects)
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> = objects.iter().filter(|o| o["kind"] == kind && o["metadata"]["name"] == name).collect();
    assert_eq!(found.len(), 1, "{kind}/{name}");
    found.first().unwrap()
}

fn pod(objects: &[Value], kind: &str, name: &str) -> Value {
    one(objects, kind, name)["spec"]["template"]["spec"].clone()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|each| each.as_str().unwrap().to_owned()).collect()
}

/// Every opt-in and every other way through the templates.
fn variants() -> Vec<Value> {
    let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    vec![
        json!({}),
        json!({"agent": {"push": {"route": "direct", "interval": "5s"}, "tls": {"secretName": "agent-tls"}, "hostNetwork": true}}),
        json!({"agent": {"runtimeSockets": {"cri": "/run/containerd/containerd.sock", "docker": "/var/run/docker.sock"}}}),
        json!({"agent": {"runAsUser": 0, "capabilities": ["SYS_PTRACE"], "hostOsRelease": true,
                         "ringFile": {"enabled": true}, "affinity": {"nodeAffinity": {}}, "extraArgs": ["--max-cgroups=5000"]}}),
        json!({"agent": {"push": {"route": "none"}, "priorityClassName": "", "tolerations": []}, "aggregator": {"enabled": false}}),
        json!({"aggregator": {"tls": {"secretName": "aggregator-tls", "caBundle": certificate}, "extraResources": true,
                              "historyBackend": "http://mimir.example/prometheus", "replicas": 1, "tolerations": [{"operator": "Exists"}]},
               "image": {"repository": "registry.example:5000/ringside", "pullSecrets": ["pull"],
                         "digest": format!("sha256:{}", "0".repeat(64))}}),
        json!({"apiServices": {"metrics": false, "customMetrics": false, "history": false},
               "aggregator": {"replicas": 3, "podDisruptionBudget": {"minAvailable": 2}}}),
        json!({"rbac": {"scrapers": [{"name": "prometheus", "namespace": "monitoring"}], "aggregateToDefaultRoles": false},
               "scrape": {"annotations": true, "serviceMonitor": {"enabled": true, "labels": {"release": "p"}},
                          "headlessService": false, "podMonitor": {"enabled": true, "labels": {"release": "p"}}},
               "networkPolicy": {"agentFrom": [{"namespaceSelector": {}}], "aggregatorFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
               "commonLabels": {"team": "observers"}}),
    ]
}

#[test]
fn the_manifest_is_what_the_chart_renders() {
    let committed = std::fs::read_to_string(deploy().join("daemonset.yaml")).unwrap();
    assert_eq!(committed, printed(&["--print"]), "run deploy/render.sh and commit deploy/daemonset.yaml");
}

#[test]
fn helm_finds_nothing_to_say_about_the_chart() {
    printed(&["--run", "lint"]);
}

#[test]
fn every_object_is_valid_in_the_oldest_and_the_newest_kubernetes_whatever_is_opted_in() {
    for values in variants() {
        let (file, _) = objects(&values);
        for version in ["1.25", "newest"] {
            let said = printed(&["--run", "validate", file.path().to_str().unwrap(), version]);
            let count: usize = said.split(' ').next().unwrap().parse().unwrap();
            assert!(count >= 7, "{values}: {said}");
        }
    }
}

#[test]
fn an_object_that_kubernetes_would_not_take_is_found() {
    let (text, _) = manifest(&json!({})).unwrap();
    for (right, wrong) in [("replicas: 2", "replicas: two"), ("groupPriorityMinimum:", "groupPriorityMinimun:")] {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(text.contains(right), "{right}");
        std::fs::write(file.path(), text.replace(right, wrong)).unwrap();
        assert!(!render_sh(&["--run", "validate", file.path().to_str().unwrap(), "1.25"]).status.success(), "{wrong}");
    }
}

#[test]
fn a_misspelt_or_mistyped_value_is_refused_by_its_name() {
    for (values, named) in [
        (json!({"agent": {"intervall": "1s"}}), "intervall"),
        (json!({"aggregators": {}}), "aggregators"),
        (json!({"aggregator": {"replicas": "two"}}), "/aggregator/replicas"),
        (json!({"aggregator": {"historyBytes": 209_715_200}}), "/aggregator/historyBytes"),
        (json!({"agent": {"push": {"interval": "90s"}}}), "/agent/push/interval"),
        (json!({"agent": {"push": {"route": "carrier-pigeon"}}}), "/agent/push/route"),
        (json!({"agent": {"capabilities": ["SYS_ADMIN"], "runAsUser": 0}}), "/agent/capabilities"),
        (json!({"agent": {"capabilities": ["SYS_PTRACE"]}}), "agent.runAsUser"),
        (json!({"aggregator": {"enabled": false}}), "agent.push.route"),
        (json!({"aggregator": {"tls": {"secretName": "mine"}}}), "aggregator.tls.caBundle"),
        (
            json!({"aggregator": {"tls": {"secretName": "mine", "caBundle": "-----BEGIN CERTIFICATE-----"}}}),
            "aggregator.replicas",
        ),
        (json!({"image": {"tag": "latest"}}), "/image/tag"),
    ] {
        match manifest(&values) {
            Ok(_) => panic!("{values} was taken"),
            Err(said) => assert!(said.contains(named), "{values}: {said}"),
        }
    }
}

/// Compares two trees of values by their keys, down to where the schema takes any key.
fn same_keys(path: &str, defaults: &Value, schema: &Value, differences: &mut Vec<String>) {
    let (Some(defaults), Some(properties)) = (defaults.as_object(), schema["properties"].as_object()) else { return };
    for (key, value) in defaults {
        match properties.get(key) {
            Some(schema) => same_keys(&format!("{path}.{key}"), value, schema, differences),
            None => differences.push(format!("{path}.{key} has a default and no schema")),
        }
    }
    // Parts of Kubernetes' own objects, and Helm's own key, have no default of ours.
    let foreign = ["global", "claims", "requests", "limits", "maxSurge", "maxUnavailable"];
    for key in properties.keys().filter(|key| !defaults.contains_key(*key) && !foreign.contains(&key.as_str())) {
        differences.push(format!("{path}.{key} has a schema and no default"));
    }
}

#[test]
fn every_value_has_a_default_and_a_schema() {
    let defaults: Value = serde_json::from_str(&printed(&["--run", "values"])).unwrap();
    let schema = std::fs::read_to_string(deploy().join("helm/ringside/values.schema.json")).unwrap();
    let mut differences = Vec::new();
    same_keys("", &defaults, &serde_json::from_str(&schema).unwrap(), &mut differences);
    assert_eq!(differences, Vec::<String>::new());
}

/// Fails unless every container of the pod is as restricted as Kubernetes' profile `restricted` wants it.
fn assert_restricted(name: &str, pod: &Value) {
    let own = &pod["securityContext"];
    assert_eq!(own["runAsNonRoot"], true, "{name}");
    assert_eq!(own["runAsUser"], 65_534, "{name}");
    assert_eq!(own["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    assert_eq!(pod["automountServiceAccountToken"], false, "{name}: the token is mounted by name");
    for key in ["hostIPC", "hostNetwork", "initContainers"] {
        assert_eq!(pod.get(key), None, "{name}.{key}");
    }
    for container in pod["containers"].as_array().unwrap() {
        assert_eq!(
            container["securityContext"],
            json!({"allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
                   "capabilities": {"drop": ["ALL"]}}),
            "{name}"
        );
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS", "{name}.{probe}");
        }
    }
}

/// Paths of the node that a pod mounts: (path, read-only).
fn host_paths(pod: &Value) -> BTreeSet<(String, bool)> {
    let mounts: Vec<&Value> =
        pod["containers"].as_array().unwrap().iter().flat_map(|c| c["volumeMounts"].as_array().unwrap()).collect();
    let volumes = pod["volumes"].as_array().unwrap().iter().filter(|volume| volume.get("hostPath").is_some());
    volumes
        .map(|volume| {
            let read_only = mounts.iter().filter(|m| m["name"] == volume["name"]).all(|m| m["readOnly"] == true);
            (volume["hostPath"]["path"].as_str().unwrap().to_owned(), read_only)
        })
        .collect()
}

#[test]
fn pods_are_restricted_but_for_the_hosts_process_ids_and_two_folders_to_read() {
    let (_, objects) = objects(&json!({}));
    let agent = pod(&objects, "DaemonSet", "ringside-agent");
    let aggregator = pod(&objects, "Deployment", "ringside-aggregator");
    assert_restricted("agent", &agent);
    assert_restricted("aggregator", &aggregator);
    assert_eq!(agent["hostPID"], true);
    assert_eq!(host_paths(&agent), [("/proc".to_owned(), true), ("/sys/fs/cgroup".to_owned(), true)].into());
    assert_eq!(aggregator.get("hostPID"), None);
    assert_eq!(host_paths(&aggregator), BTreeSet::new());
}

#[test]
fn each_opt_in_adds_what_it_is_named_for_and_nothing_else() {
    let host = |values: Value| host_paths(&pod(&objects(&values).1, "DaemonSet", "ringside-agent"));
    let usual = host(json!({}));
    let added = |values: Value| host(values).difference(&usual).cloned().collect::<Vec<_>>();
    let socket = "/run/containerd/containerd.sock";
    assert_eq!(added(json!({"agent": {"runtimeSockets": {"cri": socket}}})), [(socket.to_owned(), false)]);
    assert_eq!(added(json!({"agent": {"ringFile": {"enabled": true}}})), [("/var/lib/ringside".to_owned(), false)]);
    assert_eq!(added(json!({"agent": {"hostOsRelease": true}})), [("/etc/os-release".to_owned(), true)]);
    assert_eq!(added(json!({"agent": {"push": {"route": "direct"}}})), []);

    let (_, with) = objects(&json!({"agent": {"runAsUser": 0, "capabilities": ["SYS_PTRACE"]}}));
    let agent = pod(&with, "DaemonSet", "ringside-agent");
    assert_eq!(
        agent["containers"][0]["securityContext"]["capabilities"],
        json!({"drop": ["ALL"], "add": ["SYS_PTRACE"]})
    );
    assert_eq!(agent["securityContext"]["runAsNonRoot"], false);
}

#[test]
fn tokens_are_bound_to_the_pod_and_the_direct_route_has_one_for_the_aggregator_alone() {
    let tokens = |pod: &Value| -> Vec<Value> {
        let sources =
            pod["volumes"].as_array().unwrap().iter().filter_map(|v| v["projected"]["sources"].as_array()).flatten();
        sources.filter_map(|source| source.get("serviceAccountToken").cloned()).collect()
    };
    let usual = json!({"path": "token", "expirationSeconds": 3607});
    let (_, plain) = objects(&json!({}));
    assert_eq!(tokens(&pod(&plain, "DaemonSet", "ringside-agent")), std::slice::from_ref(&usual));
    assert_eq!(tokens(&pod(&plain, "Deployment", "ringside-aggregator")), std::slice::from_ref(&usual));
    let (_, direct) = objects(&json!({"agent": {"push": {"route": "direct"}}}));
    let own = json!({"path": "token", "expirationSeconds": 3607, "audience": "ringside-aggregator"});
    assert_eq!(tokens(&pod(&direct, "DaemonSet", "ringside-agent")), [usual, own]);
    // Who does not push through the API server need not be allowed to.
    assert!(one(&plain, "ClusterRole", "ringside-agent").to_string().contains("ingest.ringside.dev"));
    assert!(!one(&direct, "ClusterRole", "ringside-agent").to_string().contains("ingest.ringside.dev"));
    let (_, by_socket) =
        objects(&json!({"agent": {"podNames": "none", "runtimeSockets": {"cri": "/run/crio/crio.sock"}}}));
    assert!(one(&plain, "ClusterRole", "ringside-agent").to_string().contains("\"pods\""));
    assert!(!one(&by_socket, "ClusterRole", "ringside-agent").to_string().contains("\"pods\""));
}

#[test]
fn images_are_named_by_the_version_of_this_binary() {
    let (_, objects) = objects(&json!({}));
    for pod in [pod(&objects, "DaemonSet", "ringside-agent"), pod(&objects, "Deployment", "ringside-aggregator")] {
        for container in pod["containers"].as_array().unwrap() {
            assert_eq!(container["image"], concat!("ringside:", env!("CARGO_PKG_VERSION")));
        }
    }
}

#[test]
fn api_services_leave_the_ca_to_the_aggregator_which_may_write_theirs_only() {
    for values in [json!({}), json!({"apiServices": {"metrics": false}})] {
        let (_, objects) = objects(&values);
        let services: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "APIService").collect();
        let mut names = BTreeSet::new();
        for service in services {
            let spec = &service["spec"];
            assert_eq!(spec["insecureSkipTLSVerify"], false);
            assert_eq!(spec.get("caBundle"), None, "applying the manifest again would reset it");
            let name = service["metadata"]["name"].as_str().unwrap();
            assert_eq!(format!("{}.{}", spec["version"].as_str().unwrap(), spec["group"].as_str().unwrap()), name);
            let named = spec["service"]["name"].as_str().unwrap();
            let found = one(&objects, "Service", named);
            assert_eq!(found["spec"]["ports"][0]["port"], spec["service"]["port"]);
            // Pushes must reach a replica that waits for them to become ready.
            let unready = found["spec"]["publishNotReadyAddresses"] == true;
            assert_eq!(unready, name.contains("ingest"), "{name}");
            names.insert(name.to_owned());
        }
        let role = one(&objects, "ClusterRole", "ringside-aggregator");
        let rules = role["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["resources"] == json!(["apiservices"])).unwrap();
        assert_eq!(strings(&rule["resourceNames"]).into_iter().collect::<BTreeSet<_>>(), names);
        assert_eq!(rule["verbs"], json!(["get", "patch"]));
    }
}

#[test]
fn no_role_asks_for_everything_or_reads_secrets_of_others() {
    let (_, objects) = objects(&json!({}));
    for role in objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")) {
        for rule in role["rules"].as_array().unwrap() {
            let name = &role["metadata"]["name"];
            assert!(!strings(&rule["verbs"]).contains(&"*".to_owned()), "{name}: {rule}");
            let Some(resources) = rule.get("resources") else { continue };
            if strings(resources).iter().any(|resource| resource == "secrets") {
                assert_eq!(role["kind"], "Role", "{name}: {rule}");
                let to_a_name = rule.get("resourceNames") == Some(&json!(["ringside-aggregator-ca"]));
                assert!(to_a_name || rule["verbs"] == json!(["create"]), "{name}: {rule}");
            }
        }
    }
}

#[test]
fn a_budget_that_could_never_be_kept_is_not_made() {
    let kinds =
        |values: Value| objects(&values).1.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
    assert_eq!(kinds(json!({})), 1);
    assert_eq!(kinds(json!({"aggregator": {"replicas": 1}})), 0);
}

#[test]
fn the_binary_knows_the_flags_that_the_manifests_give_it() {
    let mut used = BTreeSet::new();
    for values in variants() {
        let (_, objects) = objects(&values);
        for (kind, name) in [("DaemonSet", "ringside-agent"), ("Deployment", "ringside-aggregator")] {
            if !objects.iter().any(|object| object["kind"] == kind) {
                continue;
            }
            let arguments = strings(&pod(&objects, kind, name)["containers"][0]["args"]);
            let (role, flags) = arguments.split_first().unwrap();
            used.extend(flags.iter().map(|flag| (role.clone(), flag.split('=').next().unwrap().to_owned())));
        }
    }
    assert!(used.len() >= 20, "{used:?}");
    let help = |role: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_ringside")).args([role, "--help"]).output().unwrap();
        assert!(output.status.success(), "{role}");
        String::from_utf8(output.stdout).unwrap()
    };
    let helps = [("agent", help("agent")), ("aggregator", help("aggregator"))];
    for (role, flag) in used {
        let (_, help) = helps.iter().find(|(name, _)| *name == role).unwrap();
        let known = help.split_whitespace().any(|word| word.trim_end_matches(',') == flag);
        assert!(known, "ringside {role} has no flag {flag}");
    }
}

#[test]
fn prometheus_takes_the_scrape_configuration_and_finds_the_secure_ports_by_the_manifests_labels() {
    let file = deploy().join("prometheus-scrape.yaml");
    let parsed: Vec<Map<String, Value>> =
        serde_json::from_str(&printed(&["--run", "json", file.to_str().unwrap()])).unwrap();
    let mut config = Value::Object(parsed.into_iter().next().unwrap());
    let (_, objects) = objects(&json!({}));
    for job in config["scrape_configs"].as_array_mut().unwrap() {
        // Debian's promtool is built without the discovery of Kubernetes.
        let discovery = job.as_object_mut().unwrap().remove("kubernetes_sd_configs").unwrap();
        let selector = discovery[0]["selectors"][0]["label"].as_str().unwrap().to_owned();
        let component = selector.rsplit('=').next().unwrap().to_owned();
        let kind = if component == "agent" { "DaemonSet" } else { "Deployment" };
        let template = &one(&objects, kind, &format!("ringside-{component}"))["spec"]["template"];
        for pair in selector.split(',') {
            let (key, value) = pair.split_once('=').unwrap();
            assert_eq!(template["metadata"]["labels"][key], value);
        }
        assert_eq!(template["spec"]["containers"][0]["ports"][0]["name"], "https");
        assert_eq!(job["scheme"], "https");
        assert!(job["authorization"]["credentials_file"].is_string());
    }
    let checked = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(checked.path(), config.to_string()).unwrap();
    let output = Command::new("promtool")
        .args(["check", "config", "--syntax-only"])
        .arg(checked.path())
        .output()
        .unwrap_or_else(|error| panic!("cannot run promtool; tests/lab/setup.sh installs it: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_agents_are_found_by_the_name_of_their_headless_service() {
    let (_, objects) = objects(&json!({}));
    let service = one(&objects, "Service", "ringside-agent");
    assert_eq!(
        (&service["spec"]["clusterIP"], &service["spec"]["publishNotReadyAddresses"]),
        (&json!("None"), &json!(true))
    );
    let labels = &one(&objects, "DaemonSet", "ringside-agent")["spec"]["template"]["metadata"]["labels"];
    for (key, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&labels[key], value, "{key}");
    }
    let file = deploy().join("prometheus-scrape-dns.yaml");
    let parsed: Vec<Value> = serde_json::from_str(&printed(&["--run", "json", file.to_str().unwrap()])).unwrap();
    let found_by = &parsed[0]["scrape_configs"][0]["dns_sd_configs"][0];
    let metadata = &service["metadata"];
    let name = format!("{}.{}.svc", metadata["name"].as_str().unwrap(), metadata["namespace"].as_str().unwrap());
    assert_eq!(found_by["names"], json!([name]));
    assert_eq!(found_by["port"], service["spec"]["ports"][0]["port"]);
    let output = Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_pod_monitor_finds_the_agents_port_by_its_name() {
    let (_, objects) = objects(&json!({"scrape": {"podMonitor": {"enabled": true, "labels": {"release": "p"}}}}));
    let monitor = one(&objects, "PodMonitor", "ringside-agent");
    assert_eq!(monitor["metadata"]["labels"]["release"], "p");
    let agent = one(&objects, "DaemonSet", "ringside-agent");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&agent["spec"]["template"]["metadata"]["labels"][key], value, "{key}");
    }
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    assert_eq!(&agent["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"], port);
}
