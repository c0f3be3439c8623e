//! The agent beside a real containerd, with pods as a kubelet makes them over CRI.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use support::agent::{Agent, BINARY};
use support::containerd::{BUSYBOX, ContainerSpec, Containerd, Pod, PodSpec};
use support::exposition::{Labels, Sample, Scrape};
use support::kernel::{cgroup_file, cpu_seconds, first_pid, number, traffic};
use support::process::{run, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Uses 50 ms of CPU time every now and then, without end.
const BUSY: &str = "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2; done";

fn agent_beside(socket: &Path) -> Agent {
    let socket = socket.display().to_string();
    Agent::start(["--cri-socket", &socket, "--docker-socket", "none", "--podman-socket", "none"])
}

/// A pod with a UID of its own: the cgroups of tests that run at the same time are on the same machine.
fn shop_pod(containerd: &Containerd) -> Pod {
    containerd.run_pod(PodSpec::new("web-0", "shop", &new_uid()))
}

fn new_uid() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("7b0e5e1a-55aa-4d0e-{:04x}-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id())
}

fn shell(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec::new(name, &["/bin/sh", "-c", script])
}

/// The pod of this UID in `/api/v1/pods`.
fn pod_in_api(agent: &Agent, uid: &str) -> Option<Value> {
    let list = agent.get("/api/v1/pods", &[]).json();
    list["pods"].as_array().unwrap().iter().find(|pod| pod["uid"] == uid).cloned()
}

fn labels_of<'a>(scrape: &'a Scrape, name: &str, cgroup: &str) -> Option<&'a Labels> {
    scrape.find(name, &[("id", cgroup)]).first().map(|sample| &sample.labels)
}

/// The value of a tally of the pod `shop/web-0`.
fn tally(scrape: &Scrape, name: &str, container: &str) -> f64 {
    let found = scrape.find(name, &[("namespace", "shop"), ("pod", "web-0"), ("container", container)]);
    assert!(found.len() <= 1, "{name} is counted once: {found:?}");
    found.first().map_or(0.0, |sample| sample.value)
}

