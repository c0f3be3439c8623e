//! Keys, frames and `--once`, on the synthetic node of the API's tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use clap::{Parser, ValueEnum};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::draw::{self, Theme};
use super::format;
use super::model::{Chart, Command, Data, Detail, Model, Rows, Scale, Series, Update};
use super::{SortBy, TopArgs, TopError, What, run};
use crate::view::Answer;
use crate::view::api::testing::{NOW, WALL, WEB_ID, store};
use crate::view::api::{ContainerList, Node, PodList, StoreState, answer_at};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: TopArgs,
}

pub(super) fn args(line: &str) -> TopArgs {
    Cli::parse_from(std::iter::once("top").chain(line.split_whitespace())).args
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> T {
    serde_json::from_slice(&answer_at(&store(), path, None, NOW).unwrap().body).unwrap()
}

fn data(what: What) -> Data {
    let rows = match what {
        What::Node => Rows::None,
        What::Pods => Rows::Pods(read::<PodList>("/api/v1/pods").pods),
        What::Containers => Rows::Containers(read::<ContainerList>("/api/v1/containers").containers),
    };
    let mut node = read::<Node>("/api/v1/node");
    // How full the ring is depends on its coding.
    node.store = StoreState { used_bytes: 12 << 20, budget_bytes: 32 << 20, ticks: 10_800, ..StoreState::default() };
    Data { node, rows, ..Data::default() }
}

/// A model that has seen a minute of ticks in which the CPU use went up and down.
fn model(what: What) -> Model {
    let mut model = Model::new(&args(what.to_possible_value().unwrap().get_name()));
    for tick in 0..60_u32 {
        let mut data = data(what);
        data.node.ticks.as_mut().unwrap().tick = u64::from(tick) + 100;
        data.node.read_at = format!("2026-03-01T12:00:{tick:02}.000Z");
        if let Rows::Containers(containers) = &mut data.rows {
            for container in containers {
                let wave = 0.5 + 0.5 * (f64::from(tick) / 4.0).sin();
                container.cpu.usage_cores =
                    container.cpu.usage_cores.map(|cores| if tick < 59 { cores * wave } else { cores });
            }
        }
        assert_eq!(model.update(Update::Data(Box::new(data))), None);
    }
    model
}

pub(super) fn press(model: &mut Model, keys: &[KeyCode]) -> Option<Command> {
    keys.iter().map(|key| model.key(KeyEvent::new(*key, KeyModifiers::NONE))).last().flatten()
}

pub(super) fn typed(model: &mut Model, text: &str) -> Option<Command> {
    press(model, &text.chars().map(KeyCode::Char).collect::<Vec<_>>())
}

pub(super) fn frame(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::frame(frame, model, &Theme::new(true))).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() };
    (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

pub(super) fn names(model: &Model) -> Vec<String> {
    model.shown().into_iter().map(super::line::Line::label).collect()
}

// --- keys ---

#[test]
fn s_and_angle_brackets_change_the_sort_and_r_reverses_it() {
    let mut model = model(What::Containers);
    assert_eq!(names(&model), ["db", "shop/web-7d9/web", "shop/web-7d9/log"]);
    typed(&mut model, "r");
    assert_eq!(names(&model), ["shop/web-7d9/log", "shop/web-7d9/web", "db"]);
    typed(&mut model, "rs");
    assert_eq!(model.sort, SortBy::Memory);
    typed(&mut model, "<<");
    assert_eq!(model.sort, SortBy::Name);
    typed(&mut model, ">");
    assert_eq!(model.sort, SortBy::Cpu);
}

#[test]
fn a_filter_takes_every_letter_until_enter_and_esc_clears_it() {
    let mut model = model(What::Containers);
    assert_eq!(typed(&mut model, "/sq"), None);
    assert_eq!(model.filter, "sq");
    press(&mut model, &[KeyCode::Backspace, KeyCode::Char('h'), KeyCode::Enter]);
    assert_eq!(names(&model), ["shop/web-7d9/web", "shop/web-7d9/log"]);
    assert_eq!(typed(&mut model, "q"), Some(Command::Quit));
    press(&mut model, &[KeyCode::Esc]);
    assert_eq!(names(&model).len(), 3);
}

#[test]
fn the_chosen_line_stays_chosen_when_the_order_changes() {
    let mut model = model(What::Containers);
    press(&mut model, &[KeyCode::Down]);
    assert_eq!(model.shown()[model.cursor(&model.shown())].name.as_deref(), Some("web"));
    typed(&mut model, "r");
    typed(&mut model, "/web");
    model.update(Update::Data(Box::new(data(What::Containers))));
    assert_eq!(model.shown()[model.cursor(&model.shown())].name.as_deref(), Some("web"));
    press(&mut model, &[KeyCode::Esc, KeyCode::PageDown, KeyCode::PageDown]);
    assert_eq!(model.cursor(&model.shown()), 2);
    press(&mut model, &[KeyCode::PageUp, KeyCode::Up]);
    assert_eq!(model.cursor(&model.shown()), 0);
}

#[test]
fn enter_shows_a_containers_details_and_esc_goes_back() {
    let mut model = model(What::Containers);
    let detail = |minutes| Some(Command::Detail(Some(Detail { id: WEB_ID.into(), minutes, end: None })));
    assert_eq!(press(&mut model, &[KeyCode::Down, KeyCode::Enter]), detail(15));
    assert_eq!(typed(&mut model, "+"), detail(60));
    assert_eq!(typed(&mut model, "--"), detail(5));
    assert_eq!(typed(&mut model, "-"), None);
    assert_eq!(model.detailed().map(|container| container.name.as_str()), Some("web"));
    assert_eq!(press(&mut model, &[KeyCode::Esc]), Some(Command::Detail(None)));
    assert!(model.detail.is_none());
}

#[test]
fn enter_on_a_pod_shows_its_containers() {
    let mut model = model(What::Pods);
    assert_eq!(press(&mut model, &[KeyCode::Enter]), Some(Command::Show(What::Containers)));
    model.update(Update::Data(Box::new(data(What::Containers))));
    assert_eq!(names(&model), ["shop/web-7d9/web", "shop/web-7d9/log"]);
}

#[test]
fn a_shows_every_cgroup_and_containers_again() {
    let mut model = model(What::Containers);
    assert_eq!(typed(&mut model, "a"), Some(Command::All(true)));
    assert_eq!(typed(&mut model, "a"), Some(Command::All(false)));
    assert_eq!(served("--all --sort name").unwrap().lines().count(), 9);
}

#[test]
fn tab_goes_around_and_an_answer_to_the_tab_before_is_not_shown() {
    let mut model = model(What::Containers);
    assert_eq!(press(&mut model, &[KeyCode::Tab]), Some(Command::Show(What::Node)));
    assert_eq!(press(&mut model, &[KeyCode::Tab]), Some(Command::Show(What::Pods)));
    model.update(Update::Data(Box::new(data(What::Containers))));
    assert_eq!(names(&model), [""; 0]);
    assert_eq!(press(&mut model, &[KeyCode::BackTab]), Some(Command::Show(What::Node)));
}

#[test]
fn while_paused_data_is_not_taken_in_but_keys_and_errors_are() {
    let mut model = model(What::Containers);
    typed(&mut model, "p");
    let mut later = data(What::Containers);
    later.node.name = "other".into();
    model.update(Update::Data(Box::new(later)));
    assert_eq!(model.node.as_ref().unwrap().name, "node-1");
    model.update(Update::Failed("gone".into()));
    assert_eq!(model.error.as_deref(), Some("gone"));
    typed(&mut model, "p");
    model.update(Update::Data(Box::new(data(What::Containers))));
    assert_eq!(model.error, None);
}

#[test]
fn ctrl_c_leaves_from_everywhere() {
    let mut model = model(What::Containers);
    for keys in ["/", "", "?"] {
        typed(&mut model, keys);
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.key(ctrl_c), Some(Command::Quit));
    }
    assert_eq!(model.update(Update::Quit), Some(Command::Quit));
}

