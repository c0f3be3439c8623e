//! The past: keys, frames, `--at` and `--diff`, against the API of a synthetic node of ten minutes.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Command, Data, Model, Rows, Update};
use super::tests::{args, frame, names, press, served_by, typed};
use super::{TopArgs, TopError};
use crate::sample::catalogue::{NodeColumn as N, Table};
use crate::sample::{CgroupKind, Metadata};
use crate::store::Store;
use crate::units::{MonotonicNanos, UnixNanos};
use crate::view::api::testing::{Builder, MIB, WALL, store_of, tick_of, usage, workload};
use crate::view::api::{ContainerList, Diff, Node, Now, answer_at};

const SECOND: u64 = 1_000_000_000;

/// Ticks of the synthetic node, one per second: ten minutes.
const LAST: u64 = 601;

/// `busy` uses half a core in the first five minutes and nothing in the last five; `short` ends after five minutes.
fn fill(b: &mut Builder, tick: u64) {
    let named = |name: &str| {
        let told = Metadata { name: name.into(), namespace: Some("shop".into()), ..Metadata::default() };
        workload(&format!("/docker/{name}"), CgroupKind::Container, Some(name), Some(told))
    };
    b.cgroup(named("busy-container"), usage(tick.min(301), 500, (50 + tick.min(301) / 10) * MIB));
    if tick <= 301 {
        _ = b.cgroup(named("short-container"), usage(tick, 250, 20 * MIB))
    } else {
        b.skip()
    }
    if tick > 310 {
        _ = b.cgroup(named("late-container"), usage(tick, 20, 30 * MIB))
    } else {
        b.skip()
    }
    b.row(Table::Node, None, "node", None, |row| {
        row.put(N::UptimeMsec, Some(3_600_000 + tick * 1_000));
        row.put(N::MeminfoMemTotal, Some(8_192 * MIB));
        row.put(N::MeminfoMemAvailable, Some(5_000 * MIB - tick * MIB));
    });
}

thread_local! {
    static STORE: Store = ten_minutes();
}

fn ten_minutes() -> Store {
    store_of((1..=LAST).map(|tick| tick_of(tick, |b| fill(b, tick))))
}

fn now() -> Now {
    let since = (LAST - 1) * SECOND + 50_000_000;
    Now { wall: UnixNanos(WALL + since), monotonic: MonotonicNanos(100 * SECOND + since) }
}

fn get(target: &str) -> Vec<u8> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    STORE.with(|store| answer_at(store, path, query, now()).unwrap().body)
}

fn read<T: serde::de::DeserializeOwned>(target: &str) -> T {
    let body = get(target);
    serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{target}: {}", String::from_utf8_lossy(&body)))
}

/// What the network's side answers, without a network.
struct Asked {
    at: Option<String>,
    mark: Option<String>,
}

impl Asked {
    fn of(args: &TopArgs) -> Self {
        Self { at: args.at.clone(), mark: args.diff.clone() }
    }

    fn answer(&self) -> Update {
        let at =
            |prefix: char, name: &str| self.at.as_ref().map_or_else(String::new, |at| format!("{prefix}{name}={at}"));
        let node: Node = match serde_json::from_slice(&get(&format!("/api/v1/node{}", at('?', "at")))) {
            Ok(node) => node,
            Err(_) => return Update::BeforeHistory,
        };
        let rows = match &self.mark {
            None => Rows::Containers(read::<ContainerList>(&format!("/api/v1/containers{}", at('?', "at"))).containers),
            Some(mark) => Rows::Diff(Box::new(read(&format!("/api/v1/diff?from={mark}{}", at('&', "to"))))),
        };
        Update::Data(Box::new(Data { node, rows, asked: self.at.clone(), interval_seconds: Some(1.0) }))
    }

    fn take(&mut self, command: Option<Command>) {
        match command {
            Some(Command::At(at)) => self.at = Some(at),
            Some(Command::Present) => self.at = None,
            Some(Command::Mark(mark)) => self.mark = mark,
            _ => {}
        }
    }
}

/// A view and who answers it.
struct View {
    model: Model,
    asked: Asked,
}

impl View {
    fn new(line: &str) -> Self {
        let args = args(line);
        let mut view = Self { model: Model::new(&args), asked: Asked::of(&args) };
        view.answer();
        view
    }

    fn answer(&mut self) {
        // An answer may lead to one more question, as at the ends of history.
        for _ in 0..3 {
            let command = self.model.update(self.asked.answer());
            if command.is_none() {
                break;
            }
            self.asked.take(command);
        }
    }

