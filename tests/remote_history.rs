//! History under the names of `/metrics`, on made-up samples: the same series, the same numbers, and every limit.

mod remote_client;
#[cfg(test)]
mod shown;
mod strict_parser;
mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use remote_client::{EQUAL, MATCHES, MATCHES_NOT, NOT_EQUAL, STALE, Series, query, request, streamed, whole};
use ringside::sample::catalogue::{CgroupColumn as C, FilesystemColumn, Table};
use ringside::sample::{NodeSample, SelfStats, SubjectId};
use ringside::store::{Store, StoreStats, ring};
use ringside::units::{MonotonicNanos, UnixNanos};
use ringside::view::api::Now;
use ringside::view::prometheus::agent::{self, AgentView, ProcessUsage};
use ringside::view::prometheus::maxima::Maxima;
use ringside::view::prometheus::{Format, Labels};
use ringside::view::remote::messages::{Query, ReadRequest};
use ringside::view::remote::{Limits, Remote, RemoteError, export, read, select};
use strict_parser::parse;
use synthetic::{Maker, WALL_SECONDS, node, pod_container};

#[cfg(test)]
mod facts {
    use super::*;
    use crate::shown::text_with;

    const EVER: (i64, i64) = (0, i64::MAX);

    fn store_of(samples: impl IntoIterator<Item = NodeSample>) -> Store {
        let (mut writer, store) = ring(16 << 20).unwrap();
        for sample in samples {
            writer.append(Arc::new(sample));
        }
        store
    }

    fn remote(store: &Store) -> Remote {
        Remote::new(store.clone(), Labels::Full)
    }

    fn ask(remote: &Remote, body: &[u8]) -> Result<Vec<u8>, RemoteError> {
        let mut answer = Vec::new();
        let deadline = Instant::now() + remote.limits.time;
        read(body, &remote.limits)?.write(remote, deadline, &mut |piece: Bytes| {
            answer.extend_from_slice(&piece);
            Ok(())
        })?;
        Ok(answer)
    }

    /// All series of one query, by a stream; the answer in one piece says the same.
    fn series(remote: &Remote, query: Query) -> Vec<Series> {
        let frames = streamed(&ask(remote, &request(vec![query.clone()], &[1])).unwrap());
        let found: Vec<Series> = frames.into_iter().map(|(_, series)| series).collect();
        let in_one_piece = whole(&ask(remote, &request(vec![query], &[])).unwrap());
        assert_eq!(in_one_piece.len(), 1);
        let bits = |series: &[Series]| -> Vec<_> { series.iter().map(Series::bits).collect() };
        assert_eq!(bits(&in_one_piece[0]), bits(&found));
        found
    }

    fn named(remote: &Remote, name: &str) -> Vec<Series> {
        series(remote, query(EVER.0, EVER.1, &[(EQUAL, "__name__", name)]))
    }

    fn exported(remote: &Remote, request: &str) -> Result<String, RemoteError> {
        let now = Now { wall: UnixNanos((WALL_SECONDS + 60) * 1_000_000_000), monotonic: MonotonicNanos(0) };
        let mut text = Vec::new();
        let deadline = Instant::now() + remote.limits.time;
        export(Some(request), now, &remote.limits)?.write(remote, deadline, &mut |piece: Bytes| {
            text.extend_from_slice(&piece);
            Ok(())
        })?;
        Ok(String::from_utf8(text).unwrap())
    }

    /// Milliseconds of a tick's wall clock.
    fn at(tick: u64) -> i64 {
        i64::try_from((WALL_SECONDS + tick) * 1000).unwrap()
    }

    #[test]
    fn the_newest_tick_has_the_series_and_numbers_of_the_metrics_page() {
        let sample = node(6, 7);
        let store = store_of([sample.clone()]);
        for labels in [Labels::Full, Labels::Slim] {
            let page = parse(&text_with(&sample, labels, Format::Text, &Maxima::default()), false).unwrap();
            let answered: BTreeSet<&str> = select::answered().map(|family| family.name).collect();
            let mut expected: BTreeMap<(String, BTreeMap<String, String>), f64> = BTreeMap::new();
            for (key, value) in page.series.into_iter().filter(|((name, _), _)| answered.contains(name.as_str())) {
                expected.insert(key, value.parse().unwrap());
            }
            let remote = Remote { labels, ..remote(&store) };
            let mut found = BTreeMap::new();
            for mut one in series(&remote, query(EVER.0, EVER.1, &[(MATCHES, "__name__", ".+")])) {
                let name = one.labels.remove("__name__").unwrap();
                assert_eq!(one.samples.len(), 1, "{name}");
                assert_eq!(one.samples[0].0, at(7));
                found.insert((name, one.labels), one.samples[0].1);
            }
            assert!(expected.len() > 1000, "a page worth comparing: {} samples", expected.len());
            for (series, value) in &expected {
                assert_eq!(found.get(series).map(|value| value.to_bits()), Some(value.to_bits()), "{series:?}");
            }
            assert_eq!(found.len(), expected.len(), "nothing but what the page shows");
        }
    }

