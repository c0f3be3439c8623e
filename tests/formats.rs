//! One sample in four formats: the same series, the same values, and what each format can tell beyond them.

#[cfg(test)]
mod client_model;
mod strict_parser;
mod synthetic;

#[cfg(test)]
mod facts {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use std::time::Instant;

    use ringside::sample::catalogue::{CgroupColumn as C, DeviceColumn, Table};
    use ringside::sample::{NodeSample, Owner, Tally, TallyKey};
    use ringside::units::{Limit, MonotonicNanos, UnixNanos};
    use ringside::view::prometheus::blocks::Blocks;
    use ringside::view::prometheus::encoder::{Options, encode_with};
    use ringside::view::prometheus::escaping::{Escaping, Naming};
    use ringside::view::prometheus::layout::Layout;
    use ringside::view::prometheus::maxima::{Maxima, Tracker};
    use ringside::view::prometheus::sink::Sink;
    use ringside::view::prometheus::{Compression, Format, Labels, Scraper, Shape};

    use crate::client_model::{Histogram, Metric, MetricFamily, families, native};
    use crate::strict_parser::{Key, parse};
    use crate::synthetic::{Maker, WALL_SECONDS, pod_container};

    type Series = BTreeMap<Key, f64>;

    fn bytes(sample: &NodeSample, maxima: &Maxima, naming: Naming, options: Options<'_>) -> Vec<u8> {
        let (roster, machine) = (Arc::clone(&sample.roster), Arc::clone(&sample.machine));
        let layout = Arc::new(Layout::new(roster, machine, Shape { naming, ..Labels::Full.into() }));
        let blocks = Blocks::new(&layout);
        let mut sink = Sink::new(Compression::Identity, Vec::new()).unwrap();
        encode_with(sample, &layout, maxima, &Options { blocks: Some(&blocks), ..options }, &mut sink);
        sink.finish().unwrap().0
    }

    fn text(sample: &NodeSample, maxima: &Maxima, options: Options<'_>) -> String {
        let mut text = String::from_utf8(bytes(sample, maxima, Naming::Sanitised, options)).unwrap();
        if options.format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    /// The series of a text, histograms among them, with their values as numbers.
    fn of_text(text: &str, open_metrics: bool) -> Series {
        let parsed = parse(text, open_metrics).unwrap();
        parsed.series.into_iter().map(|(key, value)| (key, value.parse().unwrap())).collect()
    }

    fn labels(metric: &Metric) -> BTreeMap<String, String> {
        metric.label.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
    }

    fn le(bound: f64) -> String {
        match bound {
            f64::INFINITY => "+Inf".to_owned(),
            bound if bound >= 1e6 => {
                let text = format!("{bound:e}");
                let (digits, exponent) = text.split_once('e').unwrap();
                format!("{digits}e+{exponent:0>2}")
            }
            bound => format!("{bound:?}"),
        }
    }

    fn of_protobuf(body: &[u8]) -> Series {
        let mut series = Series::new();
        for family in families(body) {
            let name = family.name();
            for metric in &family.metric {
                let mut add = |suffix: &str, more: Option<String>, value: f64| {
                    let mut labels = labels(metric);
                    labels.extend(more.map(|more| ("le".to_owned(), more)));
                    let was = series.insert((format!("{name}{suffix}"), labels), value);
                    assert_eq!(was, None, "{name} twice");
                };
                let value = match family.kind() {
                    0 => metric.counter.as_ref().unwrap().value(),
                    1 => metric.gauge.as_ref().unwrap().value(),
                    4 => {
                        let histogram = metric.histogram.as_ref().unwrap();
                        for bucket in &histogram.bucket {
                            add("_bucket", Some(le(bucket.upper_bound())), bucket.cumulative_count() as f64);
                        }
                        add("_sum", None, histogram.sample_sum());
                        add("_count", None, histogram.sample_count() as f64);
                        continue;
                    }
                    other => panic!("{name} is of type {other}"),
                };
                add("", None, value);
            }
        }
        series
    }

    fn family<'a>(families: &'a [MetricFamily], name: &str) -> &'a MetricFamily {
        families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Ticks of one container that uses so many tenths of a core and writes as many times 100 kB.
    fn burst(tenths: &[u64]) -> (NodeSample, Tracker) {
        let mut tracker = Tracker::default();
        let (mut usec, mut last) = (5_000_000, None);
        for (tick, tenths) in (1..).zip(tenths) {
            usec += tenths * 100_000;
            let mut maker = Maker::new(tick);
            let container = pod_container(1, 1);
            let id = maker.add(Table::Cgroup, &container.identity.path, |subject, row| {
                subject.workload = Some(Arc::new(container.clone()));
                row.put(C::CpuUsageUsec, Some(usec));
                row.put(C::MemoryCurrentBytes, Some(64 << 20));
                row.put(C::MemoryStatInactiveFile, Some(0));
                row.put_limit(C::MemoryMaxBytes, Some(Limit::Unlimited));
            });
            maker.add(Table::Device, "sda", |subject, row| {
                subject.owner = Some(id);
                subject.workload = Some(Arc::new(container.clone()));
                row.put(DeviceColumn::Wbytes, Some(usec));
                row.read_at = MonotonicNanos(tick * 1_000_000_000);
            });
            let sample = maker.finish();
            tracker.observe(&sample);
            if tick == 1 {
                tracker.scraped(&Scraper::new([127, 0, 0, 1].into(), "a"), 1, Instant::now());
            }
            last = Some(sample);
        }
        (last.unwrap(), tracker)
    }