#[test]
fn a_pod_and_its_containers_have_their_names_on_every_series() {
    let containerd = Containerd::start();
    let agent = agent_beside(&containerd.socket());
    let pod = shop_pod(&containerd);
    let mut web = shell("web", BUSY);
    web.labels.push(("tier".to_owned(), "front".to_owned()));
    let web = containerd.run_container(&pod, &web);
    let sidecar = containerd.run_container(&pod, &ContainerSpec::new("sidecar", &["/bin/sleep", "1000"]));
    let (web_cgroup, sidecar_cgroup) = (pod.container_cgroup(&web), pod.container_cgroup(&sidecar));
    let named = |scrape: &Scrape, container: &str| {
        let key = [("namespace", "shop"), ("pod", "web-0"), ("container", container)];
        scrape.has("container_memory_working_set_bytes", &key)
    };
    agent.scrape_until("both containers' names", |scrape| named(scrape, "web") && named(scrape, "sidecar"));

    let lower = cpu_seconds(&web_cgroup);
    let scrape = agent.scrape_later_tick();
    let upper = cpu_seconds(&web_cgroup);
    let key = [("namespace", "shop"), ("pod", "web-0"), ("container", "web"), ("cpu", "total")];
    let used = scrape.value("container_cpu_usage_seconds_total", &key);
    assert!(lower < used && used <= upper, "{lower} < {used} <= {upper}");

    // The sidecar stands still, so that its memory can be compared to the byte.
    let key = [("namespace", "shop"), ("pod", "web-0"), ("container", "sidecar")];
    let usage = number(&cgroup_file(&sidecar_cgroup, "memory.current", "memory/memory.usage_in_bytes"));
    agent.scrape_until("the sidecar's memory", |scrape| scrape.value("container_memory_usage_bytes", &key) == usage);

    for (cgroup, id, container) in [(&web_cgroup, &web, "web"), (&sidecar_cgroup, &sidecar, "sidecar")] {
        for name in ["container_memory_usage_bytes", "container_start_time_seconds", "container_spec_cpu_shares"] {
            let labels = labels_of(&scrape, name, cgroup).unwrap_or_else(|| panic!("no {name} of {container}"));
            for (key, value) in [
                ("name", id.as_str()),
                ("image", BUSYBOX),
                ("namespace", "shop"),
                ("pod", "web-0"),
                ("container", container),
                ("container_label_io_kubernetes_pod_uid", &pod.spec.uid),
            ] {
                assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key} of {name} of {container}");
            }
        }
    }
    let labels = labels_of(&scrape, "container_memory_usage_bytes", &web_cgroup).unwrap();
    assert_eq!(labels["container_label_tier"], "front");

    // The pod's cgroup is the pod's and nothing else's: no name or image, which would count it as a container.
    let labels = labels_of(&scrape, "container_memory_usage_bytes", &pod.spec.cgroup_parent).unwrap();
    let told: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(told, [("id", pod.spec.cgroup_parent.as_str()), ("namespace", "shop"), ("pod", "web-0")]);
    let total = scrape.value("container_memory_usage_bytes", &[("id", &pod.spec.cgroup_parent)]);
    let parts = scrape.find("container_memory_usage_bytes", &[("namespace", "shop")]);
    let parts: f64 = parts.iter().filter(|sample| sample.labels.contains_key("name")).map(|sample| sample.value).sum();
    assert!(total >= parts * 0.9, "the pod's {total} hold its containers' {parts}");

    // The pause container is known for what it is.
    let kind = |cgroup: &str| labels_of(&scrape, "container_info", cgroup).map(|labels| labels["kind"].clone());
    assert_eq!(kind(&pod.cgroup()).as_deref(), Some("sandbox"));
    assert_eq!(kind(&web_cgroup).as_deref(), Some("container"));
    assert_eq!(kind(&pod.spec.cgroup_parent).as_deref(), Some("pod"));
    let labels = labels_of(&scrape, "container_memory_usage_bytes", &pod.cgroup()).unwrap();
    assert!(!labels.contains_key("container"), "{labels:?}");
    let info = labels_of(&scrape, "container_info", &web_cgroup).unwrap();
    assert_eq!((info["runtime"].as_str(), info["qos"].as_str()), ("containerd", "burstable"));
    assert_eq!((info["container_id"].as_str(), info["pod_uid"].as_str()), (web.as_str(), pod.spec.uid.as_str()));
    assert!(!scrape.has("ringside_container_restarts_total", &[("pod", "web-0"), ("container", "")]));

    let in_api = pod_in_api(&agent, &pod.spec.uid).expect("the pod in /api/v1/pods");
    assert_eq!((&in_api["namespace"], &in_api["name"]), (&"shop".into(), &"web-0".into()));
    assert_eq!((&in_api["qos"], &in_api["source"]), (&"Burstable".into(), &"cgroup".into()));
    assert_eq!(in_api["cgroup"], pod.spec.cgroup_parent);
    assert_eq!(in_api["restarts"], 0);
    let mut names: Vec<_> = in_api["containers"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["sidecar", "web"]);

    // What people see.
    let server = format!("http://{}", agent.address);
    let containers = run(BINARY, &["top", "containers", "--once", "--server", &server, "--namespace", "shop"]);
    let mut rows: Vec<Vec<&str>> = containers.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.remove(0)[..3], ["NAMESPACE", "POD", "NAME"]);
    rows.sort();
    let who: Vec<_> = rows.iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(who, [["shop", "web-0", "sidecar"], ["shop", "web-0", "web"]], "{containers}");
    assert!(rows[1][3].ends_with('m') && rows[1][3] != "0m", "the busy one uses CPU: {containers}");
    let pods = run(BINARY, &["top", "pods", "--once", "--server", &server, "--namespace", "shop"]);
    let rows: Vec<_> = pods.lines().skip(1).map(|line| line.split_whitespace().take(2).collect::<Vec<_>>()).collect();
    assert_eq!(rows, [["shop", "web-0"]], "{pods}");

    // Gone is gone, in the next ticks and without a trace but in its tallies.
    containerd.remove_pod(&pod);
    agent.scrape_until("the end of its series", |scrape| {
        scrape.samples.iter().all(|sample| sample.labels.get("id").is_none_or(|id| !id.contains(&pod.spec.uid)))
    });
    assert_eq!(pod_in_api(&agent, &pod.spec.uid), None);
}