#[test]
fn the_same_tick_twice_is_one_point_of_the_sparkline() {
    let mut model = Model::new(&args(""));
    for _ in 0..3 {
        model.update(Update::Data(Box::new(data(What::Containers))));
    }
    assert_eq!(model.sparks[WEB_ID].len(), 1);
}

// --- frames ---

#[test]
fn containers_at_80_by_24() {
    insta::assert_snapshot!(frame(&model(What::Containers), 80, 24));
}

#[test]
fn containers_at_160_by_40() {
    let mut model = model(What::Containers);
    press(&mut model, &[KeyCode::Down]);
    insta::assert_snapshot!(frame(&model, 160, 40));
}

#[test]
fn pods_at_80_by_24() {
    insta::assert_snapshot!(frame(&model(What::Pods), 80, 24));
}

#[test]
fn the_node_at_80_by_24() {
    insta::assert_snapshot!(frame(&model(What::Node), 80, 24));
}

#[test]
fn the_node_at_160_by_40() {
    insta::assert_snapshot!(frame(&model(What::Node), 160, 40));
}

fn charts() -> Vec<Chart> {
    let start = (WALL / 1_000_000_000) as f64;
    let wave = |name, scale: f64, phase: f64| Series {
        name,
        points: (0..225)
            .map(|i| (start + f64::from(i) * 4.0, scale * (1.0 + (f64::from(i) / 20.0 + phase).sin())))
            .collect(),
    };
    let chart = |title, scale, series| Chart { title, scale, series, missing: None };
    let missing = Some("no history is kept for this subject".to_owned());
    vec![
        chart("CPU", Scale::Cores, vec![wave("cores", 0.25, 0.0)]),
        chart("Memory", Scale::Bytes, vec![wave("usage", 1e8, 0.0), wave("anon", 5e7, 1.0)]),
        Chart { missing, ..chart("Throttled", Scale::Cores, Vec::new()) },
        chart("Pressure", Scale::Percent, vec![wave("cpu", 6.0, 0.0), wave("memory", 1.0, 2.0), wave("io", 3.0, 4.0)]),
    ]
}

