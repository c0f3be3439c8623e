//! The command against the API of the synthetic node, in this process and over a loopback port.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use clap::Parser;

use super::out::{Out, Progress};
use super::pieces::{self, Question};
use super::source::{Clock, Source};
use super::table::{self, Look};
use super::{AskError, QueryArgs, answer, run};
use crate::sample::NodeSample;
use crate::sample::catalogue::{CgroupColumn, Table};
use crate::store::Store;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::api::testing::{NOW, WALL, sample, store_of};
use crate::view::api::{HistoryList, answer_at};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: QueryArgs,
}

fn args(line: &[&str]) -> QueryArgs {
    Cli::parse_from(std::iter::once("query").chain(line.iter().copied())).args
}

/// A minute of the synthetic node, in which the CPU use of `web` goes up.
fn minute() -> Store {
    store_of((1..=60).map(|tick| {
        let mut one: NodeSample = sample(tick);
        let rows: Vec<_> = one
            .iter(Table::Cgroup)
            .map(|(subject, row)| {
                let mut copy = crate::sample::row::Row::of(row);
                if subject.name.contains("aaaaaa1") {
                    copy.put(CgroupColumn::CpuUsageUsec, Some(10_000_000 + tick * tick * 10_000));
                }
                copy
            })
            .collect();
        let set = one.rows_mut(Table::Cgroup).unwrap();
        set.clear();
        rows.iter().for_each(|row| set.push(row.as_ref()));
        one
    }))
}

fn asked(store: Store, line: &[&str], look: Look) -> Result<String, AskError> {
    let mut text = Vec::new();
    let mut out = Out::new(None, &mut text);
    answer(&args(line), &Source::Ring(store), look, &mut out, &mut Progress::new(false))?;
    Ok(String::from_utf8(text).unwrap())
}

fn plain(line: &[&str]) -> Result<String, AskError> {
    asked(minute(), line, Look::PLAIN)
}

const CONTAINERS: &str = "{kind=\"container\"}";

fn of_containers(metric: &str) -> String {
    format!("{metric}{CONTAINERS}")
}

// --- table ---

#[test]
fn the_table_of_a_rate_in_a_terminal_and_in_a_file() {
    let cpu = of_containers("cpu_usage_usec");
    let line = [cpu.as_str(), "--last", "5m", "--fn", "rate"];
    let looks = [Look { unicode: true, width: 80 }, Look::PLAIN];
    let shown = looks.map(|look| asked(minute(), &line, look).unwrap());
    assert!(shown[1].is_ascii(), "{}", shown[1]);
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_table_of_few_points_of_aggregates_and_of_parts() {
    let (cpu, limit) = (of_containers("cpu_usage_usec"), of_containers("memory_max_bytes"));
    let lines: [&[&str]; 5] = [
        &[&cpu, "--last", "59s", "--step", "20s", "--fn", "rate", "--by", "namespace"],
        &[&limit, "--last", "30s", "--step", "1s"],
        &["device.io_w_bytes", "--last", "30s", "--step", "15s", "--fn", "rate"],
        &["node.load1_hundredths", "--last", "20s", "--step", "10s", "--fn", "quantile", "--q", "0.5"],
        &["memory_current_bytes{namespace=\"shop\"}", "--last", "30s", "--step", "1m", "--agg", "sum"],
    ];
    let shown = lines.map(|line| format!("$ ringside query {}\n{}", line.join(" "), plain(line).unwrap()));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_name_cannot_send_commands_to_the_terminal() {
    let json = plain(&["cpu_usage_usec", "--format", "json"]).unwrap();
    let mut list: HistoryList = serde_json::from_str(&json).unwrap();
    for series in &mut list.series {
        series.labels.insert("name".into(), format!("\u{1b}]0;owned\u{7}{}", series.labels["id"]));
    }
    let shown = table::table(&list, Look { unicode: true, width: 80 });
    assert!(shown.contains("\\x1b]0;owned\\x07"), "{shown}");
    assert!(!shown.replace('\n', "").contains(char::is_control));
}

// --- csv and json ---

#[test]
fn csv_has_one_row_for_each_reading_and_series_when_no_step_is_asked_for() {
    let text = plain(&["memory_current_bytes{name=~\"web|db\"}", "--format", "csv"]).unwrap();
    assert!(
        text.starts_with("time,metric,namespace,pod,name,kind,id,container_id,image,runtime,qos,subject,value\r\n")
    );
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 120);
    let names: Vec<&str> = rows.iter().map(|row| &row[4]).collect();
    assert_eq!((names[0], names[59], names[60]), ("db", "db", "web"));
    assert_eq!((&rows[0][0], &rows[0][12]), ("2026-03-01T12:00:00.000Z", "1077936128"));
    assert_eq!((&rows[119][0], &rows[119][2]), ("2026-03-01T12:00:59.000Z", "shop"));
}

#[test]
fn csv_of_an_aggregate_has_its_labels_and_the_unlimited_by_its_word() {
    let limit = of_containers("memory_max_bytes");
    let text = plain(&[&limit, "--step", "1m", "--by", "namespace", "--agg", "max", "--format", "csv"]).unwrap();
    let expected = "time,metric,namespace,value\r\n\
                    2026-03-01T12:00:00.000Z,memory_max_bytes,,unlimited\r\n\
                    2026-03-01T12:00:00.000Z,memory_max_bytes,shop,unlimited\r\n";
    assert_eq!(text, expected);
}

#[test]
fn an_output_file_is_made_only_when_there_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let mut nowhere = Vec::new();
    let write = |line: &[&str], nowhere: &mut Vec<u8>| {
        let mut out = Out::new(Some(&path), nowhere);
        let answered = answer(&args(line), &Source::Ring(minute()), Look::PLAIN, &mut out, &mut Progress::new(false));
        answered.map(|()| out.flush().unwrap())
    };
    assert!(write(&["cpu_usage_usec{name=\"nobody\"}", "--format", "csv"], &mut nowhere).is_err());
    assert!(!path.exists());
    write(&["cpu_usage_usec{name=\"web\"}", "--format", "csv"], &mut nowhere).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 61);
    assert!(nowhere.is_empty());
}

