//! A real VictoriaMetrics, as one of the engines behind `--history-backend`.
//!
//! In: samples in Prometheus' text format with timestamps. Out: an address that answers Prometheus' queries.
use std::net::SocketAddr;
use std::time::Duration;

use super::http;
use super::process::{Running, Spawn, free_port, lab_folder, remove_folder_script};

pub struct VictoriaMetrics {
    pub process: Running,
    pub address: SocketAddr,
}

impl VictoriaMetrics {
    pub fn start() -> Self {
        let folder = lab_folder("victoria");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Spawn::new("victoria-metrics", "victoria-metrics")
            .arg(format!("-storageDataPath={}", folder.join("data").display()))
            .arg(format!("-httpListenAddr={address}"))
            .arg("-search.disableCache")
            .arg("-search.latencyOffset=0s")
            .arg("-memory.allowedBytes=64MB")
            .after_end(remove_folder_script(&folder))
            .start(&folder);
        let engine = Self { process, address };
        engine.process.wait_until("200 from /health", Duration::from_secs(60), || {
            match http::get(address, "/health", &[])? {
                response if response.status == 200 => Ok(()),
                response => Err(format!("status {}", response.status)),
            }
        });
        engine
    }

    /// Takes samples in and waits until queries see them.
    pub fn import(&self, text: &str) {
        let taken = http::post(self.address, "/api/v1/import/prometheus", &[], text.as_bytes()).unwrap();
        assert_eq!(taken.status, 204, "{}", taken.text());
        assert_eq!(http::get(self.address, "/internal/force_flush", &[]).unwrap().status, 200);
    }
}
