//! A long question is asked piece by piece, and the answers are put together.
//!
//! In: a [`Question`]. Out: one [`HistoryList`] for each piece, or one for all. Pieces meet at multiples of the step, so
//! that each window is answered whole by one of them. When the other side says that a piece is too much, it is halved.

use crate::units::UnixNanos;
use crate::view::api::{HistoryList, HistorySeries, HistoryValue, parse_instant, percent_encode, rfc3339};

use super::out::Progress;
use super::source::{Clock, Source, seconds};
use super::{AskError, QueryArgs};

/// Windows that one piece asks for at first.
const PIECE_WINDOWS: u64 = 2_000;

/// What one piece of plain readings asks for at first.
const PIECE_NANOS: u64 = 10 * 60 * 1_000_000_000;

/// The most values of a series when nobody says how many.
const CHOSEN_WINDOWS: u64 = 900;

/// Steps that are chosen when none is given, in seconds.
const CHOSEN_STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400];

/// What is asked for, with all times known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) selector: String,
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    step_nanos: Option<u64>,
    /// Parameters that are the same for each piece, beginning with `&`.
    parameters: String,
    top: Option<usize>,
}

impl Question {
    pub(super) fn of(args: &QueryArgs, clock: &Clock) -> Result<Self, AskError> {
        let instant = |flag: &'static str, text: &str| {
            let told = || AskError::Time { flag, text: text.to_owned() };
            parse_instant(text, clock.newest).ok_or_else(told)
        };
        let end = args.end.as_deref().map_or(Ok(clock.newest), |text| instant("--end", text))?;
        let start = match &args.start {
            Some(text) => instant("--start", text)?,
            None => UnixNanos(end.0.saturating_sub(args.last)),
        };
        if start > end {
            return Err(AskError::Backwards { start: rfc3339(start), end: rfc3339(end) });
        }
        let chosen = || chosen_step(end.0 - start.0, clock.interval_nanos);
        let step_nanos = args.step.or_else(|| args.wants_steps().then(chosen));
        let mut parameters = String::new();
        if let Some(step) = step_nanos {
            parameters.push_str(&format!("&step={step}ns"));
        }
        if let Some(function) = &args.function {
            parameters.push_str(&format!("&fn={function}"));
            if function == "quantile" {
                parameters.push_str(&format!("&q={}", args.q));
            }
        }
        if !args.by.is_empty() {
            parameters.push_str(&format!("&by={}", percent_encode(&args.by.join(","))));
        }
        if let Some(agg) = &args.agg {
            parameters.push_str(&format!("&agg={agg}"));
        }
        let top = args.top.and_then(|top| usize::try_from(top).ok());
        Ok(Self { selector: args.selector.clone(), start, end, step_nanos, parameters, top })
    }

    /// Length of a piece at first, a multiple of the step.
    fn first_length(&self) -> u64 {
        self.step_nanos.map_or(PIECE_NANOS, |step| step.saturating_mul(PIECE_WINDOWS))
    }

    /// Half of a piece, a multiple of the step; `None` when it cannot be halved.
    fn halved(&self, length: u64) -> Option<u64> {
        let unit = self.step_nanos.unwrap_or(1_000_000_000);
        let half = length / 2 / unit * unit;
        (half > 0).then_some(half)
    }

    fn target(&self, start: UnixNanos, end: UnixNanos) -> String {
        let mut target = format!(
            "/api/v1/history?select={}&start={}&end={}{}",
            percent_encode(&self.selector),
            seconds(start),
            seconds(end),
            self.parameters
        );
        // Of a part of the time the largest are not the largest of all.
        if let Some(top) = self.top.filter(|_| start == self.start && end == self.end) {
            target.push_str(&format!("&top={top}"));
        }
        target
    }
}

/// A round step with which the time has not too many windows, none shorter than a tick.
fn chosen_step(range_nanos: u64, interval_nanos: u64) -> u64 {
    let mut steps = CHOSEN_STEPS.iter().map(|seconds| seconds * 1_000_000_000);
    let fits = |step: &u64| range_nanos / step <= CHOSEN_WINDOWS && *step >= interval_nanos;
    steps.find(fits).unwrap_or(7 * 86_400 * 1_000_000_000)
}

