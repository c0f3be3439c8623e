//! What `/metrics` says: names, labels, values and form, on made-up samples.

mod cadvisor_families;
#[cfg(test)]
mod shown;
mod strict_parser;
mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cadvisor_families::{CADVISOR, Fate};
use proptest::prelude::*;
use ringside::discover::CgroupKind;
use ringside::sample::catalogue::{CgroupColumn as C, Table};
use ringside::sample::row::Row;
use ringside::sample::{Metadata, NodeSample, Workload};
use ringside::units::Limit;
use ringside::view::prometheus::family::{Family, Type};
use ringside::view::prometheus::layout::Layout;
use ringside::view::prometheus::maxima::Maxima;
use ringside::view::prometheus::set::Set;
use ringside::view::prometheus::sink::Sink;
use ringside::view::prometheus::{Compression, Format, Labels, encoder, families};
use strict_parser::{Parsed, parse};
use synthetic::{Maker, pod_container, workload};

#[cfg(test)]
mod facts {
    use super::*;
    use crate::shown::{one, text_with};

    fn text(sample: &NodeSample, labels: Labels) -> String {
        text_with(sample, labels, Format::Text, &Maxima::default())
    }

    fn parsed(sample: &NodeSample, labels: Labels) -> Parsed {
        parse(&text(sample, labels), false).unwrap()
    }

    fn single(change: impl FnOnce(&mut Workload, &mut Row)) -> NodeSample {
        let mut maker = Maker::new(1);
        let mut workload = pod_container(1, 1);
        maker.add(Table::Cgroup, "x", |subject, row| {
            change(&mut workload, row);
            subject.name = Arc::clone(&workload.identity.path);
            subject.workload = Some(Arc::new(workload));
        });
        maker.finish()
    }

