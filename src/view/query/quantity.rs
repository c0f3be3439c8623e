//! The API's units as people read them.
//!
//! In: an answer's unit and metric. Out: a word for the heading and a number as text. Every unit is converted here and the
//! numbers are written by `top/format`.

use crate::view::api::HistoryList;
use crate::view::top::format;

use super::csv::instant;

/// How an answer's numbers are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantity {
    /// In the heading.
    pub(super) word: &'static str,
    factor: f64,
    show: fn(f64) -> String,
}

impl Quantity {
    pub(super) fn of(list: &HistoryList) -> Self {
        let (unit, rate) = match list.unit.strip_suffix(" per second") {
            Some(unit) => (unit, true),
            None => (list.unit.as_str(), false),
        };
        let seconds = |per_unit: f64| match rate {
            true if is_cpu_use(&list.metric) => Self { word: "cores", factor: per_unit, show: format::cores },
            true => Self { word: "s/s", factor: per_unit, show: number },
            false => Self { word: "time", factor: per_unit, show: duration },
        };
        let plain = |word: &'static str, rate_word: &'static str, factor: f64, show: fn(f64) -> String| Self {
            word: if rate { rate_word } else { word },
            factor,
            show,
        };
        match unit {
            "microseconds" => seconds(1e-6),
            "milliseconds" => seconds(1e-3),
            "ticks" => seconds(1e-2),
            "bytes" => plain("bytes", "bytes/s", 1.0, format::bytes),
            "sectors" => plain("bytes", "bytes/s", 512.0, format::bytes),
            "pages" => plain("pages", "pages/s", 1.0, number),
            "percent_hundredths" => plain("%", "%/s", 1e-2, number),
            "hundredths" => plain("number", "1/s", 1e-2, number),
            "unix_seconds" => plain("time", "s/s", 1.0, if rate { number } else { instant }),
            _ => plain("count", "1/s", 1.0, number),
        }
    }

    pub(super) fn show(&self, value: f64) -> String {
        (self.show)(value * self.factor)
    }
}

/// Whether a rate of this metric is a number of CPUs.
fn is_cpu_use(metric: &str) -> bool {
    let column = metric.rsplit('.').next().unwrap_or(metric);
    let use_of_cpu = ["cpu_usage", "cpu_user", "cpu_system", "cpu_nice", "cpu_idle", "cpu_iowait"];
    use_of_cpu.iter().any(|word| column.starts_with(word)) || metric.starts_with("cpu.")
}

fn duration(seconds: f64) -> String {
    if seconds == 0.0 { "0".to_owned() } else { format::duration(seconds) }
}

/// A number in few characters: `0`, `0.25`, `12.5`, `950`, `1.2k`, `34M`.
fn number(value: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut scaled = value;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while scaled.abs() >= 999.5 {
        let Some(next) = units.next() else { break };
        scaled /= 1e3;
        unit = next;
    }
    let text = match scaled.abs() {
        size if size >= 99.95 => format!("{scaled:.0}"),
        size if size >= 9.995 => format!("{scaled:.1}"),
        size if size >= 0.01 || size == 0.0 => format!("{scaled:.2}"),
        _ => format!("{scaled:.4}"),
    };
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_few_characters_and_keep_what_matters() {
        let pairs = [(0.0, "0"), (0.25, "0.25"), (3.0, "3"), (12.54, "12.5"), (950.0, "950"), (1_234.0, "1.23k")];
        for (value, text) in pairs.into_iter().chain([(999.7, "1k"), (34e6, "34M"), (0.0004, "0.0004")]) {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_rate_of_cpu_time_is_a_number_of_cores_and_one_of_waiting_is_not() {
        let uses = ["cpu_usage_usec", "cpu_user_ticks", "cpu.user_ticks"].map(is_cpu_use);
        let waits = ["cpu_pressure_some_total_usec", "cpu_throttled_usec", "disk.disk_io_time_msec"].map(is_cpu_use);
        assert_eq!((uses, waits), ([true; 3], [false; 3]));
    }
}