// --- pieces ---

#[test]
fn a_time_that_is_asked_in_pieces_has_the_same_answer_as_at_once() {
    // 2,000 windows of 10 ms are 20 s, so that the minute is three pieces.
    let cpu = of_containers("cpu_usage_usec");
    let whole = minute();
    let end = NOW.wall.0 + 58_000_000_000;
    for (function, extra) in [("rate", ""), ("max", "&by=namespace"), ("last", "&top=2")] {
        let target = format!(
            "select={}&start={}&end={}.{:09}&step=10ms&fn={function}{extra}",
            crate::view::api::percent_encode(&cpu),
            WALL / 1_000_000_000,
            end / 1_000_000_000,
            end % 1_000_000_000
        );
        let at_once: HistoryList =
            serde_json::from_slice(&answer_at(&whole, "/api/v1/history", Some(&target), NOW).unwrap().body).unwrap();
        let mut line = vec![cpu.as_str(), "--start", "2026-03-01T12:00:00Z", "--step", "10ms", "--fn", function];
        line.extend(match extra {
            "&by=namespace" => ["--by", "namespace"].as_slice(),
            "&top=2" => &["--top", "2"],
            _ => &[],
        });
        let clock = Clock { newest: UnixNanos(end), interval_nanos: 0 };
        let question = Question::of(&args(&line), &clock).unwrap();
        let pieced = pieces::all(&Source::Ring(whole.clone()), question, &mut Progress::new(false)).unwrap();
        assert_eq!(pieced.series.len(), at_once.series.len(), "{function}");
        for (one, other) in pieced.series.iter().zip(&at_once.series) {
            assert_eq!(one.labels, other.labels);
            assert_eq!(one.points.len(), other.points.len(), "{function} {:?}", one.labels);
            let differ = one.points.iter().zip(&other.points).find(|(a, b)| (a.0 - b.0).abs() > 1e-3 || a.1 != b.1);
            assert_eq!(differ, None);
        }
        assert_eq!((&pieced.tiers, &pieced.end), (&at_once.tiers, &at_once.end));
    }
}

#[test]
fn a_piece_that_is_too_much_is_halved() {
    // 12,000 readings of one second are more than one answer holds.
    let seed = sample(1);
    let store = store_of((1..=12_000).map(|tick| {
        let mut one = NodeSample::new();
        one.tick = tick;
        one.wall = UnixNanos(WALL + tick * 10_000_000);
        let (subject, row) = seed.iter(Table::Node).next().unwrap();
        let mut roster = crate::sample::Roster::default();
        roster.subjects_mut(Table::Node).unwrap().push(Arc::clone(subject));
        one.roster = Arc::new(roster);
        one.started_at = MonotonicNanos(tick * 10_000_000);
        one.rows_mut(Table::Node).unwrap().push(row);
        one
    }));
    let text = asked(store, &["load1_hundredths", "--last", "5m", "--format", "csv"], Look::PLAIN).unwrap();
    assert_eq!(text.lines().count(), 12_001);
}

// --- errors ---

