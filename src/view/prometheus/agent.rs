//! The agent's own metrics: what its reading and its answering cost.
//!
//! In: the newest sample's [`SelfStats`](crate::sample::SelfStats), the ring's fill and the [`Counts`] of this view.
//! Out: text by `prometheus-client`, which writes OpenMetrics only; [`as_text`] turns it into format 0.0.4.
//! What costs a read of the kernel (memory of this process) is refreshed by the tick's follower, never by a scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::protobuf::page::push_page;
use super::{Compression, Format};
use crate::sample::push_stats::PushStats;
use crate::sample::{NodeSample, SourceFile, TICK_BUCKETS_USEC};
use crate::store::{Persistence, StoreStats, Tier, TierStats};
use crate::units::{ErrorClass, UnixNanos};

const FORMATS: [Format; 4] = Format::ALL;
const COMPRESSIONS: [Compression; 3] = [Compression::Identity, Compression::Gzip, Compression::Zstd];
/// Status codes that are counted apart.
const CODES: [u16; 17] = [200, 400, 401, 403, 404, 405, 406, 408, 409, 413, 421, 422, 429, 431, 500, 503, 504];

/// What this view counts about itself.
#[derive(Debug, Default)]
pub struct Counts {
    /// Expositions made.
    pub encodings: AtomicU64,
    /// Time spent on making them, in nanoseconds.
    pub encoding_nanos: AtomicU64,
    /// Bytes of the newest exposition's text.
    pub text_bytes: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Connections that were refused because too many were open.
    pub connections_refused: AtomicU64,
    scrapes: [[AtomicU64; COMPRESSIONS.len()]; FORMATS.len()],
    responses: [AtomicU64; CODES.len() + 1],
}

impl Counts {
    /// Counts a scrape that was answered.
    pub fn scrape(&self, format: Format, compression: Compression) {
        if let Some(count) = self.scrapes.get(format as usize).and_then(|row| row.get(compression as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a response.
    pub fn response(&self, code: u16) {
        let index = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        if let Some(count) = self.responses.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What this process uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessUsage {
    /// CPU time in nanoseconds.
    pub cpu_nanos: Option<u64>,
    /// Resident memory in pages.
    pub resident_pages: Option<u64>,
    /// Wall clock of its start, in seconds.
    pub started_at: Option<u64>,
}

impl ProcessUsage {
    /// Asks the kernel about this process.
    #[must_use]
    pub fn read(started_at: Option<u64>) -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let nanos = |time: rustix::time::Timespec| {
            let whole = u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000_000)?;
            whole.checked_add(u64::try_from(time.tv_nsec).ok()?)
        };
        let statm = std::fs::read_to_string("/proc/self/statm").ok();
        let resident_pages = statm.and_then(|statm| statm.split_ascii_whitespace().nth(1)?.parse().ok());
        Self { cpu_nanos: nanos(cpu), resident_pages, started_at }
    }
}

/// All that the agent's own metrics are made of.
#[derive(Debug)]
pub struct AgentView {
    /// The newest sample.
    pub sample: Arc<NodeSample>,
    /// The ring's fill.
    pub store: StoreStats,
    /// This view's counts.
    pub counts: Arc<Counts>,
    /// This process.
    pub process: ProcessUsage,
    /// Scrapers that have a window of maxima.
    pub scrapers: usize,
    /// Scrapes by scrapers without one.
    pub untracked_scrapes: u64,
    /// What becomes of pushes; `None` for an agent that pushes nowhere.
    pub push: Option<Arc<PushStats>>,
}

/// The agent's own metrics in a format, without the end mark.
///
/// # Errors
/// Never in practice: writing to memory does not fail.
pub fn encode(view: AgentView, format: Format) -> Result<Vec<u8>, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(view));
    let mut text = String::with_capacity(16 * 1024);
    prometheus_client::encoding::text::encode_registry(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text.into_bytes(),
        Format::Text | Format::Text1 => as_text(&text).into_bytes(),
        Format::Protobuf => {
            let mut page = Vec::with_capacity(text.len());
            push_page(&mut page, &text);
            page
        }
    })
}

