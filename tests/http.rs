//! The HTTP server over loopback sockets.

mod strict_parser;
mod synthetic;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringside::sample::processes::ProcessTable;
use ringside::store::{Store, StoreWriter, ring};
use ringside::view::Answer;
use ringside::view::events::EventLog;
use ringside::view::http::{Context, HttpServer, Limits};
use ringside::view::prometheus::{Exposition, Labels};
use ringside::view::remote::{self, Remote};

#[cfg(test)]
mod facts {
    use super::*;
    use std::sync::atomic::Ordering;

    struct Server {
        address: SocketAddr,
        writer: StoreWriter,
        exposition: Exposition,
        stop: Option<tokio::sync::oneshot::Sender<()>>,
        ended: std::sync::mpsc::Receiver<()>,
        _runtime: tokio::runtime::Runtime,
    }

    fn api(_: &Store, path: &str, query: Option<&str>) -> Option<Answer> {
        (path == "/api/v1/echo" || path == "/openapi.json").then(|| Answer {
            status: 200,
            content_type: "application/json",
            body: format!("{{\"path\":\"{path}\",\"query\":\"{}\"}}", query.unwrap_or("")).into_bytes(),
        })
    }

    fn start_with(limits: Limits) -> Server {
        start_bounded(limits, remote::Limits::default())
    }

