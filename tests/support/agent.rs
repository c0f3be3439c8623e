//! The agent under test, as a user starts it: the binary, flags, a port.
//!
//! In: extra flags. Out: a guard that answers HTTP. It is ready when `/readyz` says 200.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exposition::Scrape;
use super::http::{self, Response};
use super::process::{Running, Spawn, free_port, lab_folder, remove_folder_script};

pub const BINARY: &str = env!("CARGO_BIN_EXE_ringside");

pub struct Agent {
    pub process: Running,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Agent {
    /// Starts `ringside agent --listen 127.0.0.1:PORT <extra>` and waits until it is ready.
    pub fn start<S: AsRef<std::ffi::OsStr>>(extra: impl IntoIterator<Item = S>) -> Self {
        let agent = Self::start_unready(extra);
        agent.wait_ready();
        agent
    }

    /// Starts it and does not wait: for tests of refusals and of the time before it is ready.
    pub fn start_unready<S: AsRef<std::ffi::OsStr>>(extra: impl IntoIterator<Item = S>) -> Self {
        Self::start_through(&[BINARY], extra)
    }

    /// Starts it by a command that ends in becoming the agent (`prlimit … BINARY`, `setpriv … BINARY`).
    pub fn start_through<S: AsRef<std::ffi::OsStr>>(command: &[&str], extra: impl IntoIterator<Item = S>) -> Self {
        let folder = lab_folder("agent");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Spawn::new("agent", command[0])
            .args(&command[1..])
            .args(["agent", "--listen", &address.to_string()])
            .args(extra)
            .after_end(remove_folder_script(&folder))
            .start(&folder);
        Self { process, address, folder }
    }

    pub fn wait_ready(&self) {
        self.process.wait_until("200 from /readyz", Duration::from_secs(30), || {
            match http::get(self.address, "/readyz", &[]) {
                Ok(response) if response.status == 200 => Ok(()),
                Ok(response) => Err(format!("{}: {}", response.status, String::from_utf8_lossy(&response.body))),
                Err(error) => Err(error),
            }
        });
    }

    /// A folder that lives as long as the agent.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        http::get(self.address, path, headers).unwrap_or_else(|error| self.process.fail(&error))
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        http::post(self.address, path, headers, body).unwrap_or_else(|error| self.process.fail(&error))
    }

    /// GET of a page of metrics, parsed; anything but 200 fails the test.
    pub fn scrape(&self, path: &str) -> Scrape {
        let response = self.get(path, &[]);
        assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(&response.body));
        Scrape::parse(response.text())
    }

    /// Scrapes until `accept` takes it: a scrape may come before the tick that shows what is waited for.
    pub fn scrape_until(&self, what: &str, accept: impl Fn(&Scrape) -> bool) -> Scrape {
        self.process.wait_until(what, Duration::from_secs(30), || {
            let scrape = self.scrape("/metrics");
            if accept(&scrape) { Ok(scrape) } else { Err("not yet".to_owned()) }
        })
    }

    /// A scrape of a tick that began after this call.
    pub fn scrape_later_tick(&self) -> Scrape {
        let tick = || self.get("/api/v1/node", &[]).json()["ticks"]["tick"].as_u64().expect("a tick number");
        let now = tick();
        self.process.wait_until("the next tick but one", Duration::from_secs(30), || {
            if tick() > now + 1 { Ok(()) } else { Err(format!("still tick {now}")) }
        });
        self.scrape("/metrics")
    }
}
