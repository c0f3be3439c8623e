//! `docs/metrics.md` is made from the tables that the exposition is made from, and says of each metric all there is to say.
//!
//! `cargo test --test metrics_doc -- --ignored` writes it anew. What a set costs is in `docs/metrics-costs.tsv`, by hand:
//! set, microseconds, of what.

mod cadvisor_families;
mod metric_sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cadvisor_families::{CADVISOR, Fate};
use metric_sources::{labels_of_rows, sources};
use ringside::sample::export_stats::ExportStats;
use ringside::sample::push_stats::{EventResult, PushResult, PushStats};
use ringside::sample::sets::{NAMED, Named, Set};
use ringside::sample::{NodeSample, SourceFile};
use ringside::store::{Persistence, StoreStats, Tier, TierStats};
use ringside::units::UnixNanos;
use ringside::view::prometheus::agent::{self, AgentView, Counts, ProcessUsage};
use ringside::view::prometheus::families::{self, compat};
use ringside::view::prometheus::family::{Family, Value};
use ringside::view::prometheus::{Compression, Format, Pick};

#[cfg(test)]
mod facts {
    use super::*;

    /// One line of the table.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Row {
        name: String,
        kind: String,
        unit: String,
        labels: Vec<String>,
        source: String,
        source_v1: String,
        set: Set,
        twin: String,
    }

    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    /// Name → (type, labels) of cAdvisor's families.
    fn appendix() -> BTreeMap<&'static str, (char, Vec<&'static str>)> {
        let line = |line: &'static str| {
            let (name, rest) = line.split_once(':').unwrap();
            let labels = rest.get(1..).unwrap_or("").trim_matches(['{', '}']);
            (name, (rest.chars().next().unwrap(), labels.split(',').filter(|label| !label.is_empty()).collect()))
        };
        include_str!("cadvisor_families/appendix.txt").lines().map(line).collect()
    }

    fn unit_of(family: &Family) -> String {
        const BYTES: [&str; 5] = [
            "container_memory_cache",
            "container_memory_rss",
            "container_memory_swap",
            "container_memory_mapped_file",
            "container_memory_kernel_usage",
        ];
        if let Some(unit) = family.unit() {
            return unit.to_owned();
        }
        match family.name {
            name if BYTES.contains(&name) || name == "container_blkio_device_usage_total" => "bytes",
            "container_spec_cpu_period" | "container_spec_cpu_quota" => "microseconds",
            name if name.contains("bytes") => "bytes",
            name if name.contains("seconds") || name == "container_last_seen" => "seconds",
            name if name.contains("celsius") || name.ends_with("_temp") => "celsius",
            name if name.contains("watts") => "watts",
            name if name.contains("hertz") => "hertz",
            _ => "1",
        }
        .to_owned()
    }

    fn label_names(rendered: &str) -> impl Iterator<Item = &str> {
        ringside::view::prometheus::labels::pairs(rendered).map(|(name, _)| name)
    }

    fn row_of(family: &Family) -> Row {
        let mut labels: Vec<String> = Vec::new();
        let mut add = |name: &str| {
            if !labels.iter().any(|known| known == name) {
                labels.push(name.to_owned());
            }
        };
        for series in family.series {
            labels_of_rows(series.rows).iter().for_each(|name| add(name));
            label_names(series.labels).for_each(&mut add);
        }
        let of_node_exporter = matches!(family.set, Set::Node(_)) && family.name.starts_with("node_");
        if of_node_exporter && family.series.iter().any(|series| matches!(series.value, Value::Detail(_))) {
            add("THEIRS");
        }
        if family.name == "ringside_container_exits_total" {
            add("code");
            add("reason");
        }
        if let Some((_, more)) = appendix().get(family.name) {
            more.iter().for_each(|name| add(name));
        }
        let (source, source_v1) = sources(family);
        let twin = match compat::cadvisor(family.name) {
            Some(true) => "cAdvisor, kubelet",
            Some(false) => "cAdvisor",
            None if family.name.starts_with("node_") => "node_exporter",
            None => "",
        };
        Row {
            name: family.name.to_owned(),
            kind: format!("{:?}", family.kind).to_lowercase(),
            unit: unit_of(family),
            labels,
            source,
            source_v1,
            set: family.set,
            twin: twin.to_owned(),
        }
    }

    /// The agent's own metrics, from a page on which all of them have a value.
    fn agent_rows() -> Vec<Row> {
        let counts = Counts::default();
        counts.scrape(Format::Text, Compression::Gzip);
        counts.response(200);
        let push = PushStats::default();
        push.pushed(PushResult::Accepted);
        push.accepted(1, 1, UnixNanos(1), UnixNanos(1));
        push.event(EventResult::ALL[0]);
        let mut sample = NodeSample::default();
        sample.machine = Arc::new(ringside::sample::MachineFacts { page_bytes: 4096, ..Default::default() });
        sample.self_stats.read_errors[SourceFile::ALL.len() - 1][0] = 1;
        let persistence = Persistence {
            active: true,
            failure: None,
            failures: 1,
            written_bytes: 1,
            file_bytes: 1,
            syncs: 1,
            damaged: 1,
        };
        let (oldest, newest) = (Some(UnixNanos(1)), None);
        let tier =
            TierStats { tier: Tier::Tick, used_bytes: 1, budget_bytes: 1, points: 1, samples: 1, oldest, newest };
        let store = StoreStats { oldest, persistence: Some(persistence), tiers: vec![tier], ..StoreStats::default() };
        let view = AgentView {
            sample: Arc::new(sample),
            store,
            counts: Arc::new(counts),
            process: ProcessUsage { cpu_nanos: Some(1), resident_pages: Some(1), started_at: Some(1) },
            scrapers: 1,
            untracked_scrapes: 1,
            rollups_left_out: 1,
            push: Some(Arc::new(push)),
            exports: vec![Arc::new(ExportStats::new("remote_write", "store:9090".into()))],
        };
        let text = String::from_utf8(agent::encode(view, Format::Text, &Pick::default()).unwrap()).unwrap();
        let mut rows: Vec<Row> = Vec::new();
        for line in text.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let unit = ["seconds", "bytes"].into_iter().find(|unit| name.contains(unit)).unwrap_or("1");
                rows.push(Row {
                    name: name.to_owned(),
                    kind: kind.to_owned(),
                    unit: unit.to_owned(),
                    labels: Vec::new(),
                    source: "the agent itself".to_owned(),
                    source_v1: String::new(),
                    set: Set::Agent,
                    twin: if name.starts_with("process_") { "any client library".to_owned() } else { String::new() },
                });
            } else if let (Some(row), Some((_, block))) = (rows.last_mut(), line.split_once('{')) {
                for label in label_names(block) {
                    if !row.labels.iter().any(|known| known == label) {
                        row.labels.push(label.to_owned());
                    }
                }
            }
        }
        rows
    }

    fn rows() -> Vec<Row> {
        let shown: BTreeSet<&str> = families::all().map(|family| family.name).collect();
        let constants = compat::FAMILIES.iter().filter(|family| !shown.contains(family.name));
        let mut rows: Vec<Row> = families::all().chain(constants).map(row_of).chain(agent_rows()).collect();
        rows.sort_by(|one, other| (one.set.index(), &one.name).cmp(&(other.set.index(), &other.name)));
        rows
    }

    /// Set → microseconds and of what.
    fn costs() -> BTreeMap<String, (String, String)> {
        let text = std::fs::read_to_string(path("docs/metrics-costs.tsv")).unwrap();
        let line = |line: &str| {
            let [set, cost, what] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("three columns: {line}") };
            assert!(cost.parse::<f64>().is_ok_and(|cost| cost > 0.0), "{line}");
            assert!(Set::names().any(|name| name == set.strip_prefix("node:").unwrap_or(set)), "{line}");
            (set.to_owned(), (cost.to_owned(), what.to_owned()))
        };
        text.lines().map(line).collect()
    }

    fn yes(is: bool) -> &'static str {
        if is { "yes" } else { "" }
    }

    fn cost_of(named: &Named, costs: &BTreeMap<String, (String, String)>) -> String {
        // A collector of node_exporter's reads once for the node, not for each cgroup.
        let key =
            if matches!(named.set, Set::Node(_)) { format!("node:{}", named.name) } else { named.name.to_owned() };
        costs.get(&key).map_or_else(|| "not measured".to_owned(), |(cost, _)| cost.clone())
    }

    fn document() -> String {
        let (rows, costs) = (rows(), costs());
        let mut text = String::from(INTRODUCTION);
        for named in NAMED {
            let source = if matches!(named.set, Set::Node(_)) { "node_exporter" } else { "" };
            let source = if compat_set(named.set) { "cAdvisor" } else { source };
            writeln!(
                text,
                "| `{}` | {} | {} | {source} | {} | {} |",
                named.name,
                named.about,
                yes(named.default),
                yes(named.cadvisor),
                cost_of(named, &costs)
            )
            .unwrap();
        }
        text.push_str(MEASURED);
        for (set, (cost, what)) in &costs {
            writeln!(text, "| `{set}` | {cost} | {what} |").unwrap();
        }
        text.push_str(TABLE);
        for row in &rows {
            let named = NAMED.get(row.set.index().unwrap()).unwrap();
            let labels: Vec<String> = row
                .labels
                .iter()
                .map(|label| match label.as_str() {
                    "IDENTITY" => "identity".to_owned(),
                    "THEIRS" => "as in node_exporter".to_owned(),
                    label => format!("`{label}`"),
                })
                .collect();
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} | `{}` | {} | {} |",
                row.name,
                row.kind,
                row.unit,
                labels.join(", "),
                row.source,
                row.source_v1,
                named.name,
                cost_of(named, &costs),
                row.twin
            )
            .unwrap();
        }
        text.push_str(ABSENT);
        let known: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        for (name, fate) in CADVISOR {
            if let (Fate::Absent(reason), false) = (fate, known.contains(name)) {
                writeln!(text, "| `{name}` | {reason} |").unwrap();
            }
        }
        text
    }

    fn compat_set(set: Set) -> bool {
        let ours = [Set::Detail, Set::Peak, Set::Distribution, Set::Workload, Set::Agent, Set::Always];
        !matches!(set, Set::Node(_)) && !ours.contains(&set)
    }

    #[test]
    fn the_document_says_what_the_code_does() {
        let written = std::fs::read_to_string(path("docs/metrics.md")).unwrap();
        let made = document();
        let differs = written.lines().zip(made.lines()).find(|(written, made)| written != made);
        let advice = "write it anew: cargo test --test metrics_doc -- --ignored";
        assert_eq!(differs, None, "docs/metrics.md is not what the tables say; {advice}");
        assert!(written == made, "docs/metrics.md ends elsewhere; {advice}");
    }

    #[test]
    #[ignore = "rewrites docs/metrics.md; to be run when a family, a set or a cost has changed"]
    fn write_the_document() {
        std::fs::write(path("docs/metrics.md"), document()).unwrap();
    }

    #[test]
    fn every_metric_says_where_it_comes_from_and_which_labels_it_has() {
        for row in rows() {
            assert!(!row.source.contains('?') && !row.source_v1.contains('?'), "{row:?}: tests/metric_sources/mod.rs");
            assert!(!(row.source.is_empty() && row.source_v1.is_empty()), "{row:?}");
            assert!(!row.labels.iter().any(|label| label == "?"), "{row:?}: labels_of_rows");
            assert!(!row.source.contains('|'), "{row:?}");
        }
        let names: Vec<String> = rows().into_iter().map(|row| row.name).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "a name twice");
    }

    #[test]
    fn the_124_families_of_cadvisor_are_exported_or_have_a_reason() {
        let appendix = appendix();
        assert_eq!(appendix.len(), 124);
        let listed: Vec<&str> = compat::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, appendix.keys().copied().collect::<Vec<_>>());
        let rows: BTreeMap<String, Row> = rows().into_iter().map(|row| (row.name.clone(), row)).collect();
        let reasons: BTreeMap<&str, &Fate> = CADVISOR.iter().map(|(name, fate)| (*name, fate)).collect();
        for (name, (kind, labels)) in appendix {
            let Some(row) = rows.get(name) else {
                assert!(matches!(reasons[name], Fate::Absent(reason) if reason.len() > 10), "{name} is not exported");
                continue;
            };
            let expected = if kind == 'C' { "counter" } else { "gauge" };
            assert_eq!(row.kind, expected, "{name}");
            for label in labels {
                assert!(row.labels.iter().any(|known| known == label), "{name} has no label {label}");
            }
        }
    }

    const INTRODUCTION: &str = "\
# Metrics

