//! What is known after something was away, and what is told of an OOM kill.
//!
//! In: a cluster in which ringside runs. Out: steps of `tests/e2e.rs`.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ringside_in_cluster::{AGGREGATORS, PATIENCE, node_course};
use crate::support::cluster::{Cluster, NODE};

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until `kubectl top` answers for the node and for the pods of `web`.
fn wait_for_kubectl_top(cluster: &Cluster) {
    cluster.wait_until("kubectl top", PATIENCE, || {
        for (args, rows) in
            [(&["top", "node", "--no-headers"][..], 1), (&["top", "pods", "-l", "app=web", "--no-headers"], 2)]
        {
            let output = cluster.try_kubectl(args);
            if String::from_utf8_lossy(&output.stdout).lines().count() != rows {
                return Err(format!("{output:?}"));
            }
        }
        Ok(())
    });
}

/// Whether there is a reading at least each 5 s between these times, and no two neighbours are the same: a line that is drawn
/// over a gap has one value.
fn has_no_gap(course: &[(f64, f64)], from: f64, to: f64) -> Result<usize, String> {
    let within: Vec<(f64, f64)> = course.iter().copied().filter(|(at, _)| (from..=to).contains(at)).collect();
    let told = || format!("{from} to {to}: {course:?}");
    let (Some(first), Some(last)) = (within.first(), within.last()) else { return Err(told()) };
    let covers = first.0 - from <= 5.0 && to - last.0 <= 5.0;
    let dense = within.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 5.0);
    let values: HashSet<u64> = within.iter().map(|(_, value)| value.to_bits()).collect();
    if covers && dense && values.len() * 4 >= within.len() * 3 { Ok(within.len()) } else { Err(told()) }
}

pub fn a_new_aggregator_knows_what_was_before_it(cluster: &Cluster) {
    let before = node_course(cluster, "15m").unwrap_or_else(|told| cluster.fail(&told));
    let (oldest, newest) = (before.first().unwrap().0, before.last().unwrap().0);
    assert!(newest - oldest >= 20.0, "{before:?}");
    // Both at once and without a last word: there is nobody to tell the new ones but the agent.
    let all = ["delete", "pods", "-n", "ringside", "-l", AGGREGATORS, "--force", "--grace-period=0"];
    cluster.kubectl(&all);
    let (gone, restart) = (Instant::now(), unix_seconds());
    cluster.wait_pods_ready("ringside", AGGREGATORS, 2);
    let ready = gone.elapsed();
    wait_for_kubectl_top(cluster);
    let answered = gone.elapsed();
    let points = cluster.wait_until("the history from before the restart", PATIENCE, || {
        has_no_gap(&node_course(cluster, "15m")?, oldest, restart)
    });
    shown!(
        "new replicas were ready after {:.1} s, kubectl top answered after {:.1} s, and {points} points are older than they",
        ready.as_secs_f64(),
        answered.as_secs_f64(),
    );
}

pub fn an_outage_of_the_api_server_leaves_no_gap(cluster: &Cluster) {
    let running = || -> Vec<Value> {
        let pods = cluster.wait_pods_ready("default", "app=web", 2);
        pods.iter().map(|pod| pod["status"]["containerStatuses"][0]["containerID"].clone()).collect()
    };
    let before = running();
    let begin = unix_seconds();
    cluster.stop_api_server();
    assert!(cluster.get_raw("/readyz").is_err());
    std::thread::sleep(Duration::from_secs(15));
    cluster.start_api_server();
    let (back, end) = (Instant::now(), unix_seconds());
    wait_for_kubectl_top(cluster);
    let answered = back.elapsed();
    let points = cluster.wait_until("the history of the outage", PATIENCE, || {
        has_no_gap(&node_course(cluster, "5m")?, begin - 10.0, end)
    });
    shown!(
        "{:.0} s without an API server: {points} points from 10 s before it to its end, kubectl top {:.1} s after it",
        end - begin,
        answered.as_secs_f64(),
    );
    assert_eq!(running(), before);
}

const GLUTTON: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: glutton, namespace: shop }
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: eats
    image: lab.test/busybox:lab
    command: ["/bin/sh", "-c", "dd if=/dev/zero bs=20M count=1 | sleep 1000000 & while [ ! -e /tmp/eat ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1000000"]
    resources: { limits: { memory: 32Mi } }
"#;

pub fn an_oom_kill_is_told_once_with_the_limit_and_the_last_values(cluster: &Cluster) {
    cluster.apply(GLUTTON);
    cluster.wait_until("a glutton that is known by its name", PATIENCE, || {
        let output = cluster.try_kubectl(&["top", "pod", "-n", "shop", "glutton", "--no-headers"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.trim_end().ends_with(" 20Mi") || said.trim_end().ends_with(" 21Mi") {
            Ok(())
        } else {
            Err(format!("{output:?}"))
        }
    });
    cluster.kubectl(&["exec", "-n", "shop", "glutton", "--", "touch", "/tmp/eat"]);
    let events = || {
        let fields = "reason=ContainerOOMKilled";
        cluster.get_json(&["events", "-A", "--field-selector", fields])["items"].as_array().unwrap().clone()
    };
    let event = cluster.wait_until("an event", PATIENCE, || events().pop().ok_or_else(|| "no event".to_owned()));
    shown!(
        "$ kubectl get events -n shop\n{}",
        cluster.kubectl(&[
            "get",
            "events",
            "-n",
            "shop",
            "--field-selector",
            "reason=ContainerOOMKilled",
            "-o",
            "wide"
        ])
    );
    shown!("{}", event["message"].as_str().unwrap());
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["involvedObject"]["kind"], "Pod");
    assert_eq!(event["involvedObject"]["name"], "glutton");
    assert_eq!(event["involvedObject"]["fieldPath"], "spec.containers{eats}");
    assert_eq!(event["source"]["host"], NODE);
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("Its memory limit is 32 MiB."), "{message}");
    let end = message.split("at the end ").nth(1).unwrap_or_else(|| panic!("{message}"));
    let mebibytes: f64 = end.split(" MiB").next().unwrap().parse().unwrap_or_else(|_| panic!("{message}"));
    assert!((20.0..32.0).contains(&mebibytes), "{message}");
    // Some ticks later there is still one.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(events().len(), 1);
}