    fn key(&mut self, code: KeyCode) {
        self.key_with(code, KeyModifiers::NONE);
    }

    fn key_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        let command = self.model.key(KeyEvent::new(code, modifiers));
        if command.is_some() {
            self.asked.take(command);
            self.answer();
        }
    }

    fn keys(&mut self, text: &str) {
        text.chars().for_each(|key| self.key(KeyCode::Char(key)));
    }

    /// One second of frames and answers.
    fn second(&mut self) {
        let command = self.model.frame(Duration::from_secs(1));
        if command.is_some() {
            self.asked.take(command);
            self.answer();
        }
    }

    /// Seconds from the first tick to the one that is shown.
    fn at(&self) -> f64 {
        let wall = super::past::wall(self.model.node.as_ref().unwrap()).unwrap();
        (wall.0 - WALL) as f64 / 1e9
    }

    fn names(&self) -> Vec<String> {
        names(&self.model)
    }
}

const BEFORE: [&str; 2] = ["shop/busy-container", "shop/short-container"];
const AFTER: [&str; 2] = ["shop/late-container", "shop/busy-container"];

#[test]
fn left_enters_the_past_and_steps_back_tick_by_tick_and_right_steps_on() {
    let mut view = View::new("");
    assert_eq!((view.at(), view.model.past.is_some()), (600.0, false));
    for (key, at) in [
        (KeyCode::Left, 599.0),
        (KeyCode::Char('h'), 598.0),
        (KeyCode::Char('['), 597.0),
        (KeyCode::Right, 598.0),
        (KeyCode::Char('{'), 538.0),
        (KeyCode::Char('H'), 478.0),
        (KeyCode::Char('}'), 538.0),
        (KeyCode::Char('l'), 539.0),
        (KeyCode::Home, 0.0),
        (KeyCode::Char(']'), 1.0),
    ] {
        view.key(key);
        assert_eq!(view.at(), at, "{key:?}");
    }
    view.key_with(KeyCode::Right, KeyModifiers::SHIFT);
    assert_eq!(view.at(), 61.0);
    view.key_with(KeyCode::Left, KeyModifiers::SHIFT);
    assert_eq!(view.at(), 1.0);
    view.key(KeyCode::End);
    assert_eq!((view.at(), view.model.past.is_none()), (600.0, true));
}

#[test]
fn the_table_shows_who_was_there_then_with_the_use_of_then() {
    let mut view = View::new("--at 6m");
    assert_eq!(view.at(), 240.0);
    assert_eq!(view.names(), BEFORE);
    assert_eq!(view.model.lines[0].cpu_cores, Some(0.5));
    view.keys("n");
    assert_eq!(view.names(), AFTER);
    assert_eq!(view.model.lines[0].cpu_cores, Some(0.0));
}

#[test]
fn steps_that_are_pressed_before_the_answer_add_up() {
    let mut view = View::new("--at 6m");
    let commands: Vec<_> = (0..5).filter_map(|_| typed(&mut view.model, "h")).collect();
    assert_eq!(commands.len(), 5);
    // The answer to the first of them is shown, and does not take the view back.
    let Command::At(first) = &commands[0] else { panic!("{commands:?}") };
    let early = Asked { at: Some(first.clone()), mark: None };
    view.model.update(early.answer());
    assert_eq!(view.at(), 239.0);
    view.asked.take(typed(&mut view.model, "h"));
    view.answer();
    assert_eq!(view.at(), 234.0);
}

#[test]
fn an_answer_about_now_is_not_shown_in_the_past_and_the_other_way_round() {
    let mut view = View::new("--at 6m");
    let live = Asked { at: None, mark: None };
    view.model.update(live.answer());
    assert_eq!(view.at(), 240.0);
    let then = Asked { at: view.asked.at.clone(), mark: None };
    view.keys("n");
    view.model.update(then.answer());
    assert_eq!(view.at(), 600.0);
}

#[test]
fn playing_goes_on_at_its_speed_and_stops_at_a_key() {
    let mut view = View::new("--at 6m");
    view.second();
    assert_eq!(view.at(), 240.0);
    view.keys(" ");
    for at in [241.0, 242.0] {
        view.second();
        assert_eq!(view.at(), at);
    }
    view.keys("+++");
    assert!(frame(&view.model, 80, 24).contains("▶ 10x"));
    view.second();
    assert_eq!(view.at(), 252.0);
    view.keys("++");
    view.second();
    assert_eq!(view.at(), 312.0);
    assert_eq!(view.names(), AFTER);
    view.keys(" ");
    view.second();
    assert_eq!(view.at(), 312.0);
    // A step is a step again, wherever playing had stopped.
    view.key(KeyCode::Left);
    assert_eq!(view.at(), 311.0);
}