#[test]
fn details_at_80_by_24_and_160_by_40() {
    let mut model = model(What::Containers);
    press(&mut model, &[KeyCode::Down, KeyCode::Enter]);
    model.update(Update::Histories { id: "another".into(), charts: charts() });
    assert!(model.charts.is_empty());
    model.update(Update::Histories { id: WEB_ID.into(), charts: charts() });
    insta::assert_snapshot!(format!("{}{}", frame(&model, 80, 24), frame(&model, 160, 40)));
}

#[test]
fn the_help_at_80_by_24() {
    let mut model = model(What::Containers);
    typed(&mut model, "?");
    insta::assert_snapshot!(frame(&model, 80, 24));
}

#[test]
fn when_the_agent_is_away_the_last_data_stays_greyed_under_the_error() {
    let mut model = model(What::Containers);
    model.update(Update::Failed("no agent answers".into()));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw::frame(frame, &model, &Theme::new(true))).unwrap();
    let buffer = terminal.backend().buffer();
    assert_eq!(buffer[(1, 6)].fg, ratatui::style::Color::DarkGray);
    let shown = frame(&model, 80, 24);
    assert!(shown.contains("shop/web-7d9/web") && shown.contains("no agent answers (trying again)"), "{shown}");
}

#[test]
fn without_colours_no_cell_has_one() {
    let mut model = model(What::Containers);
    press(&mut model, &[KeyCode::Down, KeyCode::Enter]);
    model.update(Update::Histories { id: WEB_ID.into(), charts: charts() });
    for error in [None, Some("gone".to_owned())] {
        model.error = error;
        let mut terminal = Terminal::new(TestBackend::new(160, 40)).unwrap();
        terminal.draw(|frame| draw::frame(frame, &model, &Theme::new(false))).unwrap();
        let reset = ratatui::style::Color::Reset;
        assert!(terminal.backend().buffer().content().iter().all(|cell| cell.fg == reset && cell.bg == reset));
    }
}

