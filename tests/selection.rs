//! What of a page is shown: sets, filters, and the shapes of the kubelet and of cAdvisor, on made-up samples.

mod strict_parser;
mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringside::discover::{CgroupKind, Metadata, Runtime, Workload};
use ringside::sample::NodeSample;
use ringside::sample::sets::{Set, Sets};
use ringside::store::ring;
use ringside::view::prometheus::families::compat;
use ringside::view::prometheus::{Ask, Exposition, LabelKeys, Labels, Pick, Shape};
use strict_parser::{Parsed, parse};
use synthetic::{Maker, workload};

#[cfg(test)]
mod facts {
    use super::*;
    use ringside::sample::catalogue::Table;

    /// The page of a sample.
    fn page(sample: NodeSample, shape: Shape, sets: Sets, query: &str) -> String {
        let (mut writer, store) = ring(1 << 20).unwrap();
        let labels = shape.labels;
        let exposition = Exposition::with_sets(store, shape, sets);
        writer.append(Arc::new(sample));
        let pick = Pick::parse(Some(query)).unwrap();
        let ask = Ask { labels, pick, ..Ask::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let shown = runtime.block_on(exposition.show(&ask, None)).unwrap();
        String::from_utf8(shown.body.to_vec()).unwrap()
    }

    fn parsed(sample: NodeSample, shape: impl Into<Shape>, sets: Sets, query: &str) -> Parsed {
        let text = page(sample, shape.into(), sets, query);
        // An empty page has no last line.
        if text.is_empty() { Parsed::default() } else { parse(&text, false).unwrap() }
    }

    fn names(page: &Parsed) -> BTreeSet<&str> {
        page.series.keys().map(|(name, _)| name.as_str()).collect()
    }

    fn described(path: &str, kind: CgroupKind, metadata: Metadata) -> Workload {
        let mut workload = workload(path, kind);
        workload.metadata = Some(Arc::new(metadata));
        workload
    }

    fn metadata(container: Option<&str>) -> Metadata {
        Metadata {
            name: container.unwrap_or("sandbox").repeat(3),
            image: "shop/web:1".into(),
            namespace: Some("shop".into()),
            pod: Some("web-0".into()),
            pod_uid: Some("u-1".into()),
            container: container.map(str::to_owned),
            sandbox: container.is_none(),
            labels: [("app.kubernetes.io/name", "web"), ("team", "a")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            environment: [("APP_MODE".to_owned(), "blue".to_owned())].into(),
            runtime: Some(Runtime::Containerd),
            restart_count: Some(2),
            ..Metadata::default()
        }
    }

    /// A node with a pod of one container, a kubelet and another service.
    fn node() -> NodeSample {
        let mut maker = Maker::new(3);
        maker.node(0, 0);
        let pods = "/kubepods.slice";
        maker.cgroup(workload("/system.slice/kubelet.service", CgroupKind::Service));
        maker.cgroup(workload("/system.slice/ssh.service", CgroupKind::Service));
        maker.cgroup(described(&format!("{pods}/pod1"), CgroupKind::Pod, metadata(None)));
        maker.cgroup(described(&format!("{pods}/pod1/s"), CgroupKind::Sandbox, metadata(None)));
        let web = described(&format!("{pods}/pod1/c"), CgroupKind::Container, metadata(Some("web")));
        let id = maker.cgroup(web.clone());
        maker.owned(Table::Device, id, &web, "sda");
        maker.owned(Table::Interface, id, &web, "eth0");
        maker.finish()
    }

    fn labels_of<'a>(page: &'a Parsed, name: &str, id: &str) -> &'a BTreeMap<String, String> {
        let mut found = page.series.keys().filter(|(known, labels)| known == name && labels["id"] == id);
        let (_, labels) = found.next().unwrap_or_else(|| panic!("no {name} of {id}"));
        assert!(found.next().is_none());
        labels
    }

    fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_kubelets_page_has_its_six_labels_and_only_its_cgroups() {
        let page = parsed(node(), Labels::Kubelet, Sets::default(), "");
        let ids: BTreeSet<&str> =
            page.series.keys().filter_map(|(_, labels)| labels.get("id")).map(String::as_str).collect();
        let pods = ["/kubepods.slice/pod1", "/kubepods.slice/pod1/c", "/kubepods.slice/pod1/s"];
        assert!(ids.is_superset(&pods.into()) && ids.contains("/") && ids.contains("/system.slice/kubelet.service"));
        assert!(!ids.contains("/system.slice/ssh.service"));

        let usage = |id: &str| labels_of(&page, "container_memory_cache", id).clone();
        let (pod, sandbox, container) = (pods[0], pods[2], pods[1]);
        assert_eq!(usage(pod), set(&[("id", pod), ("pod", "web-0"), ("namespace", "shop")]));
        let named =
            [("name", "sandboxsandboxsandbox"), ("image", "shop/web:1"), ("pod", "web-0"), ("namespace", "shop")];
        assert_eq!(usage(sandbox), set(&[&[("id", sandbox)], &named[..]].concat()));
        assert_eq!(usage(container)["container"], "web");
        assert_eq!(usage(container).len(), 6);
        assert_eq!(labels_of(&page, "container_network_receive_bytes_total", container)["interface"], "eth0");
        for (name, labels) in page.series.keys() {
            assert_eq!(compat::cadvisor(name), Some(true), "{name}");
            assert!(!labels.keys().any(|label| label.starts_with("container_label_")), "{name}");
        }
    }