This page is made from the tables that `/metrics` is made from (`cargo test --test metrics_doc -- --ignored` writes it).

## Sets

`--metrics` takes a list of sets, separated by commas and worked through from left to right:

- `name` and `+name` turn a set on, `-name` turns it off;
- `default`, `all` and `none` begin anew with what they say;
- a list that begins with a sign begins with `default`, any other with `none`: `+tcp,-pressure` is
  `default,+tcp,-pressure`, and `cpu,memory` is those two alone;
- `none` leaves `always`, which tells containers apart; `-always` takes that out as well;
- with `--compat=cadvisor`, `default` is what cAdvisor has on when nothing is said;
- capitals do not matter, and a name that cAdvisor and node_exporter share (`cpu`, `pressure`) chooses both.

A set that is off is not shown, and what is read beside the tick for it alone is not read; what the tick reads stands in
history whichever sets are on. `?collect[]=NAME` (repeatable, or a list) asks for some
of the sets that are on, `?match[]=SELECTOR` for the series that fit a selector of Prometheus; both together for what fits
both. What fits nothing is an empty page. `/metrics/cadvisor` has the kubelet's families and labels, whichever sets are on.

| set | about | in `default` | named by | on in cAdvisor | cost in µs |
|---|---|---|---|---|---|
";

    const MEASURED: &str = "
The cost of a set is CPU time of the reading thread for each cgroup and reading, the files kept open and read once a second
in one sweep over 100 real cgroups, so that they are cold: on 2 vCPU of a Xeon at 2.5 GHz, Linux 6.18.44. \"Not measured\" is
what it says; it is not 0.

| set | µs | of what |
|---|---|---|
";

    const TABLE: &str = "
## All metrics

`identity` stands for the labels that say whose a series is: `id`, `name`, `image`, `namespace`, `pod`, `container` and the
runtime's labels as `container_label_*`, as far as they are known; with `--labels slim` without the image and the
runtime's labels. The unit 1 is a plain number. What a kernel does not tell has no series.

| metric | type | unit | labels | kernel file (cgroup v2, node) | cgroup v1 | set | cost in µs | twin |
|---|---|---|---|---|---|---|---|---|
";

    const ABSENT: &str = "
## cAdvisor's families that are not here

| metric | why |
|---|---|
";
}