    fn start_bounded(limits: Limits, history: remote::Limits) -> Server {
        let (writer, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::new(store.clone(), Labels::Full);
        let remote = Remote { store: store.clone(), shape: Labels::Full.into(), limits: history };
        let context = Context {
            store,
            exposition: exposition.clone(),
            api,
            remote,
            events: EventLog::default(),
            processes: ProcessTable::default(),
        };
        let server = HttpServer::bind_with("127.0.0.1:0".parse().unwrap(), context, limits).unwrap();
        let address = server.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel();
        runtime.spawn(exposition.clone().follow(std::future::pending()));
        runtime.spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server.serve(shutdown).await.unwrap();
            end.send(()).unwrap();
        });
        Server { address, writer, exposition, stop: Some(stop), ended, _runtime: runtime }
    }

    fn start() -> Server {
        start_with(Limits::default())
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// One request on one connection: the head in lower case, and the body.
    fn ask(address: SocketAddr, line: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = connect(address);
        write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let split = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let body = all.split_off(split + 4);
        (String::from_utf8(all).unwrap().to_ascii_lowercase(), body)
    }

    impl Server {
        fn tick(&mut self, containers: u64, tick: u64) {
            self.writer.append(Arc::new(synthetic::node(containers, tick)));
        }

        fn connect(&self) -> TcpStream {
            connect(self.address)
        }

        fn ask(&self, line: &str, headers: &str) -> (String, Vec<u8>) {
            ask(self.address, line, headers)
        }

        fn text(&self, line: &str, headers: &str) -> (String, String) {
            let (head, body) = self.ask(line, headers);
            (head, String::from_utf8(body).unwrap())
        }

        fn encodings(&self) -> u64 {
            self.exposition.counts().encodings.load(Ordering::Relaxed)
        }
    }

    fn containers_of(body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.lines().filter(|line| line.starts_with("container_")).collect::<Vec<_>>().join("\n")
    }

    fn ends_within(mut stream: TcpStream, limit: Duration) -> Duration {
        let begun = Instant::now();
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        begun.elapsed()
    }

    #[test]
    fn a_filter_of_an_unknown_set_is_refused_with_the_nearest_and_one_that_fits_nothing_is_an_empty_page() {
        let mut server = start();
        server.tick(4, 1);
        let (head, text) = server.text("GET /metrics?collect[]=memroy", "");
        assert!(head.starts_with("http/1.1 400") && head.contains("content-type: application/problem+json"), "{head}");
        assert!(text.contains("did you mean memory?"), "{text}");
        let (head, text) = server.text("GET /metrics?match%5B%5D=%7Ba%3Db%7D", "");
        assert!(head.starts_with("http/1.1 400") && text.contains("at byte 3"), "{head} {text}");
        let (head, text) = server.text("GET /metrics?match[]=nothing", "");
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/plain"), "{head}");
        assert_eq!(text, "");
        let openmetrics = "Accept: application/openmetrics-text;version=1.0.0\r\n";
        assert_eq!(server.text("GET /metrics?match[]=nothing", openmetrics).1, "# EOF\n");
        let (_, text) = server.text("GET /metrics?collect[]=network&collect[]=diskIO", "");
        let page = strict_parser::parse(&text, false).unwrap();
        let ours = |name: &str| {
            ["container_network_", "container_fs_", "container_blkio_"].iter().any(|p| name.starts_with(p))
        };
        assert!(!page.series.is_empty() && page.series.keys().all(|(name, _)| ours(name)), "{text}");
    }

    #[test]
    fn the_kubelets_page_stands_under_its_path_and_takes_filters_too() {
        let mut server = start();
        server.tick(4, 1);
        let (head, text) = server.text("GET /metrics/cadvisor", "");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let page = strict_parser::parse(&text, false).unwrap();
        assert!(
            !text.contains("ringside_") && !text.contains("container_label_") && text.contains("container_tasks_state")
        );
        let (_, text) = server.text("GET /metrics/cadvisor?collect[]=memory", "");
        let some = strict_parser::parse(&text, false).unwrap();
        assert!(some.series.len() > 10 && some.series.keys().all(|key| page.series.contains_key(key)));
        assert!(some.series.keys().all(|(name, _)| name.starts_with("container_memory_")));
        assert!(server.text("GET /metrics/cadvisor?collect[]=cpuu", "").0.starts_with("http/1.1 400"));
    }

    #[test]
    fn the_accept_header_chooses_the_format() {
        let mut server = start();
        server.tick(4, 1);
        let (head, text) = server.text("GET /metrics", "");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("vary: accept, accept-encoding\r\n"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff\r\n"), "{head}");
        assert!(!head.contains("access-control"), "{head}");
        let plain = strict_parser::parse(&text, false).unwrap();
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";
        let (head, open) = server.text("GET /metrics", accept);
        assert!(
            head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{head}"
        );
        let open = strict_parser::parse(&open, true).unwrap();
        assert!(open.series.keys().any(|(name, _)| name == "ringside_agent_tick_duration_seconds_bucket"));
        let own = |series: &strict_parser::Parsed| {
            series.series.keys().filter(|(name, _)| name.starts_with("container_")).count()
        };
        assert_eq!(own(&plain), own(&open));
        assert!(own(&plain) > 100);
    }

    #[test]
    fn compressed_bodies_unpack_to_the_plain_one() {
        let mut server = start();
        server.tick(20, 1);
        let (_, plain) = server.ask("GET /metrics", "");
        let (head, gzip) = server.ask("GET /metrics", "Accept-Encoding: gzip\r\n");
        assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(containers_of(&unpacked) == containers_of(&plain));
        let (head, zstd) = server.ask("GET /metrics", "Accept-Encoding: gzip;q=0.5, zstd\r\n");
        assert!(head.contains("content-encoding: zstd\r\n"), "{head}");
        let unpacked = zstd::decode_all(zstd.as_slice()).unwrap();
        assert!(containers_of(&unpacked) == containers_of(&plain));
        assert!(gzip.len() * 4 < plain.len() && zstd.len() * 4 < plain.len());
    }

    #[test]
    fn many_scrapers_in_one_tick_share_one_encoding() {
        let mut server = start();
        server.tick(50, 1);
        let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let address = server.address;
            let asks: Vec<_> = (0..16).map(|_| scope.spawn(move || ask(address, "GET /metrics", "").1)).collect();
            asks.into_iter().map(|ask| ask.join().unwrap()).collect()
        });
        assert!(bodies.iter().all(|body| *body == bodies[0]) && !bodies[0].is_empty());
        assert_eq!(server.encodings(), 1);
        server.tick(50, 2);
        server.ask("GET /metrics", "");
        assert_eq!(server.encodings(), 2);
        server.ask("GET /metrics?labels=slim", "");
        assert_eq!(server.encodings(), 3);
    }

    #[test]
    fn a_reader_that_does_not_read_blocks_nobody_and_is_dropped() {
        let mut server = start_with(Limits { write: Duration::from_millis(700), ..Limits::default() });
        server.tick(400, 1);
        let mut slow = server.connect();
        write!(slow, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 1];
        slow.read_exact(&mut first).unwrap();
        let begun = Instant::now();
        let (_, body) = server.ask("GET /metrics", "");
        assert!(body.len() > 12_000_000, "more than sockets buffer: {}", body.len());
        assert!(server.ask("GET /livez", "").0.starts_with("http/1.1 200"));
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(1500));
        let mut rest = Vec::new();
        let _ = slow.read_to_end(&mut rest);
        assert!(rest.len() < body.len(), "{} of {}", rest.len(), body.len());
        assert_eq!(server.exposition.counts().connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_head_that_is_too_long_is_431() {
        let mut server = start();
        server.tick(2, 1);
        let head = format!("X-Long: {}\r\n", "x".repeat(20_000));
        let mut stream = server.connect();
        let _ = write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }

    #[test]
    fn head_has_the_length_of_get_and_no_body() {
        let mut server = start();
        server.tick(2, 1);
        let (head, body) = server.ask("HEAD /metrics", "");
        assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
        let (_, got) = server.ask("GET /metrics", "");
        assert!(head.contains(&format!("content-length: {}\r\n", got.len())), "{head}");
    }

    #[test]
    fn what_is_not_there_is_a_problem_document() {
        let server = start();
        for path in ["/nowhere", "/api/v1/nothing", "/metrics/"] {
            let (head, body) = server.text(&format!("GET {path}"), "");
            assert!(head.starts_with("http/1.1 404"), "{head}");
            assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], 404);
            assert_eq!(problem["title"], "Not Found");
        }
    }

    #[test]
    fn questions_by_post_are_read_to_their_bound_and_others_are_refused() {
        let mut server = start();
        server.tick(2, 1);
        let (head, _) = server.ask("POST /stats/summary", "Content-Length: 0\r\n");
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/json\r\n"), "{head}");
        let (head, _) = server.ask("POST /api/v1.3/containers", "Content-Length: 65537\r\n");
        assert!(head.starts_with("http/1.1 413"), "{head}");
        for (method, path) in [("POST", "/metrics/resource"), ("PUT", "/stats/summary"), ("DELETE", "/api/v2.0/spec")] {
            let (head, _) = server.ask(&format!("{method} {path}"), "Content-Length: 0\r\n");
            assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{method} {path}: {head}");
        }
        let (head, body) = server.text("GET /metrics/resource", "");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(body.contains("\nresource_scrape_error "), "{body}");
        let (head, body) = server.text("GET /api/v2.1/stats?count=x", "");
        assert!(head.starts_with("http/1.1 400") && body.contains("'count'"), "{head}{body}");
        let (head, _) = server.text("GET /api/v1.0/machine", "");
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }

    #[test]
    fn nothing_but_get_and_head_is_allowed_and_long_bodies_are_refused() {
        let server = start();
        let (head, _) = server.ask("POST /metrics", "Content-Length: 0\r\n");
        assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head\r\n"), "{head}");
        let (head, _) = server.ask("GET /livez", "Content-Length: 65537\r\n");
        assert!(head.starts_with("http/1.1 413"), "{head}");
    }

    #[test]
    fn the_agent_is_ready_after_its_first_tick() {
        let mut server = start();
        assert!(server.ask("GET /readyz", "").0.starts_with("http/1.1 503"));
        assert!(server.ask("GET /metrics", "").0.starts_with("http/1.1 503"));
        assert!(server.ask("GET /livez", "").0.starts_with("http/1.1 200"));
        server.tick(2, 1);
        assert!(server.ask("GET /readyz", "").0.starts_with("http/1.1 200"));
        let (head, page) = server.text("GET /", "");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(page.contains("ringside on node-1") && page.contains("Tick 1: 7 cgroups"), "{page}");
    }

    #[test]
    fn the_api_is_asked_for_its_paths() {
        let server = start();
        let (head, body) = server.text("GET /api/v1/echo?a=b%20c", "");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        assert_eq!(body, "{\"path\":\"/api/v1/echo\",\"query\":\"a=b%20c\"}");
        assert!(server.ask("GET /openapi.json", "").0.starts_with("http/1.1 200"));
    }

    #[test]
    fn labels_can_be_chosen_by_the_scraper() {
        let mut server = start();
        server.tick(2, 1);
        let slim = server.text("GET /metrics?labels=slim", "").1;
        let full = server.text("GET /metrics?x=1&labels=full", "").1;
        let rss = |text: &str| text.lines().filter(|line| line.starts_with("container_memory_rss{")).count();
        let labelled = |text: &str| {
            text.lines().any(|line| line.starts_with("container_memory_rss{") && line.contains("container_label_"))
        };
        assert_eq!(rss(&slim), rss(&full));
        assert!(labelled(&full) && !labelled(&slim));
        assert!(server.ask("GET /metrics?labels=none", "").0.starts_with("http/1.1 400"));
    }

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let server = start();
        let (_, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::new(store.clone(), Labels::Full);
        let remote = Remote::new(store.clone(), Labels::Full);
        let context =
            Context { store, exposition, api, remote, events: EventLog::default(), processes: ProcessTable::default() };
        let error = HttpServer::bind(server.address, context).unwrap_err().to_string();
        assert!(error.contains(&server.address.to_string()) && error.contains("--listen"), "{error}");
    }

    #[test]
    fn slow_heads_and_idle_connections_are_closed_and_live_ones_are_kept() {
        let limits = Limits { head: Duration::from_millis(300), idle: Duration::from_millis(900), ..Limits::default() };
        let server = start_with(limits);
        let silent = ends_within(server.connect(), Duration::from_secs(10));
        assert!((200..800).contains(&silent.as_millis()), "{silent:?}");
        let mut half = server.connect();
        write!(half, "GET /livez HTTP/1.1\r\nHo").unwrap();
        let half = ends_within(half, Duration::from_secs(10));
        assert!((200..800).contains(&half.as_millis()), "{half:?}");
        let mut kept = server.connect();
        for _ in 0..3 {
            write!(kept, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"ok\n") {
                let mut byte = [0];
                kept.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let idle = ends_within(kept, Duration::from_secs(10));
        assert!((200..1200).contains(&idle.as_millis()), "{idle:?}");
    }

    #[test]
    fn connections_beyond_the_cap_are_told_so() {
        let server = start_with(Limits { connections: 2, ..Limits::default() });
        let held = [server.connect(), server.connect()];
        std::thread::sleep(Duration::from_millis(200));
        let mut third = server.connect();
        let mut answer = [0; 12];
        third.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 503");
        drop(held);
        std::thread::sleep(Duration::from_millis(200));
        assert!(server.ask("GET /livez", "").0.starts_with("http/1.1 200"));
        assert_eq!(server.exposition.counts().connections_refused.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_server_stops_when_told_and_closes_idle_connections() {
        let mut server = start();
        let mut kept = server.connect();
        write!(kept, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut byte = [0];
        kept.read_exact(&mut byte).unwrap();
        server.stop.take().unwrap().send(()).unwrap();
        server.ended.recv_timeout(Duration::from_secs(3)).unwrap();
        assert!(ends_within(kept, Duration::from_secs(3)) < Duration::from_secs(2));
        assert!(TcpStream::connect(server.address).is_err());
    }

    #[test]
    fn bodies_of_past_ticks_are_let_go_and_slow_readers_cannot_hold_many() {
        let (mut writer, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::with_max_live_bytes(store, Labels::Full, 8_000_000);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut held = Vec::new();
        for tick in 1..=20 {
            writer.append(Arc::new(synthetic::node(20, tick)));
            match runtime.block_on(exposition.show(&Default::default(), None)) {
                Ok(shown) => held.push(shown.body),
                Err(error) => assert_eq!(error, ringside::view::prometheus::ExpositionError::Busy),
            }
        }
        let bytes: usize = held.iter().map(|body| body.len()).sum();
        assert!(held.len() > 1 && bytes < 14_000_000, "{} bodies, {bytes} bytes", held.len());
        drop(held);
        writer.append(Arc::new(synthetic::node(20, 21)));
        assert!(runtime.block_on(exposition.show(&Default::default(), None)).is_ok());
    }

    #[test]
    fn a_remote_read_whose_body_does_not_come_is_told_so() {
        let server = start_with(Limits { head: Duration::from_millis(300), ..Limits::default() });
        let (head, body) = server.ask("POST /api/v1/read", "Content-Length: 10\r\n");
        assert!(head.starts_with("http/1.1 408"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("did not come in time"));
    }

    #[test]
    fn a_body_that_does_not_say_its_length_is_read_no_further_than_the_limit() {
        let server = start();
        let mut stream = server.connect();
        write!(stream, "POST /api/v1/read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = [b"2000\r\n".as_slice(), &[0; 0x2000], b"\r\n"].concat();
        // The server stops reading somewhere behind the limit; what does not fit into the sockets is not sent.
        let mut sent = 0;
        while sent < 9 && stream.write_all(&chunk).is_ok() {
            sent += 1;
        }
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 413");
    }

    #[test]
    fn only_so_many_answers_are_made_at_once_and_a_client_that_does_not_read_loses_its_place() {
        let history = remote::Limits {
            at_once: 1,
            waiting: 4,
            wait: Duration::from_millis(300),
            time: Duration::from_secs(2),
            ..remote::Limits::default()
        };
        let mut server = start_bounded(Limits::default(), history);
        for tick in 1..=30 {
            server.tick(20, tick);
        }
        let export = "GET /api/v1/export?match[]=%7B__name__%3D~%22.%2B%22%7D&start=0";
        let mut silent = server.connect();
        write!(silent, "{export} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut status = [0; 12];
        silent.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        let (head, body) = server.ask("GET /api/v1/export?match[]=node_load1&start=0", "");
        assert!(head.starts_with("http/1.1 429") && head.contains("retry-after: 5\r\n"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("try again in a few seconds"));
        // What is not history has its own places.
        assert!(server.ask("GET /metrics", "").0.starts_with("http/1.1 200"));
        let begun = Instant::now();
        loop {
            let (head, body) = server.ask("GET /api/v1/export?match[]=node_load1&start=0", "");
            if head.starts_with("http/1.1 200") {
                assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
                assert!(String::from_utf8(body).unwrap().contains("# EOF\n"));
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the silent client still holds the only place: {head}");
        }
        // Its answer was broken off: no client takes a part for the whole.
        let mut rest = Vec::new();
        let _ = silent.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "an answer that was broken off does not end as a whole one");
    }
}