    #[test]
    fn the_kubelets_page_does_not_depend_on_what_is_on() {
        let none = Sets::parse("none", Sets::default()).unwrap();
        assert_eq!(
            names(&parsed(node(), Labels::Kubelet, none, "")),
            names(&parsed(node(), Labels::Kubelet, Sets::all(), ""))
        );
    }

    #[test]
    fn cadvisors_page_has_its_labels_its_constants_and_nothing_else() {
        let page = parsed(node(), Labels::Cadvisor, Sets::cadvisor(), "");
        assert!(names(&page).iter().all(|name| compat::cadvisor(name).is_some()), "{:?}", names(&page));
        let (pod, container) = ("/kubepods.slice/pod1", "/kubepods.slice/pod1/c");
        assert_eq!(*labels_of(&page, "container_memory_cache", pod), set(&[("id", pod)]));
        let shown = set(&[
            ("id", container),
            ("name", "webwebweb"),
            ("image", "shop/web:1"),
            ("container_label_app_kubernetes_io_name", "web"),
            ("container_label_team", "a"),
            ("container_env_APP_MODE", "blue"),
        ]);
        assert_eq!(*labels_of(&page, "container_memory_cache", container), shown);
        let value = |name: &str, more: &[(&str, &str)]| {
            let mut labels = shown.clone();
            labels.extend(set(more));
            page.series.get(&(name.to_owned(), labels)).cloned()
        };
        for state in ["sleeping", "running", "stopped", "uninterruptible", "iowaiting"] {
            assert_eq!(value("container_tasks_state", &[("state", state)]).as_deref(), Some("0"));
        }
        assert_eq!(value("container_cpu_load_average_10s", &[]).as_deref(), Some("0"));
        assert_eq!(value("container_cpu_load_d_average_10s", &[]).as_deref(), Some("0"));
        assert_eq!(value("container_health_state", &[]).as_deref(), Some("-1.0"));
        for name in ["container_scrape_error", "machine_scrape_error"] {
            assert_eq!(page.series[&(name.to_owned(), BTreeMap::new())], "0");
        }
        let (_, version) = page.series.keys().find(|(name, _)| name == "cadvisor_version_info").unwrap();
        assert!(version["cadvisorVersion"].starts_with("ringside-") && version.contains_key("kernelVersion"));
        assert!(!names(&page).contains("container_processes"), "off in cAdvisor unless it is named");
        assert!(!names(&page).contains("container_hugetlb_usage_bytes"));
    }

    #[test]
    fn what_the_kernel_does_not_count_is_zero_on_cadvisors_page_and_absent_on_ours() {
        let sample = || {
            let mut maker = Maker::new(1);
            maker.add(Table::Cgroup, "/x", |_, _| ());
            maker.finish()
        };
        let ours = parsed(sample(), Labels::Full, Sets::all(), "");
        let theirs = parsed(sample(), Labels::Cadvisor, Sets::all(), "");
        for name in ["container_memory_failcnt", "container_memory_kernel_usage"] {
            let key = (name.to_owned(), set(&[("id", "/x")]));
            assert_eq!((ours.series.get(&key), theirs.series[&key].as_str()), (None, "0"), "{name}");
        }
    }

    #[test]
    fn cri_o_and_docker_are_named_as_cadvisor_names_them() {
        let of = |runtime: Runtime| {
            let mut maker = Maker::new(1);
            let metadata = Metadata { runtime: Some(runtime), ..metadata(Some("web")) };
            maker.cgroup(described("/x", CgroupKind::Container, metadata));
            let page = parsed(maker.finish(), Labels::Cadvisor, Sets::cadvisor(), "");
            labels_of(&page, "container_memory_cache", "/x").clone()
        };
        let (docker, crio) = (of(Runtime::Docker), of(Runtime::CriO));
        assert_eq!(crio["name"], "k8s_web_web-0_shop_u-1_2");
        assert_eq!((docker["name"].as_str(), docker["container_env_app_mode"].as_str()), ("webwebweb", "blue"));
        assert_eq!(docker["container_label_restartcount"], "2");
        assert!(!of(Runtime::Containerd).contains_key("container_label_restartcount"));
    }

