//! One line of the table: what containers and pods have in common.
//!
//! In: the API's containers and pods. Out: [`Line`]s, sorted and filtered. Names are made safe for the terminal here.

use std::cmp::Ordering;

use clap::ValueEnum;

use crate::view::api::{Container, Cpu, Io, Memory, Network, Pids, Pod, Pressure};

use super::format::clean;

/// What a table is sorted by. Numbers begin with the largest, names with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// CPU used.
    Cpu,
    /// Working set.
    Memory,
    /// Bytes read and written per second.
    Io,
    /// Bytes received and sent per second.
    Net,
    /// Namespace, pod, name.
    Name,
    /// Share of periods in which it was throttled.
    Throttled,
    /// The largest of the three pressures.
    Pressure,
}

impl SortBy {
    pub(super) const ALL: [Self; 7] =
        [Self::Cpu, Self::Memory, Self::Io, Self::Net, Self::Throttled, Self::Pressure, Self::Name];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
            Self::Net => "net",
            Self::Name => "name",
            Self::Throttled => "throttled",
            Self::Pressure => "pressure",
        }
    }

    /// The one after this, or before it.
    pub(super) fn step(self, forward: bool) -> Self {
        let mut around = Self::ALL.iter().cycle();
        if forward {
            around.find(|sort| **sort == self);
            return around.next().copied().unwrap_or(self);
        }
        let mut around = Self::ALL.iter().rev().cycle();
        around.find(|sort| **sort == self);
        around.next().copied().unwrap_or(self)
    }
}

/// Ticks for which rates of the network are shown after they were read.
const MOST_AGE_TICKS: u32 = 5;

/// One line of the table. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    /// Of a container for `/api/v1/containers/{id}`, of a pod its UID.
    pub(super) id: String,
    pub(super) namespace: Option<String>,
    pub(super) pod: Option<String>,
    /// Of a container its name; of a pod `None`.
    pub(super) name: Option<String>,
    pub(super) alive: bool,
    pub(super) cpu_cores: Option<f64>,
    pub(super) cpu_quota_cores: Option<f64>,
    pub(super) throttled_ratio: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) memory_limit_bytes: Option<u64>,
    pub(super) read_bytes_per_second: Option<f64>,
    pub(super) written_bytes_per_second: Option<f64>,
    pub(super) rx_bytes_per_second: Option<f64>,
    pub(super) tx_bytes_per_second: Option<f64>,
    /// How many ticks ago these two were read.
    pub(super) network_age_ticks: u32,
    /// avg10 of CPU, memory, io, in percent.
    pub(super) pressure_percent: [Option<f64>; 3],
    pub(super) pids: Option<u64>,
    pub(super) restarts: Option<u64>,
    pub(super) oom_kills: Option<u64>,
}

impl Line {
    pub(super) fn of_container(container: &Container) -> Self {
        Self {
            id: container.id.clone(),
            namespace: cleaned(container.namespace.as_deref()),
            pod: cleaned(container.pod.as_deref()),
            name: cleaned(Some(&container.name)),
            alive: container.alive,
            restarts: container.restarts,
            oom_kills: container.oom_kills,
            ..Self::usage(
                &container.cpu,
                &container.memory,
                container.io.as_ref(),
                container.network.as_ref(),
                Some(&container.pressure),
                &container.pids,
            )
        }
    }

    pub(super) fn of_pod(pod: &Pod) -> Self {
        Self {
            id: pod.uid.clone(),
            namespace: cleaned(pod.namespace.as_deref()),
            pod: cleaned(pod.name.as_deref().or(Some(&pod.uid))),
            alive: true,
            restarts: pod.restarts,
            oom_kills: pod.oom_kills,
            ..Self::usage(
                &pod.cpu,
                &pod.memory,
                pod.io.as_ref(),
                pod.network.as_ref(),
                pod.pressure.as_ref(),
                &pod.pids,
            )
        }
    }

    fn usage(
        cpu: &Cpu,
        memory: &Memory,
        io: Option<&Io>,
        network: Option<&Network>,
        pressure: Option<&Pressure>,
        pids: &Pids,
    ) -> Self {
        let stalls = pressure.map(|pressure| [&pressure.cpu, &pressure.memory, &pressure.io]);
        Self {
            cpu_cores: cpu.usage_cores,
            cpu_quota_cores: cpu.quota_cores,
            throttled_ratio: cpu.throttled_ratio,
            memory_bytes: memory.working_set_bytes.or(memory.usage_bytes),
            memory_limit_bytes: memory.limit_bytes,
            read_bytes_per_second: io.and_then(|io| io.total.read_bytes_per_second),
            written_bytes_per_second: io.and_then(|io| io.total.written_bytes_per_second),
            rx_bytes_per_second: network.and_then(|network| network.total.rx_bytes_per_second),
            tx_bytes_per_second: network.and_then(|network| network.total.tx_bytes_per_second),
            pressure_percent: stalls.map_or([None; 3], |stalls| stalls.map(|stall| stall.some.avg10_percent)),
            pids: pids.current,
            ..Self::default()
        }
    }