#[test]
fn a_pods_network_is_counted_once_under_the_pod_and_a_host_network_pods_not_at_all() {
    let containerd = Containerd::start();
    let agent = agent_beside(&containerd.socket());
    let mut hosted = PodSpec::new("node-agent", "kube-system", &new_uid());
    hosted.host_network = true;
    let hosted = containerd.run_pod(hosted);
    let hosted_container = containerd.run_container(&hosted, &ContainerSpec::new("agent", &["/bin/sleep", "1000"]));
    let pod = shop_pod(&containerd);
    let receiver = shell("web", "nc -l -p 9000 >/dev/null; exec sleep 1000");
    containerd.run_container(&pod, &receiver);
    containerd.run_container(&pod, &ContainerSpec::new("sidecar", &["/bin/sleep", "1000"]));

    let address = format!("{}:9000", containerd.pod_ip(&pod));
    let mut stream = wait_until("a connection to the pod", SOON, || {
        TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))
    });
    stream.write_all(&vec![b'x'; 5_000_000]).unwrap();
    drop(stream);

    // Other traffic may come at any time: the agent's number lies between the kernel's before and after.
    let net_dev = || std::fs::read_to_string(format!("/proc/{}/net/dev", first_pid(&pod.cgroup()))).unwrap();
    wait_until("five megabytes in the pod's own counters", SOON, || match traffic(&net_dev(), "eth0").0 {
        received if received >= 5e6 => Ok(()),
        received => Err(format!("{received}")),
    });
    let before = traffic(&net_dev(), "eth0");
    let key = [("namespace", "shop"), ("pod", "web-0"), ("interface", "eth0")];
    let scrape = agent.scrape_until("five megabytes received", |scrape| {
        let found = scrape.find("container_network_receive_bytes_total", &key);
        found.iter().any(|sample| sample.value >= before.0)
    });
    let after = traffic(&net_dev(), "eth0");
    let received = scrape.value("container_network_receive_bytes_total", &key);
    let sent = scrape.value("container_network_transmit_bytes_total", &key);
    assert!((before.0..=after.0).contains(&received), "{before:?} <= {received} <= {after:?}");
    assert!((before.1..=after.1).contains(&sent), "{before:?} <= {sent} <= {after:?}");

    let series = scrape.find("container_network_receive_bytes_total", &[("namespace", "shop")]);
    assert_eq!(series.len(), 1, "one namespace, one interface, one series: {series:?}");
    assert_eq!(series[0].labels["id"], pod.spec.cgroup_parent);
    assert!(!series[0].labels.contains_key("container"));

    // Everybody in the host's network would show the host's interfaces as its own.
    let cgroup = hosted.container_cgroup(&hosted_container);
    let scrape = agent.scrape_until("the hosted pod's name", |scrape| {
        labels_of(scrape, "container_info", &cgroup).is_some_and(|labels| labels.contains_key("host_network"))
    });
    for sample in scrape.samples.iter().filter(|sample| sample.name.starts_with("container_network_")) {
        assert!(!sample.labels["id"].contains(&hosted.spec.uid), "{sample:?}");
    }
    assert_eq!(pod_in_api(&agent, &hosted.spec.uid).unwrap()["host_network"], true);
    assert_eq!(pod_in_api(&agent, &hosted.spec.uid).unwrap()["network"]["scope"], "host");
    assert_eq!(pod_in_api(&agent, &pod.spec.uid).unwrap()["network"]["scope"], "pod");
}

/// Starts attempt number `attempt` of a container, as a kubelet does after the one before it has ended.
fn run_attempt(containerd: &Containerd, pod: &Pod, mut spec: ContainerSpec, attempt: u32) -> String {
    spec.attempt = attempt;
    containerd.run_container(pod, &spec)
}