    /// Every family once or twice, with short labels: a page that can be read.
    fn golden() -> NodeSample {
        let mut maker = Maker::new(5);
        maker.node(0, 0);
        let mut container = workload("/docker/4711", CgroupKind::Container);
        container.metadata = Some(Arc::new(Metadata {
            name: "web".into(),
            image: "web:1".into(),
            namespace: Some("shop".into()),
            pod: Some("web-0".into()),
            container: Some("web".into()),
            labels: [("app.kubernetes.io/name", "we\"b"), ("app-kubernetes-io/name", "line\nfeed")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            healthy: Some(true),
            ..Metadata::default()
        }));
        let id = maker.cgroup(container.clone());
        maker.owned(Table::Device, id, &container, "sda");
        maker.owned(Table::Hugetlb, id, &container, "2Mi");
        maker.owned(Table::Interface, id, &container, "eth0");
        maker.finish()
    }

    #[test]
    fn the_text_format_is_the_golden_one() {
        insta::assert_snapshot!("text", text(&golden(), Labels::Full));
    }

    #[test]
    fn the_openmetrics_format_is_the_golden_one() {
        let shown = text_with(&golden(), Labels::Slim, Format::OpenMetrics, &Maxima::default());
        insta::assert_snapshot!("openmetrics", shown);
    }

    #[test]
    fn both_formats_are_valid_and_say_the_same() {
        let sample = synthetic::node(20, 7);
        for labels in [Labels::Full, Labels::Slim] {
            let text = parse(&text(&sample, labels), false).unwrap();
            let open = parse(&text_with(&sample, labels, Format::OpenMetrics, &Maxima::default()), true).unwrap();
            assert_eq!(text.series, open.series);
            assert!(text.series.len() > 2000, "{}", text.series.len());
        }
    }

    #[test]
    fn every_cadvisor_family_is_exported_or_its_absence_has_a_reason() {
        let ours: BTreeMap<&str, Type> = families::all().map(|family| (family.name, family.kind)).collect();
        assert_eq!(CADVISOR.len(), 124);
        for (name, fate) in CADVISOR {
            match fate {
                Fate::Covered('C') => assert_eq!(ours.get(name), Some(&Type::Counter), "{name}"),
                Fate::Covered(_) => assert_eq!(ours.get(name), Some(&Type::Gauge), "{name}"),
                Fate::Absent(reason) => assert!(!ours.contains_key(name) && reason.len() > 10, "{name}"),
            }
        }
        let known: BTreeSet<&str> = CADVISOR.iter().map(|(name, _)| *name).collect();
        // tests/node_exporter.rs holds the families of node_exporter's collectors against the real one.
        let collected = |family: &&Family| matches!(family.set, Set::Node(_)) && family.name.starts_with("node_");
        let collected: BTreeSet<&str> = families::all().filter(collected).map(|family| family.name).collect();
        for name in ours.keys().filter(|name| !name.starts_with("ringside_") && **name != "container_info") {
            assert!(known.contains(name) || collected.contains(name), "{name} is nobody's and not ours");
        }
    }

    #[test]
    fn every_family_has_one_name_a_help_text_and_a_type_that_fits_the_name() {
        let mut names = BTreeSet::new();
        for family in families::all() {
            assert!(names.insert(family.name), "{} twice", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '"', '\n']), "{}", family.name);
            match family.kind {
                // node_exporter keeps the kernel's keys as names: `node_vmstat_pgfault`, `node_memory_HugePages_Total`.
                Type::Counter | Type::Gauge if matches!(family.set, Set::Node(_)) => {}
                Type::Counter => assert!(
                    family.name.ends_with("_total") || family.name.ends_with("_failcnt"),
                    "{} is a counter",
                    family.name
                ),
                Type::Histogram => assert!(
                    !["_total", "_created", "_info", "_bucket", "_count", "_sum"]
                        .iter()
                        .any(|suffix| family.name.ends_with(suffix)),
                    "{}",
                    family.name
                ),
                Type::Info => assert!(family.name.ends_with("_info"), "{}", family.name),
                Type::Gauge => assert!(
                    !family.name.ends_with("_total") || CADVISOR.iter().any(|(name, _)| *name == family.name),
                    "{} is a gauge",
                    family.name
                ),
            }
        }
    }

    #[test]
    fn a_counter_keeps_its_sample_name_in_both_formats() {
        let sample = single(|_, row| row.put(C::MemoryFailcnt, Some(7)));
        let open = text_with(&sample, Labels::Slim, Format::OpenMetrics, &Maxima::default());
        assert!(open.contains("# TYPE container_memory_failcnt unknown\ncontainer_memory_failcnt{"), "{open}");
        let sample = single(|_, row| row.put(C::CpuUsageUsec, Some(1_234_567)));
        let open = text_with(&sample, Labels::Slim, Format::OpenMetrics, &Maxima::default());
        assert!(
            open.contains("# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n")
        );
        let text = text(&sample, Labels::Slim);
        assert!(text.contains("# TYPE container_cpu_usage_seconds_total counter\n"));
        assert!(text.contains(",cpu=\"total\"} 1.234567\n"), "{text}");
        assert!(open.contains("# TYPE container info\ncontainer_info{"), "{open}");
    }

    #[test]
    fn quota_families_exist_only_with_a_quota() {
        let throttled = |limit| {
            parsed(
                &single(|_, row| {
                    row.put_limit(C::CpuQuotaUsec, Some(limit));
                    row.put(C::CpuPeriodUsec, Some(100_000));
                    row.put(C::CpuNrThrottled, Some(3));
                }),
                Labels::Slim,
            )
        };
        let with = throttled(Limit::At(50_000));
        assert_eq!(one(&with, "container_spec_cpu_quota", &[]), Some("50000"));
        assert_eq!(one(&with, "container_spec_cpu_period", &[]), Some("100000"));
        assert_eq!(one(&with, "container_cpu_cfs_throttled_periods_total", &[]), Some("3"));
        let without = throttled(Limit::Unlimited);
        assert_eq!(one(&without, "container_spec_cpu_quota", &[]), None);
        assert_eq!(one(&without, "container_cpu_cfs_throttled_periods_total", &[]), None);
        assert_eq!(one(&without, "container_spec_cpu_period", &[]), Some("100000"));
    }

    #[test]
    fn unlimited_memory_is_zero_and_absent_memory_is_absent() {
        let limit = |cell| parsed(&single(|_, row| row.put_limit(C::MemoryMaxBytes, cell)), Labels::Slim);
        let name = "container_spec_memory_limit_bytes";
        assert_eq!(one(&limit(Some(Limit::Unlimited)), name, &[]), Some("0"));
        assert_eq!(one(&limit(Some(Limit::At(1 << 62))), name, &[]), Some("0"));
        assert_eq!(one(&limit(Some(Limit::At(4096))), name, &[]), Some("4096"));
        assert_eq!(one(&limit(None), name, &[]), None);
        let threads = parsed(&single(|_, row| row.put_limit(C::PidsMax, Some(Limit::Unlimited))), Labels::Slim);
        assert_eq!(one(&threads, "container_threads_max", &[]), Some("0"));
    }

    #[test]
    fn the_working_set_is_never_below_zero() {
        let working_set = |current, inactive| {
            let sample = single(|_, row| {
                row.put(C::MemoryCurrentBytes, Some(current));
                row.put(C::MemoryStatInactiveFile, Some(inactive));
            });
            one(&parsed(&sample, Labels::Slim), "container_memory_working_set_bytes", &[]).map(str::to_owned)
        };
        assert_eq!(working_set(8192, 4096).as_deref(), Some("4096"));
        assert_eq!(working_set(4096, 8192).as_deref(), Some("0"));
    }

    #[test]
    fn the_root_has_the_machines_memory_as_its_limit_and_anon_plus_file_as_its_usage() {
        let mut maker = Maker::new(1);
        maker.add(Table::Cgroup, "/", |subject, row| {
            subject.workload = Some(Arc::new(workload("/", CgroupKind::Root)));
            row.put(C::MemoryStatAnon, Some(1000));
            row.put(C::MemoryStatFile, Some(200));
            row.put(C::MemoryStatInactiveFile, Some(50));
        });
        let parsed = parsed(&maker.finish(), Labels::Slim);
        let root = |name| one(&parsed, name, &[("id", "/")]);
        assert_eq!(root("container_memory_usage_bytes"), Some("1200"));
        assert_eq!(root("container_memory_working_set_bytes"), Some("1150"));
        assert_eq!(root("container_spec_memory_limit_bytes"), Some("17179869184"));
    }

    #[test]
    fn a_row_without_values_gives_no_dead_series() {
        let parsed = parsed(&single(|_, _| ()), Labels::Slim);
        let names: BTreeSet<&str> = parsed
            .series
            .keys()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with("container_") || name.starts_with("ringside_container_"))
            .collect();
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [
                "container_creation_time_seconds",
                "container_info",
                "container_last_seen",
                "container_start_time_seconds"
            ]
        );
    }

    #[test]
    fn health_is_told_only_where_there_is_a_check() {
        for (healthy, shown) in [(None, None), (Some(true), Some("1")), (Some(false), Some("0"))] {
            let sample = single(|workload, _| {
                let metadata = workload.metadata.as_deref().cloned().unwrap();
                workload.metadata = Some(Arc::new(Metadata { healthy, ..metadata }));
            });
            assert_eq!(one(&parsed(&sample, Labels::Slim), "container_health_state", &[]), shown);
        }
    }

    #[test]
    fn oom_kills_of_a_container_go_on_over_its_restarts() {
        let mut maker = Maker::new(1);
        maker.node(1, 0);
        let sample = maker.finish();
        let parsed = parsed(&sample, Labels::Slim);
        assert_eq!(one(&parsed, "container_oom_events_total", &[("container", "server")]), Some("3"));
        let kept = [("namespace", "shop-production"), ("container", "server")];
        assert_eq!(one(&parsed, "ringside_container_oom_kills_total", &kept), Some("3"));
        assert_eq!(one(&parsed, "ringside_container_restarts_total", &kept), Some("2"));
        assert_eq!(one(&parsed, "ringside_container_lifetime_cpu_usage_seconds_total", &kept), Some("98.765432"));
        let exits = [("container", "server"), ("code", "137"), ("reason", "OOMKilled")];
        assert_eq!(one(&parsed, "ringside_container_exits_total", &exits), Some("2"));
    }

    #[test]
    fn a_pods_cgroup_has_no_image_and_its_sandbox_no_container() {
        let mut maker = Maker::new(1);
        maker.node(1, 0);
        let parsed = parsed(&maker.finish(), Labels::Full);
        let usages: Vec<_> =
            parsed.series.keys().filter(|(name, _)| name == "container_memory_rss").map(|(_, labels)| labels).collect();
        let with = |label: &str| usages.iter().filter(|labels| labels.contains_key(label)).count();
        assert_eq!((with("pod"), with("image"), with("container")), (4, 3, 2));
        let pod = usages.iter().find(|labels| labels.contains_key("pod") && !labels.contains_key("image")).unwrap();
        assert_eq!(pod.keys().collect::<Vec<_>>(), ["id", "namespace", "pod"]);
    }

    #[test]
    fn slim_labels_leave_the_rest_to_the_join_family() {
        let mut maker = Maker::new(1);
        maker.node(1, 0);
        let sample = maker.finish();
        let (slim, full) = (parsed(&sample, Labels::Slim), parsed(&sample, Labels::Full));
        let keys = |parsed: &Parsed, name: &str| -> BTreeSet<String> {
            let of_server = |labels: &&BTreeMap<String, String>| {
                labels.get("container").is_some_and(|container| container == "server")
            };
            let labels = parsed.series.keys().filter(|(series, _)| series == name).map(|(_, labels)| labels);
            labels.filter(of_server).flat_map(|labels| labels.keys().cloned()).collect()
        };
        let slim_keys = ["container", "id", "name", "namespace", "pod"].map(str::to_owned);
        assert_eq!(keys(&slim, "container_memory_rss"), BTreeSet::from(slim_keys));
        assert!(keys(&full, "container_memory_rss").contains("container_label_io_kubernetes_pod_uid"));
        assert_eq!(keys(&slim, "container_info"), keys(&full, "container_info"));
        for label in ["image", "runtime", "container_id", "pod_uid", "qos", "container_label_io_cri_containerd_kind"] {
            assert!(keys(&slim, "container_info").contains(label), "{label}");
        }
    }

    #[test]
    fn nvme_disks_have_their_device_labels_everywhere() {
        let mut maker = Maker::new(1);
        maker.node(1, 0);
        let parsed = parsed(&maker.finish(), Labels::Slim);
        let on = |name, id: &[(&str, &str)]| one(&parsed, name, id).is_some();
        assert!(on("container_fs_reads_bytes_total", &[("container", "server"), ("device", "/dev/nvme0n1")]));
        assert!(on("container_fs_sector_reads_total", &[("id", "/"), ("device", "/dev/nvme0n1")]));
        // Counted by the root's io.stat, and the partition, which it does not know, by the disk's own counters.
        assert!(on("container_fs_reads_total", &[("id", "/"), ("device", "/dev/nvme0n1")]));
        assert!(on("container_fs_reads_total", &[("id", "/"), ("device", "/dev/nvme0n1p1")]));
        let usage = [("container", "server"), ("major", "259"), ("minor", "0"), ("operation", "Read")];
        assert!(on("container_blkio_device_usage_total", &usage));
        assert_eq!(
            one(&parsed, "container_fs_usage_bytes", &[("id", "/"), ("device", "/dev/nvme0n1p1")]),
            Some("600000000")
        );
        assert!(on("container_fs_limit_bytes", &[("id", "/"), ("device", "/run")]));
    }

    #[test]
    fn the_hosts_ends_of_pod_networks_are_not_shown_as_the_nodes_traffic() {
        let mut maker = Maker::new(1);
        maker.node(1, 0);
        let parsed = parsed(&maker.finish(), Labels::Slim);
        let shown: BTreeSet<(Option<&str>, &str)> = parsed
            .series
            .keys()
            .filter(|(name, _)| name == "container_network_receive_bytes_total")
            .map(|(_, labels)| (labels.get("pod").map(String::as_str), labels["interface"].as_str()))
            .collect();
        assert_eq!(shown, BTreeSet::from([(None, "eth0"), (Some("checkout-service-7d9c5b6f4-00000"), "eth0")]));
        assert!(one(&parsed, "node_network_receive_bytes_total", &[("device", "cali1234567890a")]).is_some());
    }

    #[test]
    fn a_reused_name_and_a_device_mounted_twice_give_no_series_twice() {
        let mut maker = Maker::new(1);
        for age in 0..2u64 {
            let mut container = pod_container(1, 1);
            container.inode = age;
            let id = maker.cgroup(container.clone());
            maker.owned(Table::Device, id, &container, "sda");
        }
        for mount in ["/", "/var"] {
            maker.add(Table::Filesystem, mount, |subject, row| {
                subject.filesystem = Some(("/dev/sda1".into(), "ext4".into()));
                synthetic::fill(row, Table::Filesystem, 1, 1);
            });
        }
        let newest = maker.sample.rows(Table::Cgroup).unwrap().get(1).unwrap().value(C::MemoryStatAnon).unwrap();
        let parsed = parsed(&maker.finish(), Labels::Full);
        assert_eq!(one(&parsed, "container_memory_rss", &[]), Some(newest.to_string().as_str()));
        assert!(one(&parsed, "container_fs_limit_bytes", &[("device", "/dev/sda1")]).is_some());
    }

    #[test]
    fn ids_that_differ_only_beyond_the_cap_stay_apart() {
        let mut maker = Maker::new(1);
        for end in ["a", "b"] {
            let mut long = workload(&format!("/{}/{end}", "x".repeat(4000)), CgroupKind::Other);
            long.inode = u64::from(end == "b");
            maker.cgroup(long);
        }
        let parsed = parsed(&maker.finish(), Labels::Slim);
        let ids = parsed.series.keys().filter(|(name, _)| name == "container_memory_rss").count();
        assert_eq!(ids, 2);
    }

    #[test]
    fn the_default_weight_is_1024_shares_and_not_2597() {
        let shares = |weight| {
            let sample = single(|_, row| row.put(C::CpuWeight, Some(weight)));
            one(&parsed(&sample, Labels::Slim), "container_spec_cpu_shares", &[]).map(str::to_owned)
        };
        assert_eq!(shares(100).as_deref(), Some("1024"));
        assert_eq!(shares(1).as_deref(), Some("2"));
        let v1 = single(|_, row| row.put(C::CpuShares, Some(512)));
        assert_eq!(one(&parsed(&v1, Labels::Slim), "container_spec_cpu_shares", &[]), Some("512"));
    }

    #[test]
    fn compressed_bodies_hold_the_same_text() {
        use std::io::Read;
        let sample = synthetic::node(20, 3);
        let layout = Layout::new(Arc::clone(&sample.roster), Arc::clone(&sample.machine), Labels::Full);
        let plain = text(&sample, Labels::Full);
        assert!(plain.len() > 256 * 1024, "several pieces: {}", plain.len());
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut sink = Sink::new(compression, Vec::new()).unwrap();
            encoder::encode(&sample, &layout, &Maxima::default(), Format::Text, &mut sink);
            let (body, length) = sink.finish().unwrap();
            assert_eq!(length, plain.len());
            let mut unpacked = String::new();
            match compression {
                Compression::Gzip => {
                    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut unpacked).unwrap();
                }
                _ => {
                    zstd::Decoder::new(body.as_slice()).unwrap().read_to_string(&mut unpacked).unwrap();
                }
            }
            assert!(unpacked == plain, "{compression:?}");
        }
    }

    // Hostile input.

    fn hostile() -> impl Strategy<Value = String> {
        let evil = "a\nevil_metric{pod=\"victim\"} 1\n# EOF\n";
        let bytes = prop::collection::vec(any::<u8>(), 0..400);
        prop_oneof![
            3 => bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            1 => Just(evil.to_owned()),
            1 => Just("\\\"\\n}\\".to_owned()),
            1 => prop::collection::vec(any::<char>(), 0..300).prop_map(|chars| chars.into_iter().collect()),
        ]
    }

    fn dressed(texts: &[String; 7], labels: BTreeMap<String, String>) -> NodeSample {
        let [path, name, image, namespace, pod, container, device] = texts;
        let mut maker = Maker::new(9);
        let mut workload = pod_container(1, 1);
        // Never `/` alone: that is the root, which has other families.
        workload.identity.path = format!("/p{path}").as_str().into();
        workload.metadata = Some(Arc::new(Metadata {
            name: name.clone(),
            image: image.clone(),
            namespace: Some(namespace.clone()),
            pod: Some(pod.clone()),
            container: Some(container.clone()),
            labels,
            ..Metadata::default()
        }));
        let id = maker.cgroup(workload.clone());
        maker.owned(Table::Device, id, &workload, device);
        maker.owned(Table::Interface, id, &workload, "eth0");
        maker.finish()
    }

    fn values(parsed: &Parsed) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = parsed.series.iter().map(|((name, _), value)| (name.as_str(), value.as_str())).collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_labels_hold_they_add_no_series_and_change_no_value(
            texts in prop::array::uniform7(hostile()),
            labels in prop::collection::btree_map(hostile(), hostile(), 0..70),
        ) {
            let plain = dressed(&["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned), BTreeMap::new());
            let plain = parsed(&plain, Labels::Full);
            let sample = dressed(&texts, labels);
            for format in [Format::Text, Format::OpenMetrics] {
                let text = text_with(&sample, Labels::Full, format, &Maxima::default());
                let shown = parse(&text, format == Format::OpenMetrics).map_err(TestCaseError::fail)?;
                prop_assert_eq!(values(&shown), values(&plain));
                for (_, labels) in shown.series.keys() {
                    prop_assert!(labels.len() <= 64);
                    prop_assert!(labels.iter().all(|(name, value)| name == "id" || value.len() <= 256));
                    let namespace = labels.get("namespace").map_or("", String::as_str);
                    prop_assert!(namespace.is_empty() || texts[3].starts_with(namespace));
                }
            }
        }
    }
}