#[test]
fn every_size_of_terminal_can_be_drawn() {
    for what in [What::Containers, What::Node, What::Pods] {
        let mut model = model(what);
        for (width, height) in [(1, 1), (3, 2), (20, 5), (40, 10), (79, 23), (300, 100)] {
            frame(&model, width, height);
        }
        press(&mut model, &[KeyCode::Enter, KeyCode::Char('?')]);
        for (width, height) in [(1, 1), (10, 3), (40, 9)] {
            frame(&model, width, height);
        }
    }
}

#[test]
fn a_name_cannot_send_commands_to_the_terminal() {
    let mut model = Model::new(&args(""));
    let mut data = data(What::Containers);
    if let Rows::Containers(containers) = &mut data.rows {
        containers[0].name = "\u{1b}]0;owned\u{7}\u{9b}2J".into();
    }
    model.update(Update::Data(Box::new(data)));
    let shown = frame(&model, 80, 24);
    assert!(shown.contains("\\x1b]0;owned\\x07"), "{shown}");
    assert!(!shown.replace('\n', "").contains(char::is_control));
}

// --- once ---

/// Serves the API of the synthetic node on a loopback port, for as many requests as `run` makes.
fn served(line: &str) -> Result<String, TopError> {
    served_by(line, |target| {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        answer_at(&store(), path, query, NOW).unwrap()
    })
}

/// The same, with the answers of `answer`.
pub(super) fn served_by(line: &str, answer: impl Fn(&str) -> Answer + Send + 'static) -> Result<String, TopError> {
    let address = serve(answer);
    let mut out = Vec::new();
    run(&args(&format!("--once --server http://{address} {line}")), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Answers on a loopback port for as long as the test runs.
pub(super) fn serve(answer: impl Fn(&str) -> Answer + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            for header in reader.lines() {
                if header.unwrap().is_empty() {
                    break;
                }
            }
            let answer = answer(first.split(' ').nth(1).unwrap());
            let head = format!(
                "HTTP/1.1 {} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                answer.status,
                answer.body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&answer.body).unwrap();
        }
    });
    address
}

#[test]
fn once_prints_as_kubectl_top_does() {
    let lines = ["", "--sort name --filter SHOP -o wide", "pods", "node", "node -o wide"];
    let printed = lines.map(|line| format!("$ ringside top --once {line}\n{}", served(line).unwrap()));
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn json_is_the_agents_answer() {
    let list: ContainerList = serde_json::from_str(&served("-o json --namespace shop").unwrap()).unwrap();
    assert_eq!(list.containers.len(), 2);
    let refused = served("--namespace a&b --output json");
    assert!(refused.is_err() || refused.is_ok_and(|json| json.contains("\"containers\":[]")));
}

#[test]
fn without_an_agent_the_error_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run(&args(&format!("--once --server {address}")), &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("`ringside agent`") && error.contains("refused"), "{error}");
}

#[test]
fn a_server_that_cannot_be_one_is_refused_at_once() {
    for (server, why) in [("https://node:9750", "port-forward"), ("http://", "URL"), ("ftp://a", "http://")] {
        let error = run(&args(&format!("--once --server {server}")), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(why), "{server}: {error}");
    }
}

#[test]
fn an_interval_needs_a_unit_and_is_not_too_short() {
    assert!(Cli::try_parse_from(["top", "--interval", "1"]).is_err());
    assert!(Cli::try_parse_from(["top", "--interval", "10ms"]).is_err());
    assert_eq!(args("--interval 2s").interval.as_secs(), 2);
    assert_eq!(format::duration(args("").interval.as_secs_f64()), "1s");
}
