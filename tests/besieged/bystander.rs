//! Somebody with nothing to hide, while others attack: reads the victim's values and pushes for its node.
//!
//! In: an attack as a future. Out: what the attack returned, and a line of the bystander's latencies, which is printed and
//! never judged. It fails when one of its own requests is refused or shows other values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::Client;
use super::{AGENT, Besieged, Home, NODE_NAME, READER, VICTIM, samples_of};
use crate::tls_client;

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(4);
const BETWEEN_PUSHES: Duration = Duration::from_millis(500);

pub struct Bystander {
    home: Home,
    table: String,
}

impl Bystander {
    pub fn new(besieged: &Besieged) -> Self {
        let table = "attack | GETs | p50 ms | p99 ms | slowest ms | RSS growth KiB\n".to_owned();
        Self { home: besieged.home.clone(), table }
    }

    /// Goes on beside an attack.
    pub async fn beside<T>(&mut self, besieged: &Besieged, name: &str, attack: impl Future<Output = T>) -> T {
        let ends = Arc::new(AtomicBool::new(false));
        let config = tls_client::config(Some(&besieged.proxy));
        let client = Client::connect(besieged.address, config, None).await;
        let life = tokio::spawn(live(client, self.home.clone(), Arc::clone(&ends)));
        let outcome = attack.await;
        ends.store(true, Ordering::Relaxed);
        let (home, mut took) = life.await.unwrap();
        self.home = home;
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1_000.0;
        let growth = besieged.growth_kib();
        let line = format!("{name} | {} | {:.2} | {:.2} | {:.2} | {growth}\n", took.len(), at(50), at(99), at(100));
        self.table.push_str(&line);
        outcome
    }

    pub fn table(&self) -> &str {
        &self.table
    }
}

async fn live(mut client: Client, mut home: Home, ends: Arc<AtomicBool>) -> (Home, Vec<Duration>) {
    let mut took = Vec::new();
    let mut pushed = Instant::now();
    while took.is_empty() || !ends.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let seen = client.send("GET", VICTIM, &[("x-remote-user", READER)], Bytes::new()).await.unwrap();
        took.push(asked.elapsed());
        assert_eq!(seen.status, 200, "{seen:?}");
        assert_eq!(seen.json()["containers"][0]["usage"]["memory"], "300Mi");
        if pushed.elapsed() >= BETWEEN_PUSHES {
            pushed = Instant::now();
            let headers = [("x-remote-user", AGENT), (NODE_NAME, "home")];
            let answer = client.send("POST", &samples_of("home"), &headers, home.push(1, false)).await.unwrap();
            assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (200, Some(1)), "{answer:?}");
        }
        tokio::time::sleep(BETWEEN_QUESTIONS).await;
    }
    (home, took)
}