    fn node() -> (NodeSample, Maxima) {
        let mut tracker = Tracker::default();
        let sample = |tick| {
            let mut maker = Maker::new(tick);
            maker.node(2, 1);
            maker.finish()
        };
        for tick in 1..6 {
            tracker.observe(&sample(tick));
        }
        (sample(5), tracker.maxima(Instant::now()))
    }

    const ALL: Options<'_> =
        Options { format: Format::Text, classic: true, created: false, plan: None, pick: None, blocks: None };

    #[test]
    fn the_four_formats_carry_the_same_series_and_values() {
        let (sample, maxima) = node();
        let old = text(&sample, &maxima, ALL);
        assert_eq!(text(&sample, &maxima, Options { format: Format::Text1, ..ALL }), old);
        let wanted = of_text(&old, false);
        assert!(wanted.len() > 1500, "{}", wanted.len());
        assert!(wanted.keys().any(|(name, _)| name == "ringside_container_cpu_usage_cores_bucket"));
        let open = of_text(&text(&sample, &maxima, Options { format: Format::OpenMetrics, ..ALL }), true);
        assert_eq!(open, wanted);
        let protobuf = bytes(&sample, &maxima, Naming::Sanitised, Options { format: Format::Protobuf, ..ALL });
        assert_eq!(of_protobuf(&protobuf), wanted);
    }

    #[test]
    fn text_shows_distributions_only_to_who_asks_and_protobuf_always_as_native_ones() {
        let (sample, maxima) = node();
        let plain = Options { classic: false, ..ALL };
        assert!(!text(&sample, &maxima, plain).contains("_bucket"));
        let families =
            families(&bytes(&sample, &maxima, Naming::Sanitised, Options { format: Format::Protobuf, ..plain }));
        let histogram = |name: &str| family(&families, name).metric[0].histogram.clone().unwrap();
        let cpu = histogram("ringside_container_cpu_usage_cores");
        assert_eq!(cpu.bucket.len(), 1, "the one that carries the exemplar");
        assert_eq!((cpu.schema(), cpu.zero_threshold()), (3, 1.0 / 1024.0));
    }

    fn cpu_histogram(sample: &NodeSample, tracker: &Tracker, classic: bool) -> Histogram {
        let options = Options { format: Format::Protobuf, classic, ..ALL };
        let families = families(&bytes(sample, &tracker.maxima(Instant::now()), Naming::Sanitised, options));
        family(&families, "ringside_container_cpu_usage_cores").metric[0].histogram.clone().unwrap()
    }

