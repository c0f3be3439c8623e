//! A fleet against one aggregator: the real binary, the real protocol, over TLS, as the API server's front proxy sends it.
//!
//! In: sizes of the fleet (`cargo bench --bench fleet -- 500 1000 2000 5000`). Out: for each size what the aggregator needs in
//! CPU and memory, how long its answers take, the exponents of growth, and `docs/fleet.svg`. Figures are for
//! `docs/performance.md`; the machine carries the fleet itself too, so rates at full speed are per second of the aggregator's
//! own CPU time.

#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a program that measures fails by panicking and prints what it found"
)]

mod aggregator;
mod api_server;
mod client;
mod fleet;
mod plot;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringside::store::cluster::Snapshot;
use ringside::units::UnixNanos;
use ringside::uplink::wire::Encoder;

use aggregator::Aggregator;
use client::{FrontProxy, Pki};
use fleet::Fleet;

const PODS: usize = 30;
const CONTAINERS: usize = 2;
const INTERVAL: Duration = Duration::from_secs(15);
const HISTORY_PUSHES: u64 = 60;
/// Connections that the API servers keep to the aggregator.
const CONNECTIONS: usize = 4;
/// How long the steady state is watched.
const STEADY: Duration = Duration::from_secs(30);

struct Node {
    name: String,
    encoder: Encoder,
    snapshot: Snapshot,
}

/// What one size needs.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub nodes: usize,
    pub push_bytes: f64,
    pub push_cpu_usec: f64,
    pub rss_mib: f64,
    pub steady_cores: f64,
    pub get_p50_usec: f64,
    pub get_p99_usec: f64,
    pub list_mib: f64,
    pub list_mb_per_second: f64,
    pub get_p99_while_listing_usec: f64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![500, 1_000, 2_000, 5_000] } else { sizes };
    let mut all = Vec::new();
    println!(
        "{PODS} pods a node, {CONTAINERS} containers a pod, a push every {} s, history of {HISTORY_PUSHES} pushes",
        INTERVAL.as_secs()
    );
    println!(
        "| nodes | bytes a push | aggregator's CPU a push, µs | pushes/s of one core | RSS, MiB | cores at 15 s | GET p50, p99, µs | list, MiB | list, MB/s | GET p99 while listing, µs |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for nodes in sizes {
        let figures = measure(Fleet { nodes, pods: PODS, containers: CONTAINERS });
        println!(
            "| {} | {:.0} | {:.1} | {:.0} | {:.0} | {:.3} | {:.0}, {:.0} | {:.1} | {:.0} | {:.0} |",
            figures.nodes,
            figures.push_bytes,
            figures.push_cpu_usec,
            1e6 / figures.push_cpu_usec,
            figures.rss_mib,
            figures.steady_cores,
            figures.get_p50_usec,
            figures.get_p99_usec,
            figures.list_mib,
            figures.list_mb_per_second,
            figures.get_p99_while_listing_usec,
        );
        all.push(figures);
    }
    if all.len() > 1 {
        let exponent = |of: fn(&Figures) -> f64| {
            let points: Vec<(f64, f64)> = all.iter().map(|f| ((f.nodes as f64).ln(), of(f).ln())).collect();
            let n = points.len() as f64;
            let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
            points.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
                / points.iter().map(|(x, _)| (x - mx).powi(2)).sum::<f64>()
        };
        println!(
            "growth with the number of nodes: CPU ~ n^{:.2}, memory ~ n^{:.2}",
            exponent(|f| f.steady_cores),
            exponent(|f| f.rss_mib)
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet.svg");
        std::fs::write(path, plot::svg(&all)).unwrap();
        println!("plot: docs/fleet.svg");
    }
}