/// The answers, one after the other.
pub(super) struct Pieces<'a> {
    source: &'a Source,
    question: Question,
    at: Option<UnixNanos>,
    length: u64,
    summary: Option<HistoryList>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(source: &'a Source, question: Question) -> Self {
        Self { source, at: Some(question.start), length: question.first_length(), question, summary: None }
    }

    /// The next piece; `None` when all were answered.
    pub(super) fn next(&mut self) -> Result<Option<HistoryList>, AskError> {
        let Some(at) = self.at else { return Ok(None) };
        let aligned = self.question.step_nanos.map_or(at.0, |step| at.0 / step * step);
        loop {
            let last = aligned.saturating_add(self.length).saturating_sub(1);
            let end = UnixNanos(last.min(self.question.end.0));
            match self.source.history(&self.question.target(at, end)) {
                Ok(list) => {
                    self.at = (end < self.question.end).then_some(UnixNanos(end.0.saturating_add(1)));
                    let head = HistoryList { series: Vec::new(), ..list.clone() };
                    match &mut self.summary {
                        None => self.summary = Some(head),
                        Some(summary) => merge_heads(summary, head),
                    }
                    return Ok(Some(list));
                }
                Err(error) if error.is_too_much() => {
                    self.length = self.question.halved(self.length.min(end.0 - aligned + 1)).ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Which share of the time was answered.
    pub(super) fn done(&self) -> f64 {
        let Question { start, end, .. } = self.question;
        let done = self.at.map_or(end.0, |at| at.0) - start.0;
        done as f64 / (end.0 - start.0).max(1) as f64
    }

    /// All answers without their series.
    pub(super) fn into_summary(self) -> Option<HistoryList> {
        self.summary
    }
}

/// The whole answer.
pub(super) fn all(source: &Source, question: Question, progress: &mut Progress) -> Result<HistoryList, AskError> {
    let top = question.top;
    let mut pieces = Pieces::new(source, question);
    let mut series: Vec<HistorySeries> = Vec::new();
    let mut parts = 0;
    while let Some(list) = pieces.next()? {
        progress.part(pieces.done());
        parts += 1;
        for one in list.series {
            append(&mut series, one, list.agg.is_some(), list.step_seconds);
        }
    }
    // The loop above has asked at least once.
    let mut list = pieces.into_summary().ok_or_else(|| AskError::Refused {
        kind: String::new(),
        detail: "nothing was asked; give a longer time".to_owned(),
    })?;
    if let Some(top) = top.filter(|_| parts > 1) {
        series.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        series.truncate(top);
    }
    if !series.is_empty() {
        // What one piece did not find, another did.
        list.notes.retain(|note| !note.contains("nothing of them was read"));
    }
    list.series = series;
    Ok(list)
}

fn merge_heads(first: &mut HistoryList, next: HistoryList) {
    first.end = next.end;
    first.oldest = next.oldest;
    first.matched = first.matched.max(next.matched);
    for note in next.notes {
        if !first.notes.contains(&note) {
            first.notes.push(note);
        }
    }
    for tier in next.tiers {
        // RFC 3339 in UTC sorts as time does.
        match first.tiers.iter_mut().find(|known| known.resolution == tier.resolution) {
            Some(known) => {
                known.start = std::mem::take(&mut known.start).min(tier.start);
                known.end = std::mem::take(&mut known.end).max(tier.end);
            }
            None => first.tiers.push(tier),
        }
    }
}

/// Adds a piece of a series to what came before it. The gap between the two stays one.
fn append(series: &mut Vec<HistorySeries>, piece: HistorySeries, aggregated: bool, step_seconds: Option<f64>) {
    let same = |known: &HistorySeries| {
        if aggregated { known.labels == piece.labels } else { known.subjects == piece.subjects }
    };
    let Some(known) = series.iter_mut().find(|known| same(known)) else {
        series.push(piece);
        return;
    };
    if let (Some(step), Some((before, _)), Some((after, _))) = (step_seconds, known.points.last(), piece.points.first())
    {
        let (mut at, until) = (before + step, after - step / 2.0);
        while at < until && step > 0.0 {
            known.points.push((at, None));
            at += step;
        }
    }
    known.points.extend(piece.points);
    for subject in piece.subjects {
        if !known.subjects.contains(&subject) {
            known.subjects.push(subject);
        }
    }
    known.labels = piece.labels;
}

fn mean(series: &HistorySeries) -> f64 {
    let values = series.points.iter().filter_map(|(_, value)| *value);
    let number = |value: HistoryValue| value.number().unwrap_or(f64::INFINITY);
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + number(value), count + 1.0));
    if count > 0.0 { sum / count } else { f64::NEG_INFINITY }
}