    #[test]
    fn only_labels_that_are_let_through_are_shown() {
        let shown = |keys: LabelKeys| {
            let shape = Shape { keys: Arc::new(keys), ..Labels::Full.into() };
            let page = parsed(node(), shape, Sets::default(), "");
            let labels = labels_of(&page, "container_memory_cache", "/kubepods.slice/pod1/c");
            labels
                .keys()
                .filter_map(|name| name.strip_prefix("container_label_"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(LabelKeys::All), ["app_kubernetes_io_name", "team"]);
        assert_eq!(shown(LabelKeys::Only(vec!["app.kubernetes.io/*".into()])), ["app_kubernetes_io_name"]);
        assert_eq!(shown(LabelKeys::Off), [""; 0]);
    }

    #[test]
    fn a_set_that_is_off_is_not_on_the_page_and_the_agents_own_is_one() {
        let sets = Sets::parse("default,-cpu,-agent,-process", Sets::default()).unwrap();
        let page = parsed(synthetic::node(4, 1), Labels::Full, sets, "");
        for name in names(&page) {
            assert!(!name.starts_with("ringside_agent_") && !name.starts_with("container_cpu_"), "{name}");
        }
        assert!(names(&page).contains("container_memory_rss") && !names(&page).contains("container_processes"));
        let all = parsed(synthetic::node(4, 1), Labels::Full, Sets::default(), "");
        assert!(names(&all).contains("ringside_agent_cgroups"));
    }

    #[test]
    fn collect_names_the_sets_and_match_the_series_and_both_must_hold() {
        let shown = |query: &str| parsed(node(), Labels::Full, Sets::default(), query);
        let cpu = shown("collect[]=cpu");
        assert!(names(&cpu).contains("container_cpu_usage_seconds_total"));
        assert!(!names(&cpu).iter().any(|name| name.contains("memory") || name.contains("ringside_agent")), "{cpu:?}");
        let one = shown("match[]={__name__%3D~%22container_cpu_.*%22,container%3D%22web%22}");
        assert!(one.series.len() > 2 && one.series.keys().all(|(_, labels)| labels["container"] == "web"));
        let both = shown("collect[]=memory&match[]={container%3D%22web%22}");
        assert!(names(&both).contains("container_memory_rss"));
        assert!(both.series.keys().all(|(name, labels)| name.contains("memory") && labels["container"] == "web"));
        let two = shown("match[]=container_memory_rss{id%3D%22/%22}&match[]=ringside_agent_cgroups");
        let found: Vec<&str> = two.series.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, ["container_memory_rss", "ringside_agent_cgroups"]);
    }

    #[test]
    fn a_filter_that_fits_nothing_is_an_empty_page() {
        for query in ["match[]=nothing", "collect[]=tcp", "collect[]=cpu&match[]=container_memory_rss"] {
            assert_eq!(page(node(), Labels::Full.into(), Sets::default(), query), "", "{query}");
        }
    }

    #[test]
    fn a_filtered_page_is_the_whole_page_without_the_rest() {
        let strip = |parsed: Parsed| -> BTreeMap<_, _> {
            // What the page tells of itself and of the clock changes from page to page.
            let own = |name: &str| name.starts_with("ringside_agent_") || name.starts_with("process_");
            parsed.series.into_iter().filter(|((name, _), _)| !own(name)).collect()
        };
        for labels in [Labels::Full, Labels::Slim, Labels::Kubelet, Labels::Cadvisor] {
            let all = strip(parsed(synthetic::node(6, 2), labels, Sets::all(), ""));
            let every = "match[]={__name__!%3D%22%22}";
            assert_eq!(strip(parsed(synthetic::node(6, 2), labels, Sets::all(), every)), all);
            let mut by_set = BTreeMap::new();
            for name in Set::names() {
                by_set.extend(strip(parsed(synthetic::node(6, 2), labels, Sets::all(), &format!("collect[]={name}"))));
            }
            assert_eq!(by_set, all);
        }
    }

    #[test]
    fn equal_filters_of_a_tick_share_a_body_and_other_ones_do_not() {
        let (mut writer, store) = ring(1 << 20).unwrap();
        let exposition = Exposition::new(store, Labels::Full);
        writer.append(Arc::new(node()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = |query: &str| {
            let ask = Ask { pick: Pick::parse(Some(query)).unwrap(), ..Ask::default() };
            let _shown = runtime.block_on(exposition.show(&ask, None)).unwrap();
            exposition.counts().encodings.load(std::sync::atomic::Ordering::Relaxed)
        };
        assert_eq!([made("collect[]=cpu"), made("collect=cpu"), made("collect[]=memory"), made("")], [1, 1, 2, 3]);
    }
}