    #[test]
    fn the_agents_own_families_have_the_names_and_numbers_of_the_metrics_page() {
        let stats = SelfStats {
            missed_ticks: 3,
            tick_duration_nanos: 4_000_000,
            tick_delay_nanos: 123_457,
            tick_histogram: [1, 0, 2, 5, 0, 0, 0, 0, 0, 3, 4],
            tick_duration_sum_nanos: 12_345_678_901,
            thread_cpu_nanos: 9_876_543_210,
            kept_files: 77,
            kept_files_limit: 4096,
            cgroups: 12,
            cgroups_shed: 1,
            discoveries: 99,
            ..SelfStats::default()
        };
        let mut maker = Maker::new(15);
        maker.add(Table::Agent, "agent", |_, row| stats.put_into(row, 15));
        maker.sample.self_stats = stats;
        let sample = Arc::new(maker.finish());
        let view = AgentView {
            sample: Arc::clone(&sample),
            store: StoreStats::default(),
            counts: Arc::default(),
            process: ProcessUsage::default(),
            scrapers: 0,
            untracked_scrapes: 0,
            push: None,
        };
        let page = String::from_utf8(agent::encode(view, Format::Text).unwrap()).unwrap();
        let shown: BTreeMap<&str, f64> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(head, value)| (head, value.parse().unwrap()))
            .collect();
        let remote = remote(&store_of([(*sample).clone()]));
        let found = series(&remote, query(EVER.0, EVER.1, &[(MATCHES, "__name__", "ringside_agent_.*")]));
        assert_eq!(found.len(), 11 + 12);
        for one in found {
            let name = one.label("__name__");
            let head = match one.label("le") {
                "" => name.to_owned(),
                le => format!("{name}{{le=\"{le}\"}}"),
            };
            assert_eq!(Some(&one.samples[0].1), shown.get(head.as_str()), "{head} in {page}");
        }
    }

    #[test]
    fn the_documentation_lists_the_families_that_are_answered() {
        let answered: Vec<String> = select::answered().map(|family| format!("`{}`", family.name)).collect();
        let page = include_str!("../src/view/remote/families.md");
        let (_, list) = page.split_once("Answered are:\n").unwrap();
        let listed: Vec<&str> = list.split_whitespace().filter(|word| word.starts_with('`')).collect();
        assert_eq!(listed, answered, "the right list:\n{}", answered.join(" "));
    }

    #[test]
    fn all_four_comparisons_narrow_what_fits() {
        let remote = remote(&store_of([node(4, 1)]));
        let name = (EQUAL, "__name__", "container_memory_rss");
        let ids = |more: &[(i32, &str, &str)]| -> Vec<String> {
            let matchers: Vec<_> = [name].into_iter().chain(more.iter().copied()).collect();
            let found = series(&remote, query(EVER.0, EVER.1, &matchers));
            found.iter().map(|series| series.label("id").to_owned()).collect()
        };
        let all = ids(&[]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(ids(&[(EQUAL, "id", "/")]), ["/"]);
        assert_eq!(ids(&[(NOT_EQUAL, "id", "/")]).len(), all.len() - 1);
        let of_pods = ids(&[(NOT_EQUAL, "pod", "")]);
        assert!(!of_pods.is_empty() && of_pods.iter().all(|id| id.contains("pod")), "{of_pods:?}");
        assert_eq!(ids(&[(MATCHES, "id", "/system.slice/unit-1[0-9]?.service")]).len(), 11);
        assert_eq!(ids(&[(MATCHES_NOT, "id", "/system.slice/.*")]).len(), all.len() - 40);
        assert_eq!(ids(&[(MATCHES, "id", "unit-1")]), Vec::<String>::new(), "anchored at both ends");
    }

    #[test]
    fn only_samples_of_the_range_are_answered_both_ends_included() {
        let remote = remote(&store_of((1..=10).map(|tick| node(2, tick))));
        let root = [(EQUAL, "__name__", "container_cpu_usage_seconds_total"), (EQUAL, "id", "/")];
        let found = series(&remote, query(at(3), at(5), &root));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].samples.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [at(3), at(4), at(5)]);
        assert_eq!(series(&remote, query(at(3) + 1, at(4) - 1, &root)), []);
        assert_eq!(series(&remote, query(at(5), at(3), &root)), [], "a range that ends before it begins");
        assert_eq!(series(&remote, query(i64::MIN, -1, &root)), []);
        assert_eq!(series(&remote, query(i64::MIN, i64::MAX, &root))[0].samples.len(), 10);
    }

    /// One cgroup with this identity, CPU time and wall clock.
    fn moment(tick: u64, wall_ms: i64, instances: &[(u64, u64)]) -> NodeSample {
        let mut maker = Maker::new(tick);
        for (id, usec) in instances {
            let workload = pod_container(1, 1);
            maker.add(Table::Cgroup, &Arc::clone(&workload.identity.path), |subject, row| {
                subject.id = SubjectId(*id);
                subject.workload = Some(Arc::new(workload));
                row.put(C::CpuUsageUsec, Some(*usec));
            });
        }
        let mut sample = maker.finish();
        sample.wall = UnixNanos(u64::try_from(wall_ms).unwrap() * 1_000_000);
        Arc::make_mut(&mut sample.roster).generation = tick;
        sample
    }

    #[test]
    fn the_instances_of_a_restarted_container_are_one_series() {
        let remote = remote(&store_of([
            moment(1, 1000, &[(1, 1_000_000)]),
            moment(2, 2000, &[(1, 2_000_000)]),
            // Its last row, and its successor's first: the successor is shown.
            moment(3, 3000, &[(1, 2_500_000), (2, 100_000)]),
            moment(4, 4000, &[(2, 200_000)]),
        ]));
        let found = named(&remote, "container_cpu_usage_seconds_total");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].samples, [(1000, 1.0), (2000, 2.0), (3000, 0.1), (4000, 0.2)]);
        assert_eq!(found[0].label("container"), "server");
    }

    #[test]
    fn a_clock_that_was_set_back_leaves_ascending_timestamps_and_the_later_reading() {
        let remote = remote(&store_of([
            moment(1, 10_000, &[(1, 1_000_000)]),
            moment(2, 11_000, &[(1, 2_000_000)]),
            moment(3, 12_000, &[(1, 3_000_000)]),
            moment(4, 11_000, &[(1, 4_000_000)]),
            moment(5, 11_500, &[(1, 5_000_000)]),
        ]));
        let found = named(&remote, "container_cpu_usage_seconds_total");
        assert_eq!(found[0].samples, [(10_000, 1.0), (11_000, 4.0), (11_500, 5.0), (12_000, 3.0)]);
    }

    #[test]
    fn two_ticks_of_one_millisecond_leave_the_later_one() {
        let remote = remote(&store_of([moment(1, 1000, &[(1, 1_000_000)]), moment(2, 1000, &[(1, 2_000_000)])]));
        assert_eq!(named(&remote, "container_cpu_usage_seconds_total")[0].samples, [(1000, 2.0)]);
    }

    #[test]
    fn a_container_that_has_ended_is_answered_and_its_series_gets_an_end_mark() {
        let remote = remote(&store_of([
            moment(1, 1000, &[(1, 1_000_000)]),
            moment(2, 2000, &[(1, 2_000_000)]),
            moment(3, 3000, &[]),
            moment(4, 4000, &[]),
        ]));
        let found = named(&remote, "container_cpu_usage_seconds_total");
        assert_eq!(found[0].values(), [(1000, 1.0), (2000, 2.0)]);
        assert_eq!(found[0].samples.last().map(|(time, value)| (*time, value.to_bits())), Some((3000, STALE)));
        let name = [(EQUAL, "__name__", "container_cpu_usage_seconds_total")];
        assert_eq!(series(&remote, query(0, 2999, &name))[0].samples.len(), 2, "the end lies behind the range");
        assert_eq!(series(&remote, query(2500, 9000, &name)), [], "a mark alone is no answer");
        let text = exported(&remote, "match[]=container_cpu_usage_seconds_total&start=0").unwrap();
        assert!(!text.contains("NaN") && text.contains(" 2.0 2.000\n"), "{text}");
    }

    #[test]
    fn of_a_device_that_is_mounted_twice_the_first_mount_is_shown() {
        let mut maker = Maker::new(1);
        for (mount, free) in [("/", 10), ("/again", 20)] {
            maker.add(Table::Filesystem, mount, |subject, row| {
                subject.filesystem = Some(("/dev/sda1".into(), "ext4".into()));
                row.put(FilesystemColumn::Size, Some(100));
                row.put(FilesystemColumn::Free, Some(free));
            });
        }
        let sample = maker.finish();
        let page = text_with(&sample, Labels::Full, Format::Text, &Maxima::default());
        assert!(page.contains("container_fs_usage_bytes{id=\"/\",device=\"/dev/sda1\"} 90\n"), "{page}");
        let found = named(&remote(&store_of([sample])), "container_fs_usage_bytes");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].samples, [(at(1), 90.0)]);
    }

    #[test]
    fn each_query_of_a_request_is_answered_under_its_number() {
        let remote = remote(&store_of((1..=3).map(|tick| node(2, tick))));
        let queries = vec![
            query(EVER.0, EVER.1, &[(EQUAL, "__name__", "node_forks_total")]),
            query(EVER.0, EVER.1, &[(EQUAL, "__name__", "no_such_family")]),
            query(EVER.0, EVER.1, &[(EQUAL, "__name__", "node_load1")]),
        ];
        let frames = streamed(&ask(&remote, &request(queries.clone(), &[1, 0])).unwrap());
        let names: Vec<_> = frames.iter().map(|(index, series)| (*index, series.label("__name__"))).collect();
        assert_eq!(names, [(0, "node_forks_total"), (2, "node_load1")]);
        let results = whole(&ask(&remote, &request(queries, &[0, 1])).unwrap());
        assert_eq!(results.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn more_samples_than_a_chunk_takes_come_in_several_chunks() {
        let remote = remote(&store_of((1..=301).map(|tick| moment(tick, at(tick), &[(1, tick * 7919)]))));
        let found = named(&remote, "container_cpu_usage_seconds_total");
        assert_eq!(found[0].samples.len(), 301);
        assert_eq!(found[0].samples[300], (at(301), 301.0 * 7919.0 / 1e6));
    }

    #[test]
    fn an_export_has_each_family_once_with_its_samples_in_order() {
        let remote = remote(&store_of((1..=3).map(|tick| node(4, tick))));
        let selectors = "match[]=container_memory_rss&match[]=%7B__name__%3D~%22container_cpu.*%7Cnode_load1%22%7D";
        let text = exported(&remote, &format!("{selectors}&start={WALL_SECONDS}&format=openmetrics")).unwrap();
        assert!(text.ends_with("\n# EOF\n"));
        assert!(
            text.contains("# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n")
        );
        let mut families = BTreeSet::new();
        let mut last: BTreeMap<String, f64> = BTreeMap::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family), "{family} twice");
            } else if !line.starts_with('#') {
                let mut words = line.rsplitn(3, ' ');
                let time: f64 = words.next().unwrap().parse().unwrap();
                let (_value, head) = (words.next().unwrap(), words.next().unwrap());
                assert!(head.starts_with(family), "{head} stands under {family}");
                let before = last.insert(head.to_owned(), time);
                assert!(before.is_none_or(|before| before < time), "{line} after {before:?}");
            }
        }
        assert!(families.contains("container_memory_rss") && families.contains("node_load1"), "{families:?}");
        // The same samples as by remote read.
        let of_read: usize = named(&remote, "container_memory_rss").iter().map(|series| series.samples.len()).sum();
        assert_eq!(text.lines().filter(|line| line.starts_with("container_memory_rss{")).count(), of_read);
        assert!(of_read >= 9, "{of_read}");
    }

    #[test]
    fn an_export_of_nothing_is_an_empty_page() {
        let remote = remote(&store_of([node(2, 1)]));
        assert_eq!(exported(&remote, "match[]=no_such_family&start=0").unwrap(), "# EOF\n");
    }

    fn refused(remote: &Remote, queries: Vec<Query>, accepted: &[i32]) -> RemoteError {
        ask(remote, &request(queries, accepted)).unwrap_err()
    }

    #[test]
    fn a_snappy_bomb_is_refused_by_what_it_declares() {
        let remote = remote(&store_of([node(2, 1)]));
        // 4 GiB - 1 as a varint, and a few bytes that would begin to fill it.
        let mut bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
        bomb.resize(47, 0);
        let error = ask(&remote, &bomb).unwrap_err();
        assert_eq!(error, RemoteError::TooLong { bytes: 0xffff_ffff, most: 128 * 1024 });
        assert_eq!(error.status(), 413);
        let shorter = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
        assert_eq!(ask(&remote, &shorter).unwrap_err().status(), 413);
    }

    #[test]
    fn every_limit_of_a_request_has_its_words_and_its_status() {
        let full = remote(&store_of((1..=3).map(|tick| node(4, tick))));
        let everything = || query(EVER.0, EVER.1, &[(MATCHES, "__name__", ".+")]);
        let with = |limits: Limits| Remote { limits, ..full.clone() };
        let default = Limits::default();
        let cases = [
            (with(Limits { queries: 1, ..default }), vec![everything(), everything()], "at most 1 are taken"),
            (with(Limits { matchers: 0, ..default }), vec![everything()], "too many matchers in a query"),
            (with(Limits { regexes: 0, ..default }), vec![everything()], "too many regular expressions"),
            (with(Limits { series: 10, ..default }), vec![everything()], "more than 10 series fit"),
            (with(Limits { samples: 10, ..default }), vec![everything()], "more than 10 samples"),
        ];
        for (remote, queries, words) in cases {
            let error = refused(&remote, queries, &[1]);
            assert_eq!(error.status(), 422, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let whole = refused(&with(Limits { answer_bytes: 1000, ..default }), vec![everything()], &[]);
        assert_eq!(whole.status(), 422);
        assert!(whole.to_string().ends_with("or accept STREAMED_XOR_CHUNKS"), "{whole}");
        let bad = refused(&full, vec![query(0, 1, &[(MATCHES, "id", "(")])], &[]);
        assert_eq!(bad.status(), 400);
        assert!(bad.to_string().contains("unclosed group"), "{bad}");
        assert_eq!(refused(&full, vec![query(0, 1, &[(9, "id", "x")])], &[]).status(), 400);
        assert_eq!(refused(&full, vec![everything()], &[7]).status(), 400);
        assert_eq!(ask(&full, b"").unwrap_err().status(), 400);
        assert_eq!(
            ask(&full, &snap::raw::Encoder::new().compress_vec(&[0xff; 40]).unwrap()).unwrap_err().status(),
            400
        );
        let (_writer, empty) = ring(1 << 20).unwrap();
        assert_eq!(refused(&remote(&empty), vec![everything()], &[]), RemoteError::NothingYet);
    }

    #[test]
    fn an_answer_that_takes_too_long_is_given_up() {
        let remote = remote(&store_of([node(2, 1)]));
        let body = request(vec![query(EVER.0, EVER.1, &[(EQUAL, "id", "/")])], &[1]);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let error = read(&body, &remote.limits).unwrap().write(&remote, long_ago, &mut |_| Ok(())).unwrap_err();
        assert_eq!((error.status(), &error), (503, &RemoteError::Late(remote.limits.time)));
    }

    #[test]
    fn a_parameter_of_an_export_that_cannot_be_understood_is_named() {
        let remote = remote(&store_of([node(2, 1)]));
        let error = |request: &str| {
            let error = exported(&remote, request).unwrap_err();
            assert_eq!(error.status(), 400, "{error}");
            error.to_string()
        };
        assert!(error("").starts_with("match[] is missing"));
        assert!(error("match[]=up%7B").starts_with("match[]=up{: the selector is wrong at byte 3: a label's name"));
        assert!(error("match=up").contains("did you mean 'match[]'?"));
        assert!(error("match[]=up&start=yesterday").starts_with("start=yesterday is no instant"));
        assert!(error("match[]=up&start=now&end=-1m").starts_with("start is after end"));
        assert!(error("match[]=up&format=csv").contains("format=openmetrics"));
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = read(&body, &Limits::default());
            let _ = read(&snap::raw::Encoder::new().compress_vec(&body).unwrap(), &Limits::default());
        }

        #[test]
        fn a_request_that_was_damaged_does_not_either(at in 0usize..60, byte in proptest::num::u8::ANY) {
            let request = ReadRequest {
                queries: vec![query(1, 2, &[(EQUAL, "__name__", "up"), (MATCHES, "id", "a.*")])],
                accepted_response_types: vec![1],
            };
            let mut message = request.encode_to_vec();
            let at = at % message.len();
            message[at] = byte;
            let _ = read(&snap::raw::Encoder::new().compress_vec(&message).unwrap(), &Limits::default());
        }
    }
}
