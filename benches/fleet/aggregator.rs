//! The aggregator under measurement: the binary, on a free port of loopback, with a kubeconfig of its own.
//!
//! In: the address of the API server. Out: a guard that tells its CPU time and memory, and ends it when dropped.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{FrontProxy, Pki};

pub struct Aggregator {
    pub address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl Aggregator {
    pub async fn start(api_server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(
            &kubeconfig,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
                 clusters: [{{name: k, cluster: {{server: 'http://{api_server}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
            ),
        )
        .unwrap();
        let address = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_ringside"))
            .arg("aggregator")
            .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
            .args(["--secure-listen", &address.to_string()])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let aggregator = Self { address, process, folder: folder };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the aggregator does not listen: {}", aggregator.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        aggregator
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it knows all nodes and pods of the fleet: a push is then taken whole.
    pub async fn wait_for_directory(&self, pki: &Pki) {
        let began = Instant::now();
        let mut proxy = FrontProxy::connect(self.address, pki).await;
        loop {
            let (_, text) = proxy.get_text("/metrics").await;
            if text.lines().any(|line| line == "ringside_aggregator_directory_synced 1") {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(240), "the directory is not complete: {}", self.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).unwrap()
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap();
        let of = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(|task| of(task.path())).sum())
    }

    pub fn rss_mib(&self) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}
