//! Label values of any bytes come out of the exposition as they went in, as parsers see it that share nothing with it.
//!
//! In: made-up containers whose names, image, labels and variables are any bytes. Out: both text formats, read by
//! Prometheus' own Python library (Debian's python3-prometheus-client) and by the strict parser of these tests.
//! `RINGSIDE_ROUND_TRIP_SERIES` says how many series are tried; 10,000 without it.

mod strict_parser;
mod synthetic;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use ringside::discover::{CgroupKind, Metadata, Runtime};
use ringside::sample::NodeSample;
use ringside::store::ring;
use ringside::view::prometheus::{Ask, Exposition, Format, Labels, Pick};
use synthetic::{Maker, workload};

#[cfg(test)]
mod facts {
    use super::*;

    /// Series on one page.
    const PER_PAGE: usize = 100;
    const FAMILY: &str = "container_memory_cache";

    type LabelSet = BTreeMap<String, String>;

    /// The Python library behind a pipe.
    struct Library {
        child: Child,
        pages: ChildStdin,
        found: BufReader<ChildStdout>,
    }

    impl Library {
        fn start() -> Self {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/round_trip.py");
            // Debian's own interpreter, because the library is a Debian package.
            let mut command = Command::new("/usr/bin/python3");
            let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (pages, found) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
            Self { child, pages, found }
        }

        /// The label sets that it finds.
        fn read(&mut self, format: &str, page: &str) -> BTreeSet<LabelSet> {
            let Self { pages, found, .. } = self;
            let mut line = String::new();
            // Both ends of a pipe hold 64 KiB: the answer is read while the page is written.
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    writeln!(pages, "{format} {}", page.len()).unwrap();
                    pages.write_all(page.as_bytes()).unwrap();
                    pages.flush().unwrap();
                });
                found.read_line(&mut line).unwrap();
            });
            assert!(
                !line.is_empty(),
                "the reader has ended: is python3-prometheus-client installed (tests/lab/setup.sh)?"
            );
            let samples: Result<Vec<(String, LabelSet, String)>, _> = serde_json::from_str(&line);
            let samples = samples.unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.iter().all(|(name, _, value)| name == FAMILY && value == "42.0"), "{line}");
            let sets: BTreeSet<LabelSet> = samples.iter().map(|(_, labels, _)| labels.clone()).collect();
            assert_eq!(sets.len(), samples.len(), "a series twice");
            sets
        }
    }

    impl Drop for Library {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What one container says of itself: name, image, namespace, pod, container, two labels, a variable, end of its path.
    type Said = [String; 9];

    /// Any bytes, and more often those that mean something to the formats. What is no UTF-8 is replaced where it is read.
    fn value() -> impl Strategy<Value = String> {
        let special = prop::sample::select(&b"\\\"\n{},=# \r\t\0nN+'\x7f"[..]);
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            prop::collection::vec(special, 0..12),
            any::<String>().prop_map(String::into_bytes),
        ];
        bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn said() -> impl Strategy<Value = Said> {
        prop::array::uniform9(value())
    }

    fn cut(value: &str, most: usize) -> String {
        value.char_indices().take_while(|(at, c)| at + c.len_utf8() <= most).map(|(_, c)| c).collect()
    }

    /// The label set that must come out: what is longer than the cap is cut, and what is empty is not there.
    fn expected(number: usize, said: &Said) -> LabelSet {
        let [name, image, namespace, pod, container, app, team, mode, end] = said;
        let id = format!("/{number}/{end}");
        [
            ("id", id.as_str(), 1024),
            ("name", name, 256),
            ("image", image, 256),
            ("namespace", namespace, 256),
            ("pod", pod, 256),
            ("container", container, 256),
            ("container_label_app", app, 256),
            ("container_label_my_team", team, 256),
            ("container_env_MODE", mode, 256),
        ]
        .into_iter()
        .filter(|(_, value, _)| !value.is_empty())
        .map(|(name, value, most)| (name.to_owned(), cut(value, most)))
        .collect()
    }

    fn sample(all: &[Said]) -> NodeSample {
        use ringside::sample::catalogue::{CgroupColumn, Table};
        let mut maker = Maker::new(1);
        for (number, [name, image, namespace, pod, container, app, team, mode, end]) in all.iter().enumerate() {
            let path = format!("/{number}/{end}");
            let mut workload = workload(&path, CgroupKind::Container);
            workload.metadata = Some(Arc::new(Metadata {
                name: name.clone(),
                image: image.clone(),
                namespace: Some(namespace.clone()),
                pod: Some(pod.clone()),
                container: Some(container.clone()),
                labels: [("app".to_owned(), app.clone()), ("my.team".to_owned(), team.clone())].into(),
                environment: [("MODE".to_owned(), mode.clone())].into(),
                runtime: Some(Runtime::Containerd),
                ..Metadata::default()
            }));
            maker.add(Table::Cgroup, &path, |subject, row| {
                subject.workload = Some(Arc::new(workload));
                row.put(CgroupColumn::MemoryStatFile, Some(42));
            });
        }
        maker.finish()
    }

    fn pages(all: &[Said]) -> [(Format, &'static str, String); 2] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut writer, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::new(store, Labels::Full);
        writer.append(Arc::new(sample(all)));
        let pick = Pick::parse(Some(&format!("match[]={FAMILY}"))).unwrap();
        [(Format::Text, "text"), (Format::OpenMetrics, "openmetrics")].map(|(format, word)| {
            let ask = Ask { format, pick: pick.clone(), ..Ask::default() };
            let body = runtime.block_on(exposition.show(&ask, None)).unwrap().body;
            (format, word, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn check(library: &mut Library, all: &[Said]) {
        let expected: BTreeSet<LabelSet> =
            all.iter().enumerate().map(|(number, said)| expected(number, said)).collect();
        for (format, word, page) in pages(all) {
            assert_eq!(library.read(word, &page), expected, "{word}: {page}");
            let parsed = strict_parser::parse(&page, format == Format::OpenMetrics).unwrap();
            let strict: BTreeSet<LabelSet> = parsed.series.into_keys().map(|(_, labels)| labels).collect();
            assert_eq!(strict, expected, "{word}: {page}");
        }
    }

    #[test]
    fn label_values_of_any_bytes_are_read_as_they_were() {
        let series = std::env::var("RINGSIDE_ROUND_TRIP_SERIES").map_or(10_000, |number| number.parse().unwrap());
        let library = RefCell::new(Library::start());
        let cases = u32::try_from(series / PER_PAGE).unwrap().max(1);
        let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 500, ..Default::default() };
        proptest!(config, |(all in prop::collection::vec(said(), PER_PAGE))| {
            check(&mut library.borrow_mut(), &all);
        });
    }

    #[test]
    fn a_value_that_was_changed_on_the_way_is_noticed() {
        let mut library = Library::start();
        let all = [[r"\n"; 9].map(str::to_owned)];
        check(&mut library, &all);
        let [(_, word, page), _] = pages(&all);
        assert_ne!(library.read(word, &page.replace(r"\\n", r"\n")), BTreeSet::from([expected(0, &all[0])]));
    }
}