fn measure(fleet: Fleet) -> Figures {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let pki = Pki::new();
        let server = api_server::ApiServer::new(fleet, pki.ca_pem.clone()).serve().await;
        let aggregator = Aggregator::start(server).await;
        aggregator.wait_for_directory(&pki).await;
        let mut proxies = Vec::new();
        for _ in 0..CONNECTIONS {
            proxies.push(FrontProxy::connect(aggregator.address, &pki).await);
        }
        let mut figures = Figures { nodes: fleet.nodes, ..Figures::default() };

        // History, as fast as it goes: the wall clock of the samples begins in the past.
        let interval = INTERVAL.as_nanos() as u64;
        let begin = UnixNanos(now() - HISTORY_PUSHES * interval);
        let mut nodes: Vec<Node> = (0..fleet.nodes)
            .map(|node| {
                let name = fleet.node_name(node);
                Node {
                    encoder: Encoder::new(&name, fleet::random(7, node as u64)),
                    snapshot: fleet.first(node, begin),
                    name,
                }
            })
            .collect();
        let (mut cpu, mut bytes, mut pushes) = (Duration::ZERO, 0, 0_u64);
        for step in 0..HISTORY_PUSHES {
            // Bodies are made before the clock starts.
            let bodies: Vec<(String, Vec<u8>)> = nodes
                .iter_mut()
                .map(|node| {
                    fleet::advance(&mut node.snapshot, step, interval);
                    let body = node.encoder.push(std::slice::from_ref(&node.snapshot), step == 0);
                    (node.name.clone(), body)
                })
                .collect();
            let before = aggregator.cpu();
            if step > 0 {
                bytes += bodies.iter().map(|(_, body)| body.len()).sum::<usize>();
                pushes += bodies.len() as u64;
            }
            send_all(&mut proxies, bodies).await;
            if step > 0 {
                cpu += aggregator.cpu() - before;
            }
        }
        figures.push_bytes = bytes as f64 / pushes as f64;
        figures.push_cpu_usec = cpu.as_secs_f64() * 1e6 / pushes as f64;

        steady(&aggregator, &mut proxies, &pki, fleet, &mut nodes, &mut figures).await;
        figures.rss_mib = aggregator.rss_mib();

        // Lists, with and without somebody else asking for one pod.
        let mut lister = FrontProxy::connect(aggregator.address, &pki).await;
        let began = Instant::now();
        let listed = lister.get("/apis/metrics.k8s.io/v1beta1/pods").await;
        let took = began.elapsed();
        assert_eq!(listed.0, 200);
        figures.list_mib = listed.1 as f64 / 1048576.0;
        figures.list_mb_per_second = listed.1 as f64 / 1e6 / took.as_secs_f64();
        let listing = tokio::spawn(async move {
            for _ in 0..3 {
                lister.get("/apis/metrics.k8s.io/v1beta1/pods").await;
            }
        });
        let mut times = Vec::new();
        while !listing.is_finished() {
            times.push(get_one(&mut proxies[0], fleet, times.len()).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        figures.get_p99_while_listing_usec = quantile(&mut times, 0.99);
        figures
    })
}

async fn send_all(proxies: &mut [FrontProxy], bodies: Vec<(String, Vec<u8>)>) {
    let count = proxies.len();
    let mut shares: Vec<Vec<(String, Vec<u8>)>> = (0..count).map(|_| Vec::new()).collect();
    for (at, body) in bodies.into_iter().enumerate() {
        shares[at % count].push(body);
    }
    let sending = proxies.iter_mut().zip(shares).map(|(proxy, share)| async move {
        for (node, body) in share {
            let (status, said) = proxy.push(&node, body).await;
            assert_eq!(status, 200, "{said}");
        }
    });
    futures_util::future::join_all(sending).await;
}

async fn get_one(proxy: &mut FrontProxy, fleet: Fleet, at: usize) -> f64 {
    let pod = (at * 7919) % (fleet.nodes * fleet.pods);
    let began = Instant::now();
    let (status, _) = proxy.get(&fleet.path_of_pod(pod)).await;
    assert_eq!(status, 200, "{}", fleet.path_of_pod(pod));
    began.elapsed().as_secs_f64() * 1e6
}

/// Pushes at their own pace, from all nodes in turn, while one pod after the other is asked for.
async fn steady(
    aggregator: &Aggregator,
    proxies: &mut [FrontProxy],
    pki: &Pki,
    fleet: Fleet,
    nodes: &mut [Node],
    figures: &mut Figures,
) {
    let mut asking = FrontProxy::connect(aggregator.address, pki).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = std::sync::Arc::clone(&stop);
    let asker = tokio::spawn(async move {
        let mut times = Vec::new();
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            times.push(get_one(&mut asking, fleet, times.len()).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times
    });
    let (began, before) = (Instant::now(), aggregator.cpu());
    let pause = INTERVAL / fleet.nodes as u32;
    let mut sent = 0;
    while began.elapsed() < STEADY {
        let due = (began.elapsed().as_nanos() / pause.as_nanos()) as usize;
        while sent < due {
            let node = &mut nodes[sent % fleet.nodes];
            let round = (sent / fleet.nodes) as u64;
            fleet::advance(&mut node.snapshot, HISTORY_PUSHES + round, 0);
            node.snapshot.wall = UnixNanos(now());
            let body = node.encoder.push(std::slice::from_ref(&node.snapshot), false);
            let place = sent % proxies.len();
            let (status, said) = proxies[place].push(&node.name, body).await;
            assert_eq!(status, 200, "{said}");
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    figures.steady_cores = (aggregator.cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut times = asker.await.unwrap();
    figures.get_p50_usec = quantile(&mut times, 0.5);
    figures.get_p99_usec = quantile(&mut times, 0.99);
}

fn quantile(times: &mut [f64], quantile: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times
        .get(((times.len() as f64 * quantile) as usize).min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