fn usage(line: &[&str]) -> String {
    let error = plain(line).unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn a_wrong_selector_is_shown_with_a_mark_under_the_byte() {
    let error = run(&args(&["cpu{pod=web}"]), &mut Vec::new()).unwrap_err();
    assert!(error.is_usage());
    let said = error.to_string();
    assert!(said.ends_with("\n  cpu{pod=web}\n          ^"), "{said}");
}

#[test]
fn what_is_wrong_with_a_question_is_told_and_is_the_users_affair() {
    assert!(usage(&["cpu_usage_used"]).contains("'cpu_usage_usec'"));
    assert!(usage(&["memory_current_bytes", "--fn", "rate"]).contains("only a counter"));
    assert!(usage(&["cpu_usage_usec", "--start", "yesterday"]).contains("--start yesterday is no instant"));
    assert!(usage(&["cpu_usage_usec", "--start", "-1h", "--end", "-2h"]).contains("swap"));
    assert!(usage(&["a", "--format", "openmetrics", "--fn", "rate"]).contains("leave out --fn"));
}

#[test]
fn when_nothing_is_found_it_is_told_what_there_is() {
    for format in ["table", "csv"] {
        let error = plain(&["cpu_usage_usec{namespace=\"shp\"}", "--format", format]).unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains("There is: shop"), "{error}");
    }
    let json = plain(&["cpu_usage_usec{namespace=\"shp\"}", "--format", "json"]).unwrap();
    assert!(json.contains("\"series\":[]"), "{json}");
}

#[test]
fn words_that_are_none_are_refused_by_the_command_line() {
    for line in
        [["--last", "15"], ["--step", "0s"], ["--fn", "median"], ["--agg", "last"], ["--top", "0"], ["--format", "xml"]]
    {
        let refused = Cli::try_parse_from(["query", "cpu_usage_usec"].into_iter().chain(line));
        assert!(refused.is_err(), "{line:?}");
    }
}

// --- over HTTP ---

/// Serves the minute; `/api/v1/export` sends a page in two chunks. Gives the targets that were asked for.
fn serve() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let targets = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&targets);
    std::thread::spawn(move || {
        let store = minute();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().unwrap().is_empty());
            let target = first.split(' ').nth(1).unwrap().to_owned();
            log.lock().unwrap().push(target.clone());
            if target.starts_with("/api/v1/export") {
                let page = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                            4\r\na 1\n\r\n6\r\n# EOF\n\r\n0\r\n\r\n";
                stream.write_all(page.as_bytes()).unwrap();
                continue;
            }
            let (path, query) =
                target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
            let answer = answer_at(&store, path, query, NOW).unwrap();
            let length = answer.body.len();
            let head = format!("HTTP/1.1 {} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n", answer.status);
            stream.write_all(&[head.as_bytes(), &answer.body].concat()).unwrap();
        }
    });
    (address, targets)
}

#[test]
fn an_agent_is_asked_over_http_and_its_answer_is_the_same() {
    let (address, _) = serve();
    let cpu = of_containers("cpu_usage_usec");
    let server = format!("http://{address}");
    let line = [cpu.as_str(), "--last", "30s", "--fn", "rate", "--format", "json"];
    let mut text = Vec::new();
    run(&args(&[&line[..], &["--server", &server]].concat()), &mut text).unwrap();
    let over_http: HistoryList = serde_json::from_slice(&text).unwrap();
    let here: HistoryList = serde_json::from_str(&plain(&line).unwrap()).unwrap();
    assert_eq!(over_http.series, here.series);
    assert_eq!(over_http.series.len(), 3);
}

#[test]
fn openmetrics_is_handed_on_as_it_comes() {
    let (address, targets) = serve();
    let mut text = Vec::new();
    let server = format!("http://{address}");
    let line = ["up{a=\"b\"}", "--format", "openmetrics", "--start", "2026-03-01T12:00:00Z", "--server", &server];
    run(&args(&line), &mut text).unwrap();
    assert_eq!(text, b"a 1\n# EOF\n");
    let target = targets.lock().unwrap().pop().unwrap();
    assert!(
        target.starts_with("/api/v1/export?match%5B%5D=up%7Ba%3D%22b%22%7D&start=1772366400.000000000&end="),
        "{target}"
    );
    assert!(target.ends_with("&format=openmetrics"), "{target}");
}

#[test]
fn without_an_agent_the_error_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = run(&args(&["cpu_usage_usec", "--server", &server]), &mut Vec::new()).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("`ringside agent`"), "{error}");
    let error = run(&args(&["cpu_usage_usec", "--server", "https://a"]), &mut Vec::new()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("port-forward"), "{error}");
}
