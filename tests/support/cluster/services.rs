//! What makes Services reachable from pods and from the host: a real kube-proxy, and a cluster DNS.
//!
//! In: the running API server. Out: processes. kube-proxy writes rules for the cluster's Service addresses into the
//! machine's iptables, and they are removed with it. The DNS is dnsmasq with a file of names, which a shell loop writes
//! every 2 s from the Services and Endpoints: `<service>.<namespace>.svc.cluster.local`, for a headless Service the
//! addresses of its ready pods. It knows no SRV records and no names of single pods.
use std::fs;
use std::path::Path;

use super::super::process::{Running, Spawn, path_with_sbin, run};
use super::kubelet::{NODE, restore_kernel_settings_script};

/// kube-proxy sets it; the machine gets its own value back.
const KERNEL_SETTINGS: [&str; 1] = ["net/ipv4/conf/all/route_localnet"];

pub fn start_kube_proxy(program: &Path, kubeconfig: &Path, host: &str, loopback: &str, folder: &Path) -> Running {
    assert!(
        !run("iptables-save", &["-t", "nat"]).contains(":KUBE-SERVICES "),
        "there are rules of a kube-proxy in iptables (chain KUBE-SERVICES), and two cannot share a machine; if none runs, \
         remove them with: {} --cleanup",
        program.display()
    );
    // It says "failed" for the parts of it that were not used, and has done its work.
    let clean_up = format!("'{}' --cleanup >/dev/null 2>&1\n{REMOVE_EMPTY_CHAINS}", program.display());
    Spawn::new("kube-proxy", program)
        .args(["--kubeconfig", kubeconfig.to_str().unwrap(), "--hostname-override", NODE])
        .args(["--bind-address", host, "--proxy-mode", "iptables"])
        // A pod's answer to another pod goes over the bridge: without this it would not come back the same way.
        .args(["--masquerade-all=true"])
        .args(["--healthz-bind-address", &format!("{loopback}:10256")])
        .args(["--metrics-bind-address", &format!("{loopback}:10249")])
        // The machine's connection tracking stays as it is.
        .args(["--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0"])
        .args(["--conntrack-tcp-timeout-close-wait", "0"])
        .env("PATH", path_with_sbin())
        .after_end(clean_up + &restore_kernel_settings_script(&KERNEL_SETTINGS))
        .start(folder)
}

/// `kube-proxy --cleanup` leaves some chains behind, to which nothing leads.
const REMOVE_EMPTY_CHAINS: &str = r#"
for table in nat filter mangle; do
    for action in -F -X; do
        iptables-save -t "$table" 2>/dev/null | sed -n 's/^:\(KUBE-[^ ]*\) .*/\1/p' | while read -r chain; do
            iptables -w -t "$table" "$action" "$chain" 2>/dev/null
        done
    done
done
"#;

/// dnsmasq on port 53 of the host's address on the bridge, and the loop that writes its names.
pub fn start_dns(kubeconfig: &Path, host: &str, folder: &Path) -> [Running; 2] {
    let names = folder.join("names");
    fs::write(&names, "").unwrap();
    let dnsmasq = Spawn::new("dnsmasq", "dnsmasq")
        .args(["--keep-in-foreground", "--log-facility=-", "--user=root", "--pid-file"])
        .args(["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/cluster.local/", "--cache-size=0"])
        .args(["--bind-interfaces", "--except-interface=lo", &format!("--listen-address={host}")])
        // Read again when it is told to: of watches by inotify a busy machine may have none left.
        .arg(format!("--addn-hosts={}", names.display()))
        .env("PATH", path_with_sbin())
        .start(folder);
    let loop_ = Spawn::new("dns-names", "/bin/sh")
        .args(["-c", WRITE_NAMES, "dns-names", kubeconfig.to_str().unwrap(), folder.to_str().unwrap(), TEMPLATE])
        .arg(dnsmasq.pid().to_string())
        .start(folder);
    [dnsmasq, loop_]
}

const TEMPLATE: &str = r#"{{range .items}}{{$of := .metadata}}{{if eq .kind "Service"}}S {{$of.name}}.{{$of.namespace}} {{.spec.clusterIP}}
{{end}}{{range .subsets}}{{range .addresses}}E {{$of.name}}.{{$of.namespace}} {{.ip}}
{{end}}{{end}}{{end}}"#;

/// `$1` kubeconfig, `$2` folder, `$3` template, `$4` dnsmasq, which is told when there are other names.
const WRITE_NAMES: &str = r#"
while sleep 2; do
    kubectl --kubeconfig "$1" --cache-dir "$2/kubectl-cache/dns" get services,endpoints -A -o go-template="$3" \
        >"$2/names.raw" || continue
    awk '$1 == "S" { service[$2] = $3 }
         $1 == "E" { pods[$2] = pods[$2] " " $3 }
         END {
             for (name in service) {
                 n = split(service[name] == "None" ? pods[name] : service[name], address, " ")
                 for (i = 1; i <= n; i++) print address[i] " " name ".svc.cluster.local"
             }
         }' "$2/names.raw" | sort >"$2/names.new"
    cmp -s "$2/names.new" "$2/names" && continue
    mv "$2/names.new" "$2/names" && kill -HUP "$4"
done
"#;