#[test]
fn a_step_while_playing_stops_it() {
    let mut view = View::new("--at 6m");
    view.keys(" ");
    view.key(KeyCode::Left);
    view.second();
    assert_eq!(view.at(), 239.0);
}

#[test]
fn while_an_answer_is_awaited_playing_waits_too() {
    let mut view = View::new("--at 6m");
    view.keys(" ");
    assert!(view.model.frame(Duration::from_secs(1)).is_some());
    assert_eq!(view.model.frame(Duration::from_secs(1)), None);
    assert_eq!(view.model.frame(Duration::from_secs(1)), None);
}

#[test]
fn the_beginning_of_history_is_said_and_is_no_error() {
    for (line, keys) in [("--at oldest", "h"), ("--at oldest", "{"), ("--at 2020-01-01T00:00:00Z", "")] {
        let mut view = View::new(line);
        if !keys.is_empty() {
            view.keys(keys);
        }
        let shown = frame(&view.model, 80, 24);
        assert!(shown.contains("history begins here"), "{line}: {shown}");
        assert_eq!((view.at(), view.model.error.clone()), (0.0, None), "{line}");
        view.keys("l");
        assert_eq!(view.at(), 1.0);
    }
}

#[test]
fn the_end_of_history_is_the_present() {
    let mut view = View::new("--at 3s");
    for (at, past) in [(598.0, true), (599.0, true), (600.0, false)] {
        view.keys("l");
        assert_eq!((view.at(), view.model.past.is_some()), (at, past));
    }
    let shown = frame(&view.model, 80, 24);
    assert!(shown.contains("end of history: live again"), "{shown}");
    view.keys("l");
    assert!(frame(&view.model, 80, 24).contains("nothing later"));
    // Played, too.
    let mut view = View::new("--at 3s");
    view.keys(" ++++");
    view.second();
    view.second();
    assert!(view.model.past.is_none());
}

#[test]
fn the_time_since_goes_on_while_a_moment_is_shown() {
    let mut view = View::new("--at 6m");
    assert_eq!(view.model.ago_seconds(), Some(360.0));
    view.second();
    view.second();
    assert_eq!(view.model.ago_seconds(), Some(362.0));
}

#[test]
fn coarse_history_is_stepped_bucket_by_bucket() {
    for (resolution, step) in [("10s", 10.0), ("1m", 60.0)] {
        let args = args("--at 5m");
        let mut model = Model::new(&args);
        let Update::Data(mut data) = Asked::of(&args).answer() else { panic!() };
        data.node.resolution = Some(resolution.to_owned());
        let wall = super::past::wall(&data.node).unwrap();
        model.update(Update::Data(data));
        let Some(Command::At(at)) = typed(&mut model, "h") else { panic!() };
        let at: f64 = at.parse().unwrap();
        // Between the bucket before and this one.
        let back = wall.0 as f64 / 1e9 - at;
        assert!((back - step / 2.0).abs() < 1.0, "{resolution}: {back}");
    }
}

#[test]
fn m_compares_with_the_marked_moment_and_d_ends_it() {
    let mut view = View::new("--at 6m");
    view.keys("mn");
    let diff = view.model.diff.as_ref().unwrap();
    assert_eq!(diff.from.read_at, "2026-03-01T12:04:00.000Z");
    assert_eq!(diff.to.read_at, "2026-03-01T12:10:00.000Z");
    let labels: Vec<_> = view.model.changes().iter().map(super::diff::Entry::label).collect();
    let by_cpu = ["(node)", "shop/busy-container", "shop/short-container", "shop/late-container"];
    assert_eq!(labels, by_cpu);
    view.keys("s/late");
    assert_eq!(view.model.changes().len(), 2);
    view.key(KeyCode::Enter);
    view.keys("d");
    assert!(view.model.diff.is_none() && view.asked.mark.is_none());
    assert_eq!(view.names(), ["shop/late-container"]);
}

#[test]
fn the_bar_of_the_past_at_80_by_24() {
    insta::assert_snapshot!(frame(&View::new("--at 6m").model, 80, 24));
}

#[test]
fn the_comparison_at_80_by_24_and_160_by_40() {
    let view = View::new("--at 2m --diff 6m");
    insta::assert_snapshot!(format!("{}{}", frame(&view.model, 80, 24), frame(&view.model, 160, 16)));
}