#[test]
fn a_restarted_container_goes_on_with_one_tally_and_the_exit_of_the_first_is_told() {
    let containerd = Containerd::start();
    let agent = agent_beside(&containerd.socket());
    let pod = shop_pod(&containerd);
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 3; exit 3";
    let first = run_attempt(&containerd, &pod, shell("web", script), 0);
    let exit = [("namespace", "shop"), ("pod", "web-0"), ("container", "web")];
    let scrape =
        agent.scrape_until("the first one's end", |scrape| scrape.has("ringside_container_exits_total", &exit));
    let ended = scrape.find("ringside_container_exits_total", &exit);
    let how = |sample: &Sample| (sample.labels["code"].clone(), sample.labels["reason"].clone());
    assert_eq!(ended.iter().map(|sample| how(sample)).collect::<Vec<_>>(), [("3".to_owned(), "Error".to_owned())]);
    assert_eq!(tally(&scrape, "ringside_container_restarts_total", "web"), 0.0);
    let spent = tally(&scrape, "ringside_container_lifetime_cpu_usage_seconds_total", "web");
    assert!(spent > 0.1, "its CPU time stays: {spent}");

    let second = run_attempt(&containerd, &pod, shell("web", BUSY), 1);
    let scrape = agent.scrape_until("the second one's name", |scrape| {
        scrape.has("container_cpu_usage_seconds_total", &[("name", &second), ("container", "web")])
    });
    assert!(!scrape.has("container_cpu_usage_seconds_total", &[("name", &first)]), "the first one is gone");
    assert_eq!(tally(&scrape, "ringside_container_restarts_total", "web"), 1.0);
    assert_eq!(scrape.value("ringside_container_exits_total", &exit), 1.0);

    let cgroup = pod.container_cgroup(&second);
    let lower = cpu_seconds(&cgroup);
    let scrape = agent.scrape_later_tick();
    let upper = cpu_seconds(&cgroup);
    let lifetime = tally(&scrape, "ringside_container_lifetime_cpu_usage_seconds_total", "web") - spent;
    // The tally counts whole microseconds.
    assert!((lower - 1e-6..=upper).contains(&lifetime), "{lower} <= {lifetime} <= {upper}");

    // A kubelet removes the dead one later; that is no news.
    containerd.remove_container(&first);
    std::thread::sleep(Duration::from_secs(5));
    let scrape = agent.scrape("/metrics");
    assert_eq!(tally(&scrape, "ringside_container_restarts_total", "web"), 1.0);
    assert_eq!(scrape.value("ringside_container_exits_total", &exit), 1.0);
    let in_api = pod_in_api(&agent, &pod.spec.uid).unwrap();
    assert_eq!(in_api["restarts"], 1);
    assert_eq!(in_api["containers"].as_array().unwrap().len(), 1, "{in_api}");
}

#[test]
fn oom_kills_of_a_container_are_counted_once_each_and_carried_over_its_restart() {
    let containerd = Containerd::start();
    let agent = agent_beside(&containerd.socket());
    let pod = shop_pod(&containerd);
    let glutton = || {
        let mut spec = shell("glutton", "sleep 1; exec tail /dev/zero");
        spec.resources.memory_limit_in_bytes = 16 << 20;
        spec
    };
    for attempt in 0..2 {
        let id = run_attempt(&containerd, &pod, glutton(), attempt);
        containerd.process.wait_until("the container's end", SOON, || match containerd.container_status(&id) {
            status if status.exit_code == 137 && status.reason == "OOMKilled" => Ok(()),
            status => Err(format!("{status:?}")),
        });
        let count = f64::from(attempt + 1);
        let key = [("container", "glutton"), ("code", "137"), ("reason", "OOMKilled")];
        let scrape = agent.scrape_until("the exit", |scrape| {
            scrape.find("ringside_container_exits_total", &key).iter().any(|sample| sample.value == count)
        });
        assert_eq!(tally(&scrape, "ringside_container_oom_kills_total", "glutton"), count);
    }
    // Nothing that comes late (the kernel log, a second report of the runtime) counts a kill again.
    std::thread::sleep(Duration::from_secs(5));
    let scrape = agent.scrape("/metrics");
    assert_eq!(tally(&scrape, "ringside_container_oom_kills_total", "glutton"), 2.0);
    assert_eq!(tally(&scrape, "ringside_container_restarts_total", "glutton"), 1.0);
}