    #[test]
    fn each_tick_is_one_observation_in_the_bucket_of_its_rate() {
        let (sample, tracker) = burst(&[0, 1, 1, 20, 20, 1, 0]);
        let histogram = cpu_histogram(&sample, &tracker, false);
        assert_eq!((histogram.sample_count(), histogram.zero_count()), (6, 1), "the first tick has no rate yet");
        assert!((histogram.sample_sum() - 4.3).abs() < 1e-9, "{}", histogram.sample_sum());
        let buckets = native(&histogram);
        let counts: Vec<i64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [3, 2]);
        assert!((buckets[0].0 - 0.105_112).abs() < 1e-5 && (buckets[1].0 - 2.0).abs() < 1e-9, "{buckets:?}");
        let created = histogram.created_timestamp.unwrap();
        assert_eq!(created.seconds, i64::try_from(WALL_SECONDS + 1).unwrap());
    }

    #[test]
    fn the_highest_value_since_the_last_scrape_leads_to_its_moment() {
        let (sample, mut tracker) = burst(&[0, 1, 30, 1]);
        let at = |histogram: Histogram| {
            let mut found = histogram.bucket.into_iter().filter_map(|bucket| {
                let exemplar = bucket.exemplar?;
                Some((
                    bucket.upper_bound?,
                    exemplar.value?,
                    exemplar.timestamp?.seconds,
                    exemplar.label[0].value.clone(),
                ))
            });
            let one = found.next();
            assert_eq!(found.next(), None, "one exemplar");
            one.unwrap()
        };
        let third = i64::try_from(WALL_SECONDS + 3).unwrap();
        let moment = "2026-01-02T03:04:08.000Z".to_owned();
        assert_eq!(at(cpu_histogram(&sample, &tracker, true)), (4.0, 3.0, third, moment.clone()));
        assert_eq!(at(cpu_histogram(&sample, &tracker, false)), (f64::INFINITY, 3.0, third, moment));
        let open = Options { format: Format::OpenMetrics, ..ALL };
        let shown = text(&sample, &tracker.maxima(Instant::now()), open);
        let line = shown
            .lines()
            .find(|line| line.starts_with("ringside_container_cpu_usage_cores_bucket") && line.contains("le=\"4.0\""));
        assert!(
            line.unwrap().ends_with(&format!("}} 3 # {{at=\"2026-01-02T03:04:08.000Z\"}} 3.0 {third}")),
            "{line:?}"
        );
        tracker.scraped(&Scraper::new([127, 0, 0, 1].into(), "a"), 4, Instant::now());
        let histogram = cpu_histogram(&sample, &tracker, false);
        assert!(at(histogram).1 < 0.2, "after a scrape another one leads");
    }

    #[test]
    fn counters_of_a_container_say_since_when_they_count_in_protobuf_and_on_demand_in_openmetrics() {
        let mut maker = Maker::new(1);
        let mut container = pod_container(1, 1);
        let mut metadata = (**container.metadata.as_ref().unwrap()).clone();
        metadata.started_at = Some(UnixNanos(1_700_000_000_250_000_000));
        container.metadata = Some(Arc::new(metadata));
        let id = maker.cgroup(container.clone());
        maker.owned(Table::Interface, id, &container, "eth0");
        let sample = maker.finish();
        let maxima = Maxima::default();
        let protobuf = bytes(&sample, &maxima, Naming::Sanitised, Options { format: Format::Protobuf, ..ALL });
        let families = families(&protobuf);
        let counter = |name: &str| family(&families, name).metric[0].counter.clone().unwrap();
        let created = counter("container_cpu_usage_seconds_total").created_timestamp.unwrap();
        assert_eq!((created.seconds, created.nanos), (1_700_000_000, 250_000_000));
        assert_eq!(
            counter("container_network_receive_bytes_total").created_timestamp,
            None,
            "the network is the pod's"
        );
        let open = Options { format: Format::OpenMetrics, classic: false, ..ALL };
        assert!(!text(&sample, &maxima, open).contains("_created"));
        let shown = text(&sample, &maxima, Options { created: true, ..open });
        let created: Vec<_> =
            shown.lines().filter(|line| line.starts_with("container_cpu_usage_seconds_created{")).collect();
        assert!(created.len() == 1 && created[0].ends_with("} 1700000000.25"), "{created:?}");
        assert!(!shown.contains("container_network_receive_bytes_created"));
        parse(&shown, true).unwrap();
        let old = text(&sample, &maxima, Options { format: Format::Text, created: true, ..open });
        assert!(!old.contains("_created"), "only OpenMetrics knows them");
    }

    #[test]
    fn utf8_label_names_are_quoted_for_who_understands_them_and_escaped_for_the_rest() {
        let mut maker = Maker::new(1);
        let mut container = pod_container(1, 1);
        let mut metadata = (**container.metadata.as_ref().unwrap()).clone();
        metadata.labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), "we\"b".to_owned())]);
        container.metadata = Some(Arc::new(metadata));
        maker.cgroup(container);
        let sample = maker.finish();
        let line = |naming| {
            let text = String::from_utf8(bytes(&sample, &Maxima::default(), naming, ALL)).unwrap();
            text.lines().find(|line| line.starts_with("container_memory_usage_bytes{")).unwrap().to_owned()
        };
        for (naming, wanted) in [
            (Naming::Sanitised, r#"container_label_app_kubernetes_io_name="we\"b""#),
            (Naming::Utf8(Escaping::AllowUtf8), r#""container_label_app.kubernetes.io/name"="we\"b""#),
            (Naming::Utf8(Escaping::Underscores), r#",container_label_app_kubernetes_io_name="we\"b""#),
            (Naming::Utf8(Escaping::Dots), r#",container__label__app_dot_kubernetes_dot_io__name="we\"b""#),
            (Naming::Utf8(Escaping::Values), r#",U__container__label__app_2e_kubernetes_2e_io_2f_name="we\"b""#),
        ] {
            let line = line(naming);
            assert!(line.contains(wanted), "{naming:?}: {line}");
        }
        let options = Options { format: Format::Protobuf, ..ALL };
        let families = families(&bytes(&sample, &Maxima::default(), Naming::Utf8(Escaping::AllowUtf8), options));
        let labels = labels(&family(&families, "container_memory_usage_bytes").metric[0]);
        assert_eq!(labels.get("container_label_app.kubernetes.io/name").map(String::as_str), Some("we\"b"));
    }

    #[test]
    fn a_small_family_has_these_bytes() {
        let mut maker = Maker::new(1);
        maker.tally();
        let sample = maker.finish();
        let body = bytes(&sample, &Maxima::default(), Naming::Sanitised, Options { format: Format::Protobuf, ..ALL });
        let name = b"ringside_container_restarts_total";
        let at = body.windows(name.len()).position(|window| window == name).unwrap();
        let help = b"Times that the container was started again.";
        let mut family = vec![0x0a, 33];
        family.extend(name);
        family.extend([0x12, 43]);
        family.extend(help);
        // Type counter; one metric of 46 bytes with three pairs and a counter.
        family.extend([0x18, 0]);
        let pairs = [("namespace", "shop"), ("pod", "web-0"), ("container", "web")];
        let mut metric = Vec::new();
        for (name, value) in pairs {
            metric.extend([0x0a, u8::try_from(name.len() + value.len() + 4).unwrap(), 0x0a]);
            metric.push(u8::try_from(name.len()).unwrap());
            metric.extend(name.bytes());
            metric.extend([0x12, u8::try_from(value.len()).unwrap()]);
            metric.extend(value.bytes());
        }
        metric.extend([0x1a, 9, 0x09]);
        metric.extend(2.0f64.to_le_bytes());
        family.extend([0x22, u8::try_from(metric.len()).unwrap()]);
        family.extend(metric);
        let length = [u8::try_from(family.len() & 0x7f | 0x80).unwrap(), u8::try_from(family.len() >> 7).unwrap()];
        assert_eq!(body[at - 4..at - 2], length, "the length in front");
        assert_eq!(body[at - 2..at - 2 + family.len()], family);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        #[test]
        fn labels_of_any_characters_are_the_same_in_text_and_protobuf(
            told in proptest::collection::btree_map("[a-c./=\\\\\"\\n,{}ü😱]{1,12}", "[a-c\\\\\"\\n,={}ü\u{0}-\u{1f}]{1,12}", 0..6)
        ) {
            let mut maker = Maker::new(1);
            let mut container = pod_container(1, 1);
            let mut metadata = (**container.metadata.as_ref().unwrap()).clone();
            metadata.labels = told.clone();
            container.metadata = Some(Arc::new(metadata));
            maker.add(Table::Cgroup, "/x", |subject, row| {
                subject.workload = Some(Arc::new(container));
                row.put(C::PidsMax, Some(1));
                row.put(C::MemoryCurrentBytes, Some(1));
            });
            let sample = maker.finish();
            let options = Options { format: Format::Protobuf, ..ALL };
            let decoded = of_protobuf(&bytes(&sample, &Maxima::default(), Naming::Sanitised, options));
            proptest::prop_assert_eq!(decoded, of_text(&text(&sample, &Maxima::default(), ALL), false));
            let naming = Naming::Utf8(Escaping::AllowUtf8);
            let decoded = families(&bytes(&sample, &Maxima::default(), naming, options));
            let mut shown = labels(&family(&decoded, "container_memory_usage_bytes").metric[0]);
            shown.retain(|name, _| name.starts_with("container_label_"));
            let wanted: BTreeMap<_, _> = told.into_iter().map(|(key, value)| (format!("container_label_{key}"), value)).collect();
            proptest::prop_assert_eq!(shown, wanted);
        }
    }

    /// Two containers of one namespace, the older one of an owner.
    fn shop(tick: u64, usec: u64, with_second: bool) -> NodeSample {
        let mut maker = Maker::new(tick);
        let add = |maker: &mut Maker, number: u64, started_second: u64, usec: u64, ended: u64| {
            let mut container = pod_container(number, 1);
            let mut metadata = (**container.metadata.as_ref().unwrap()).clone();
            metadata.namespace = Some("shop".to_owned());
            metadata.started_at = Some(UnixNanos((WALL_SECONDS + started_second) * 1_000_000_000));
            let owner = Owner { kind: "Deployment".to_owned(), name: "web".to_owned() };
            metadata.owner = (number == 1).then(|| Arc::new(owner));
            let key = TallyKey::of(&metadata).unwrap();
            container.metadata = Some(Arc::new(metadata));
            let id = maker.add(Table::Cgroup, &container.identity.path, |subject, row| {
                subject.workload = Some(Arc::new(container.clone()));
                row.put(C::CpuUsageUsec, Some(usec));
                row.put(C::MemoryCurrentBytes, Some(1 << 20));
                row.put(C::MemoryStatInactiveFile, Some(0));
            });
            let tally = Tally { living: vec![id], ended_cpu_usage_usec: ended, restarts: 5, ..Tally::default() };
            Arc::make_mut(&mut maker.sample.tallies).entries.insert(key, tally);
        };
        add(&mut maker, 1, 0, usec, 7_000_000);
        if with_second {
            add(&mut maker, 2, tick, 500_000, 0);
        }
        maker.finish()
    }

    #[test]
    fn a_namespaces_sums_begin_with_the_agent_and_never_go_back() {
        let mut tracker = Tracker::default();
        let shown = |tracker: &Tracker, sample: &NodeSample, name: &str| {
            let all = of_text(&text(sample, &tracker.maxima(Instant::now()), ALL), false);
            let one: BTreeSet<String> = all
                .iter()
                .filter(|((series, _), _)| series == name)
                .map(|((_, labels), value)| format!("{value} {labels:?}"))
                .collect();
            one.into_iter().collect::<Vec<_>>().join("; ")
        };
        let namespace = r#"{"namespace": "shop"}"#;
        let workload = r#"{"namespace": "shop", "owner_kind": "Deployment", "owner_name": "web"}"#;
        for (tick, usec, with_second, cpu, owned, bytes) in [
            (1, 3_000_000, false, "0", "0", "1048576"),
            (2, 4_000_000, false, "1", "1", "1048576"),
            (3, 4_500_000, true, "2", "1.5", "2097152"),
            // The second one has ended, and its tally was dropped.
            (4, 5_000_000, false, "2.5", "2", "1048576"),
            // A row that could not be read is not a fall.
            (5, 0, false, "2.5", "2", "1048576"),
            (6, 5_250_000, false, "2.75", "2.25", "1048576"),
        ] {
            let sample = shop(tick, usec, with_second);
            tracker.observe(&sample);
            let cpu_of = |name: &str| shown(&tracker, &sample, name);
            assert_eq!(
                cpu_of("ringside_namespace_cpu_usage_seconds_total"),
                format!("{cpu} {namespace}"),
                "tick {tick}"
            );
            assert_eq!(
                cpu_of("ringside_workload_cpu_usage_seconds_total"),
                format!("{owned} {workload}"),
                "tick {tick}"
            );
            assert_eq!(cpu_of("ringside_namespace_memory_working_set_bytes"), format!("{bytes} {namespace}"));
            assert_eq!(cpu_of("ringside_namespace_restarts_total"), format!("0 {namespace}"), "they were before us");
        }
    }
}