#[test]
fn every_size_of_terminal_can_be_drawn_in_the_past() {
    for line in ["--at 6m", "--diff 6m", "node --at 6m --diff 7m"] {
        let view = View::new(line);
        for (width, height) in [(1, 1), (3, 2), (20, 5), (40, 10), (79, 23), (300, 100)] {
            frame(&view.model, width, height);
        }
    }
}

#[test]
fn an_agent_that_does_not_know_the_past_is_named_and_the_view_is_live() {
    let mut model = Model::new(&args("--at 6m"));
    assert_eq!(model.update(Update::NoPast("too old to show the past".into())), Some(Command::Present));
    let live = Asked { at: None, mark: None };
    model.update(live.answer());
    let shown = frame(&model, 80, 24);
    assert!(shown.contains("too old") && shown.contains("late-container"), "{shown}");
    press(&mut model, &[KeyCode::Down]);
    assert!(!frame(&model, 80, 24).contains("too old"));
}

// --- once ---

fn once(line: &str) -> Result<String, TopError> {
    served_by(line, |target| {
        thread_local! { static SERVED: Store = ten_minutes(); }
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        SERVED.with(|store| answer_at(store, path, query, now()).unwrap())
    })
}

#[test]
fn once_prints_the_past_and_what_changed() {
    let lines = ["--at 6m", "node --at 6m -o wide", "--at 1m --diff 6m", "--diff 6m -o wide --sort memory"];
    let printed = lines.map(|line| format!("$ ringside top --once {line}\n{}", once(line).unwrap()));
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn json_of_the_past_is_the_agents_answer() {
    let list: ContainerList = serde_json::from_str(&once("--at -6m -o json").unwrap()).unwrap();
    assert_eq!(list.read_at, "2026-03-01T12:04:00.000Z");
    assert_eq!(list.containers.len(), 2);
    let diff: Diff = serde_json::from_str(&once("--at 1m --diff 2026-03-01T12:04:00Z -o json").unwrap()).unwrap();
    assert_eq!((diff.from.read_at.as_str(), diff.containers.len()), ("2026-03-01T12:04:00.000Z", 3));
}

#[test]
fn before_the_beginning_once_says_when_history_begins() {
    let error = once("--at 2h").unwrap_err();
    assert!(error.is_before_history(), "{error:?}");
    assert!(error.to_string().contains("2026-03-01T12:00:00.000Z"), "{error}");
}

#[test]
fn an_agent_that_ignores_or_refuses_the_moment_is_told_to_be_too_old() {
    // One that ignores it answers about now, and tells no resolution.
    let ignores = |target: &str| {
        let path = target.split('?').next().unwrap();
        let mut answer = STORE.with(|store| answer_at(store, path, None, now()).unwrap());
        let mut body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        body.as_object_mut().unwrap().remove("resolution");
        answer.body = serde_json::to_vec(&body).unwrap();
        answer
    };
    // One that refuses it says that it does not know the parameter.
    let refuses = |target: &str| {
        let (path, query) = target.split_once('?').unwrap();
        let query = query.replace("at=", "att=");
        let mut answer = STORE.with(|store| answer_at(store, path, Some(&query), now()).unwrap());
        answer.body = String::from_utf8(answer.body).unwrap().replace("'att'", "'at'").into_bytes();
        answer
    };
    for line in ["--at 6m", "--at 6m -o json", "pods --at 6m", "node --at 6m"] {
        for error in [served_by(line, ignores).unwrap_err(), served_by(line, refuses).unwrap_err()] {
            assert!(matches!(error, TopError::NoPast { .. }), "{line}: {error}");
        }
    }
}

#[test]
fn a_moment_is_written_as_a_time_ago_an_instant_or_oldest() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: TopArgs,
    }
    let at = |text: &str| Cli::try_parse_from(["top", "--at", text]).map(|cli| cli.args.at.unwrap());
    for (text, asked) in [("10m", "-10m"), ("-10m", "-10m"), ("oldest", "oldest"), ("1772366400.5", "1772366400.5")] {
        assert_eq!(at(text).unwrap(), asked);
    }
    assert!(at("2026-03-01T13:00:00+01:00").is_ok());
    let refused = at("yesterday").unwrap_err().to_string();
    assert!(refused.contains("10m"), "{refused}");
    assert!(Cli::try_parse_from(["top", "--diff", "1"]).is_ok_and(|cli| cli.args.diff.as_deref() == Some("1")));
}