#[test]
fn a_runtime_that_hangs_hides_no_container_and_names_new_ones_when_it_answers_again() {
    let containerd = Containerd::start();
    let agent = agent_beside(&containerd.socket());
    let pod = shop_pod(&containerd);
    let web = containerd.run_container(&pod, &shell("web", BUSY));
    let web_cgroup = pod.container_cgroup(&web);
    let usage = |scrape: &Scrape| {
        let key = [("id", web_cgroup.as_str()), ("container", "web"), ("namespace", "shop")];
        scrape.find("container_cpu_usage_seconds_total", &key).first().map(|sample| sample.value)
    };
    agent.scrape_until("the first container's name", |scrape| usage(scrape).is_some());

    let late = containerd.create_container(&pod, &ContainerSpec::new("late", &["/bin/sleep", "1000"]));
    let late_cgroup = pod.container_cgroup(&late);
    std::thread::scope(|scope| {
        scope.spawn(|| containerd.start_container(&late));
        // The shim makes the cgroup, and containerd waits for it: the container is born while its runtime hangs.
        wait_until("the late container's cgroup", SOON, || {
            let hierarchy = if support::kernel::is_v2() { "" } else { "memory" };
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join(late_cgroup.trim_start_matches('/'));
            if path.exists() { Ok(()) } else { Err(path.display().to_string()) }
        });
        containerd.process.signal(rustix::process::Signal::STOP);
        let before = agent.scrape("/metrics");
        // One that knows no container yet: it finds them by their cgroups.
        let fresh = agent_beside(&containerd.socket());
        std::thread::sleep(Duration::from_secs(6));
        let (after, unnamed) = (agent.scrape("/metrics"), fresh.scrape("/metrics"));
        containerd.process.signal(rustix::process::Signal::CONT);

        assert!(usage(&after) > usage(&before), "counters and names go on");
        let missed = |scrape: &Scrape| scrape.value("ringside_agent_missed_ticks_total", &[]);
        assert_eq!(missed(&after), missed(&before), "no tick is missed");
        assert!(labels_of(&after, "container_memory_usage_bytes", &late_cgroup).is_some());
        for cgroup in [&web_cgroup, &late_cgroup] {
            let labels = labels_of(&unnamed, "container_memory_usage_bytes", cgroup).expect("shown by its path");
            let keys: Vec<_> = labels.keys().collect();
            assert_eq!(keys, ["id"], "nobody has named it yet");
        }
        for agent in [&agent, &fresh] {
            agent.scrape_until("all names", |scrape| {
                usage(scrape).is_some()
                    && labels_of(scrape, "container_memory_usage_bytes", &late_cgroup)
                        .is_some_and(|labels| labels.get("container").is_some_and(|name| name == "late"))
            });
        }
    });
}

#[test]
fn a_runtime_that_comes_late_or_comes_back_is_picked_up() {
    let mut containerd = Containerd::start();
    let pod = shop_pod(&containerd);
    containerd.run_container(&pod, &ContainerSpec::new("web", &["/bin/sleep", "1000"]));
    let link = containerd.socket().with_file_name("late.sock");
    let agent = agent_beside(&link);
    let named = |scrape: &Scrape, container: &str| {
        scrape.has("container_memory_usage_bytes", &[("namespace", "shop"), ("container", container)])
    };
    let scrape = agent.scrape_later_tick();
    assert!(!named(&scrape, "web"), "there is no socket to ask");
    symlink(containerd.socket(), &link).unwrap();
    agent.scrape_until("the name after the socket has come", |scrape| named(scrape, "web"));

    containerd.restart();
    let scrape = agent.scrape_later_tick();
    assert!(named(&scrape, "web"), "what was known stays known");
    containerd.run_container(&pod, &ContainerSpec::new("second", &["/bin/sleep", "1000"]));
    let scrape = agent.scrape_until("a name from the runtime that came back", |scrape| named(scrape, "second"));
    assert!(named(&scrape, "web"));
    assert_eq!(tally(&scrape, "ringside_container_restarts_total", "web"), 0.0, "the container was not restarted");
}