    /// Keeps the network's rates of the line before for a few ticks: an idle network is not read at every tick, and
    /// a column that comes and goes cannot be read by people either.
    pub(super) fn hold_network(&mut self, before: &Self) {
        let unknown = self.rx_bytes_per_second.is_none() && self.tx_bytes_per_second.is_none();
        if unknown && before.network_age_ticks < MOST_AGE_TICKS {
            self.rx_bytes_per_second = before.rx_bytes_per_second;
            self.tx_bytes_per_second = before.tx_bytes_per_second;
            self.network_age_ticks = before.network_age_ticks + 1;
        }
    }

    /// `namespace/pod/name`, as far as it is known.
    pub(super) fn label(&self) -> String {
        let parts = [&self.namespace, &self.pod, &self.name];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
    }

    /// CPU as a share of its quota; `None` without one.
    pub(super) fn cpu_ratio(&self) -> Option<f64> {
        let quota = self.cpu_quota_cores.filter(|quota| *quota > 0.0)?;
        Some(self.cpu_cores? / quota)
    }

    /// Memory as a share of its limit; `None` without one.
    pub(super) fn memory_ratio(&self) -> Option<f64> {
        let limit = self.memory_limit_bytes.filter(|limit| *limit > 0)?;
        Some(self.memory_bytes? as f64 / limit as f64)
    }

    fn matches(&self, filter: &str) -> bool {
        filter.is_empty() || self.label().to_lowercase().contains(&filter.to_lowercase())
    }

    fn key(&self, sort: SortBy) -> Option<f64> {
        let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
        match sort {
            SortBy::Cpu => self.cpu_cores,
            SortBy::Memory => self.memory_bytes.map(|bytes| bytes as f64),
            SortBy::Io => add(self.read_bytes_per_second, self.written_bytes_per_second),
            SortBy::Net => add(self.rx_bytes_per_second, self.tx_bytes_per_second),
            SortBy::Throttled => self.throttled_ratio,
            SortBy::Pressure => self.pressure_percent.iter().flatten().copied().reduce(f64::max),
            SortBy::Name => None,
        }
    }
}

fn cleaned(text: Option<&str>) -> Option<String> {
    text.map(|text| clean(text).into_owned())
}

/// The lines that match, in order. What is not known comes last, whichever way the order goes.
pub(super) fn arranged<'a>(lines: &'a [Line], filter: &str, sort: SortBy, reverse: bool) -> Vec<&'a Line> {
    let mut shown: Vec<_> = lines.iter().filter(|line| line.matches(filter)).collect();
    let turn = |ordering: Ordering| if reverse { ordering.reverse() } else { ordering };
    shown.sort_by(|a, b| {
        let by_name = a.label().cmp(&b.label()).then_with(|| a.id.cmp(&b.id));
        match (sort, a.key(sort), b.key(sort)) {
            (SortBy::Name, ..) => turn(by_name),
            (_, Some(a), Some(b)) => turn(b.total_cmp(&a)).then(by_name),
            (_, Some(_), None) => Ordering::Less,
            (_, None, Some(_)) => Ordering::Greater,
            (_, None, None) => by_name,
        }
    });
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, cpu_cores: Option<f64>) -> Line {
        Line { id: name.into(), name: Some(name.into()), cpu_cores, ..Line::default() }
    }

    fn order(sort: SortBy, reverse: bool, filter: &str) -> Vec<String> {
        let lines = [line("b", Some(1.0)), line("unknown", None), line("a", Some(1.0)), line("Top", Some(2.0))];
        arranged(&lines, filter, sort, reverse).into_iter().map(Line::label).collect()
    }

    #[test]
    fn numbers_begin_with_the_largest_and_the_unknown_come_last_either_way() {
        assert_eq!(order(SortBy::Cpu, false, ""), ["Top", "a", "b", "unknown"]);
        assert_eq!(order(SortBy::Cpu, true, ""), ["a", "b", "Top", "unknown"]);
        assert_eq!(order(SortBy::Name, false, ""), ["Top", "a", "b", "unknown"]);
        assert_eq!(order(SortBy::Name, true, ""), ["unknown", "b", "a", "Top"]);
    }

    #[test]
    fn rates_of_the_network_are_held_for_a_few_ticks_and_no_longer() {
        let mut shown = Line { rx_bytes_per_second: Some(7.0), ..line("a", None) };
        let ages: Vec<_> = (0..7)
            .map(|_| {
                let mut next = line("a", None);
                next.hold_network(&shown);
                shown = next;
                shown.rx_bytes_per_second
            })
            .collect();
        assert_eq!(ages.iter().flatten().count(), 5);
        assert_eq!(ages.last(), Some(&None));
    }

    #[test]
    fn a_filter_ignores_case() {
        assert_eq!(order(SortBy::Cpu, false, "TO"), ["Top"]);
    }

    #[test]
    fn the_sort_goes_around_in_both_directions() {
        for sort in SortBy::ALL {
            assert_eq!(sort.step(true).step(false), sort);
        }
        assert_eq!(SortBy::Name.step(true), SortBy::Cpu);
    }
}