/// OpenMetrics without exemplars as text 0.0.4: the family is named like its samples, there are no units and no infos.
#[must_use]
pub fn as_text(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, words)) = help.take().filter(|(named, _)| *named == name) {
                out.extend(["# HELP ", name, suffix, " ", words, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

/// Writes one family after the other with little ceremony.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn seconds_counter(&mut self, name: &str, help: &str, nanos: u64) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, _, u64>(&seconds(nanos), None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn whole(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// One gauge per tier; a family without any is left out.
    fn by_tier<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Tier, V)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (tier, value) in values {
            encoder.encode_family(&[("tier", tier.as_str())])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// One counter per label set; sets whose count is 0 are left out, and a family without any as well.
    fn counters<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = (S, u64)>,
    ) -> fmt::Result {
        let mut counts = counts.filter(|(_, count)| *count > 0).peekable();
        if counts.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

impl Collector for AgentView {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.0
            .encode_descriptor("ringside_build", "Version of this agent.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        self.ticks(&mut page)?;
        self.reading(&mut page)?;
        self.ring(&mut page)?;
        self.answering(&mut page)?;
        self.push.as_ref().map_or(Ok(()), |push| pushes(&mut page, push, self.sample.wall))?;
        self.process(&mut page)
    }
}

impl AgentView {
    fn ticks(&self, page: &mut Page<'_>) -> fmt::Result {
        let (sample, stats) = (&self.sample, &self.sample.self_stats);
        let bounds = TICK_BUCKETS_USEC.iter().map(|usec| seconds(usec.saturating_mul(1000))).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(stats.tick_histogram).collect();
        page.0
            .encode_descriptor(
                "ringside_agent_tick_duration_seconds",
                "How long a tick's reading took.",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                seconds(stats.tick_duration_sum_nanos),
                stats.tick_histogram.iter().sum(),
                &buckets,
                None,
            )?;
        page.counter("ringside_agent_ticks", "Ticks since the agent started.", sample.tick)?;
        page.counter("ringside_agent_missed_ticks", "Ticks that were due and not begun.", stats.missed_ticks)?;
        page.gauge(
            "ringside_agent_tick_delay_seconds",
            "How late the newest tick began.",
            seconds(stats.tick_delay_nanos),
        )?;
        page.gauge(
            "ringside_agent_tick_skew_seconds",
            "Time between the newest tick's first and last reading.",
            seconds(sample.ended_at.since(sample.started_at)),
        )?;
        page.gauge("ringside_agent_tick_interval_seconds", "Time between ticks.", seconds(stats.interval_nanos))?;
        page.gauge("ringside_agent_tick_timestamp_seconds", "Wall clock of the newest tick.", seconds(sample.wall.0))?;
        page.seconds_counter(
            "ringside_agent_sampler_cpu_seconds",
            "CPU time of the sampling thread.",
            stats.thread_cpu_nanos,
        )
    }

    fn reading(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = &self.sample.self_stats;
        let errors = SourceFile::ALL.iter().zip(&stats.read_errors).flat_map(|(file, counts)| {
            let by_class = ErrorClass::ALL.iter().zip(counts);
            by_class.map(|(class, count)| ([("file", file.as_str()), ("class", class.as_str())], *count))
        });
        page.counters("ringside_agent_read_errors", "Failed reads by file and what the error means.", errors)?;
        page.whole("ringside_agent_kept_files", "Descriptors kept open for the tick.", stats.kept_files)?;
        page.whole("ringside_agent_kept_files_limit", "Most descriptors that may be kept.", stats.kept_files_limit)?;
        page.whole("ringside_agent_cgroups", "Cgroups read in the newest tick.", stats.cgroups)?;
        page.whole(
            "ringside_agent_cgroups_shed",
            "Cgroups left out: too many, too deep or too long a name.",
            stats.cgroups_shed,
        )?;
        page.counter("ringside_agent_discoveries", "Discovery events handled.", stats.discoveries)?;
        page.counter(
            "ringside_agent_tallies_evicted",
            "Workloads whose lasting counts were dropped at the cap.",
            self.sample.tallies.evicted,
        )
    }

    fn ring(&self, page: &mut Page<'_>) -> fmt::Result {
        let store = &self.store;
        page.whole("ringside_agent_store_used_bytes", "Bytes that hold history.", whole(store.used_bytes))?;
        page.whole("ringside_agent_store_budget_bytes", "Most bytes that may.", whole(store.budget_bytes))?;
        page.whole("ringside_agent_store_ticks", "Ticks that can be read.", store.ticks)?;
        page.whole("ringside_agent_store_samples", "Values that can be read.", store.samples)?;
        page.counter("ringside_agent_store_evicted_ticks", "Ticks dropped to keep the budget.", store.evicted_ticks)?;
        if let Some(wall) = store.oldest {
            page.gauge(
                "ringside_agent_store_oldest_timestamp_seconds",
                "Wall clock of the oldest tick that can be read.",
                seconds(wall.0),
            )?;
        }
        self.tiers(page)?;
        self.store.persistence.as_ref().map_or(Ok(()), |persistence| ring_file(page, persistence))
    }

    fn tiers(&self, page: &mut Page<'_>) -> fmt::Result {
        type Number = fn(&TierStats) -> u64;
        let numbers: [(&str, &str, Number); 4] = [
            ("ringside_ring_tier_bytes", "Bytes that hold the history of a tier.", |tier| whole(tier.used_bytes)),
            ("ringside_ring_tier_budget_bytes", "Most bytes that may.", |tier| whole(tier.budget_bytes)),
            ("ringside_ring_tier_points", "Ticks or buckets of a tier that can be read.", |tier| tier.points),
            ("ringside_ring_tier_samples", "Values of a tier that can be read.", |tier| tier.samples),
        ];
        let tiers = &self.store.tiers;
        for (name, help, number) in numbers {
            let values = tiers.iter().map(|one| (one.tier, i64::try_from(number(one)).unwrap_or(i64::MAX)));
            page.by_tier(name, help, values)?;
        }
        let oldest = tiers.iter().filter_map(|one| Some((one.tier, seconds(one.oldest?.0))));
        page.by_tier(
            "ringside_ring_tier_oldest_timestamp_seconds",
            "Wall clock of a tier's oldest tick or bucket.",
            oldest,
        )
    }

    fn answering(&self, page: &mut Page<'_>) -> fmt::Result {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        let scrapes = FORMATS.iter().zip(&counts.scrapes).flat_map(|(format, row)| {
            let by_compression = COMPRESSIONS.iter().zip(row);
            by_compression.map(|(compression, count)| {
                ([("format", format.as_str()), ("compression", compression.as_str())], load(count))
            })
        });
        page.counters("ringside_agent_scrapes", "Scrapes answered.", scrapes)?;
        page.counter("ringside_agent_encodings", "Expositions made; several scrapes may share one.", {
            load(&counts.encodings)
        })?;
        page.seconds_counter("ringside_agent_encoding_seconds", "Time spent on making them.", {
            load(&counts.encoding_nanos)
        })?;
        page.whole("ringside_agent_exposition_bytes", "Length of the last exposition's text.", {
            load(&counts.text_bytes)
        })?;
        let scrapers = u64::try_from(self.scrapers).unwrap_or(u64::MAX);
        page.whole("ringside_agent_scrapers", "Scrapers with a window of maxima of their own.", scrapers)?;
        page.counter(
            "ringside_agent_untracked_scrapes",
            "Scrapes by scrapers for which no window was free.",
            self.untracked_scrapes,
        )?;
        page.whole("ringside_agent_http_connections", "Connections open.", load(&counts.connections))?;
        page.counter(
            "ringside_agent_http_connections_refused",
            "Connections refused because too many were open.",
            load(&counts.connections_refused),
        )?;
        let codes = CODES.iter().map(|code| code.to_string()).chain(["other".to_owned()]);
        let responses = codes.zip(&counts.responses).map(|(code, count)| ([("code", code)], load(count)));
        page.counters("ringside_agent_http_responses", "Responses by status code.", responses)
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(nanos) = self.process.cpu_nanos {
            page.seconds_counter("process_cpu_seconds", "CPU time of this process.", nanos)?;
        }
        if let Some(pages) = self.process.resident_pages.filter(|_| self.sample.machine.page_bytes > 0) {
            let bytes = pages.saturating_mul(self.sample.machine.page_bytes);
            page.whole("process_resident_memory_bytes", "Resident memory of this process.", bytes)?;
        }
        match self.process.started_at {
            Some(started) => page.whole("process_start_time_seconds", "When this process was started.", started),
            None => Ok(()),
        }
    }
}

/// How it stands with the file of `--data-dir`. Without one there is nothing to show.
fn ring_file(page: &mut Page<'_>, persistence: &Persistence) -> fmt::Result {
    let Persistence { active, failure: _, failures, written_bytes, file_bytes, syncs, damaged } = persistence;
    page.whole("ringside_ring_file_active", "Whether history is being written to the ring file.", u64::from(*active))?;
    page.whole("ringside_ring_file_bytes", "Size of the ring file.", *file_bytes)?;
    page.counter("ringside_ring_file_failures", "Times that writing to the ring file had to be given up.", *failures)?;
    page.counter("ringside_ring_file_written_bytes", "Bytes written to the ring file.", *written_bytes)?;
    page.counter("ringside_ring_file_syncs", "Barriers (fdatasync) on the ring file.", *syncs)?;
    page.counter(
        "ringside_ring_file_damaged",
        "Pieces of the ring file that were damaged when it was opened, and were left out.",
        *damaged,
    )
}

/// What became of pushes. The lag is how much older the newest sample is that the receiver holds than the newest one here.
fn pushes(page: &mut Page<'_>, push: &PushStats, newest: UnixNanos) -> fmt::Result {
    let results = push.results().map(|(result, count)| ([("result", result.as_str())], count));
    page.counters("ringside_agent_pushes", "Pushes by how they ended.", results)?;
    page.counter("ringside_agent_push_samples", "Samples that the receiver has taken.", push.samples())?;
    page.counter("ringside_agent_push_bytes", "Bytes of the pushes that the receiver has taken.", push.bytes())?;
    page.whole("ringside_agent_push_backlog_samples", "Samples that wait in the ring to be pushed.", push.backlog())?;
    if let Some(at) = push.last_success() {
        let help = "When a push was taken last.";
        page.gauge("ringside_agent_push_last_success_timestamp_seconds", help, seconds(at.0))?;
    }
    if let Some(held) = push.acknowledged() {
        let help = "How far the newest sample that the receiver holds lies behind the newest tick.";
        page.gauge("ringside_agent_push_lag_seconds", help, seconds(newest.0.saturating_sub(held.0)))?;
    }
    let events = push.events().map(|(result, count)| ([("result", result.as_str())], count));
    page.counters("ringside_agent_oom_events", "Kubernetes Events for OOM kills by what became of them.", events)
}

fn whole(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds shown as seconds need no more than 53 bits")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::push_stats::PushResult;

    #[test]
    fn a_counter_an_info_and_a_unit_become_text_0_0_4() {
        let openmetrics = "# HELP a b\\nc.\n# TYPE a counter\na_total 1\n# HELP b B.\n# TYPE b info\n# UNIT b x\nb_info{v=\"1\"} 1\n\
                           # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\n# EOF\n";
        assert_eq!(
            as_text(openmetrics),
            "# HELP a_total b\\nc.\n# TYPE a_total counter\na_total 1\n# HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
             # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 0\n"
        );
    }

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let usage = ProcessUsage::read(None);
        assert!(usage.cpu_nanos.unwrap() > 0);
        assert!(usage.resident_pages.unwrap() > 0);
    }

    fn told(store: StoreStats) -> String {
        let view = AgentView {
            sample: Arc::new(NodeSample::default()),
            store,
            counts: Arc::default(),
            process: ProcessUsage::default(),
            scrapers: 0,
            untracked_scrapes: 0,
            push: None,
        };
        String::from_utf8(encode(view, Format::Text).unwrap()).unwrap()
    }

    #[test]
    fn each_tier_of_the_ring_is_told_and_an_empty_one_has_no_oldest() {
        let of = |tier, points, oldest| TierStats {
            tier,
            used_bytes: 1 << 33,
            budget_bytes: 1 << 34,
            points,
            samples: 7,
            oldest,
            newest: None,
        };
        let oldest = Some(UnixNanos(1_500_000_000));
        let tiers = vec![of(Tier::Tick, 120, oldest), of(Tier::Minute, 0, None)];
        let text = told(StoreStats { tiers, ..StoreStats::default() });
        for line in [
            "# TYPE ringside_ring_tier_bytes gauge",
            "ringside_ring_tier_bytes{tier=\"tick\"} 8589934592",
            "ringside_ring_tier_budget_bytes{tier=\"1m\"} 17179869184",
            "ringside_ring_tier_points{tier=\"tick\"} 120",
            "ringside_ring_tier_samples{tier=\"1m\"} 7",
            "ringside_ring_tier_oldest_timestamp_seconds{tier=\"tick\"} 1.5",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
        assert!(!text.contains("oldest_timestamp_seconds{tier=\"1m\"}"), "{text}");
    }

    #[test]
    fn an_agent_that_pushes_tells_what_became_of_it_and_one_that_does_not_tells_nothing() {
        assert!(!told(StoreStats::default()).contains("_push"));
        let push = PushStats::default();
        push.pushed(PushResult::Accepted);
        push.pushed(PushResult::Timeout);
        push.accepted(3, 4_096, UnixNanos(90_000_000_000), UnixNanos(91_500_000_000));
        push.set_backlog(7);
        let mut sample = NodeSample::default();
        sample.wall = UnixNanos(100_000_000_000);
        let view = AgentView {
            sample: Arc::new(sample),
            store: StoreStats::default(),
            counts: Arc::default(),
            process: ProcessUsage::default(),
            scrapers: 0,
            untracked_scrapes: 0,
            push: Some(Arc::new(push)),
        };
        let text = String::from_utf8(encode(view, Format::Text).unwrap()).unwrap();
        for line in [
            "ringside_agent_pushes_total{result=\"accepted\"} 1",
            "ringside_agent_pushes_total{result=\"timeout\"} 1",
            "ringside_agent_push_samples_total 3",
            "ringside_agent_push_bytes_total 4096",
            "ringside_agent_push_backlog_samples 7",
            "ringside_agent_push_last_success_timestamp_seconds 91.5",
            "ringside_agent_push_lag_seconds 10.0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
        assert!(!text.contains("oom_events"), "there was none: {text}");
    }

    #[test]
    fn the_ring_file_is_told_of_where_there_is_one() {
        assert!(!told(StoreStats::default()).contains("ringside_ring_file"));
        let persistence = Persistence {
            active: false,
            failure: Some("no room".to_owned()),
            failures: 3,
            written_bytes: 4096,
            file_bytes: 35_000_320,
            syncs: 5,
            damaged: 1,
        };
        let text = told(StoreStats { persistence: Some(persistence), ..StoreStats::default() });
        for line in [
            "ringside_ring_file_active 0",
            "ringside_ring_file_bytes 35000320",
            "ringside_ring_file_failures_total 3",
            "ringside_ring_file_written_bytes_total 4096",
            "ringside_ring_file_syncs_total 5",
            "ringside_ring_file_damaged_total 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
    }
}
