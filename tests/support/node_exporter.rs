//! The real node_exporter, on a free port of its own, with its defaults.
//!
//! In: nothing. Out: a guard that gives scrapes of it.
use std::net::SocketAddr;
use std::time::Duration;

use super::exposition::Scrape;
use super::http;
use super::process::{Running, Spawn, free_port, lab_folder, remove_folder_script};

pub struct NodeExporter {
    pub process: Running,
    pub address: SocketAddr,
}

impl NodeExporter {
    pub fn start() -> Self {
        let folder = lab_folder("node-exporter");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Spawn::new("node-exporter", "prometheus-node-exporter")
            .arg(format!("--web.listen-address={address}"))
            .after_end(remove_folder_script(&folder))
            .start(&folder);
        process.wait_until("200 from /", Duration::from_secs(30), || match http::get(address, "/", &[])? {
            response if response.status == 200 => Ok(()),
            response => Err(format!("status {}", response.status)),
        });
        Self { process, address }
    }

    pub fn scrape(&self) -> Scrape {
        let response = http::get(self.address, "/metrics", &[]).unwrap_or_else(|error| self.process.fail(&error));
        assert_eq!(response.status, 200);
        Scrape::parse(response.text())
    }
}
