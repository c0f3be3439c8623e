//! A bridge of its own for each container daemon of the lab.
//!
//! In: nothing. Out: the name and subnet of a new bridge `rsN` with the address 10.89.N.1/24.
//! Containers on one bridge reach each other and the host. The host's firewall is not changed but for one rule that
//! lets the bridge forward to itself, since another daemon may have set the policy of FORWARD to DROP.
use std::fs;

use super::process::{run, try_run};

pub struct Bridge {
    pub name: String,
    pub gateway: String,
    pub subnet: String,
}

impl Bridge {
    /// Takes the first free number: creating a link is atomic, so two tests never get the same one.
    pub fn create() -> Self {
        remove_orphans();
        for number in 1..=250 {
            let name = format!("rs{number}");
            if !try_run("ip", &["link", "add", &name, "type", "bridge"]).status.success() {
                continue;
            }
            let gateway = format!("10.89.{number}.1");
            let alias = format!("ringside-lab {}", std::process::id());
            run("ip", &["link", "set", &name, "alias", &alias]);
            run("ip", &["addr", "add", &format!("{gateway}/24"), "dev", &name]);
            run("ip", &["link", "set", &name, "up"]);
            run("iptables", &["-w", "-I", "FORWARD", "-i", &name, "-o", &name, "-j", "ACCEPT"]);
            return Self { name, gateway, subnet: format!("10.89.{number}.0/24") };
        }
        panic!("no free bridge rs1 … rs250: remove old ones with \"ip link del\"");
    }

    /// The shell script that takes the bridge away.
    pub fn remove_script(&self) -> String {
        let name = &self.name;
        format!("iptables -w -D FORWARD -i {name} -o {name} -j ACCEPT; ip link del {name}\n")
    }
}

/// A bridge whose maker is gone was left by a machine that lost power or a watcher that was killed.
fn remove_orphans() {
    for number in 1..=250 {
        let name = format!("rs{number}");
        let Ok(alias) = fs::read_to_string(format!("/sys/class/net/{name}/ifalias")) else {
            continue;
        };
        let Some(pid) = alias.trim().strip_prefix("ringside-lab ") else {
            continue;
        };
        let children_may_still_clean_up = fs::exists(format!("/proc/{pid}")).unwrap_or(true) || has_ports(&name);
        if !children_may_still_clean_up {
            let _gone_already = try_run("iptables", &["-w", "-D", "FORWARD", "-i", &name, "-o", &name, "-j", "ACCEPT"]);
            let _gone_already = try_run("ip", &["link", "del", &name]);
        }
    }
}

fn has_ports(bridge: &str) -> bool {
    fs::read_dir(format!("/sys/class/net/{bridge}/brif")).is_ok_and(|mut ports| ports.next().is_some())
}
