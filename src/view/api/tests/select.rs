//! Many subjects at once, by selector.

use super::*;

fn list(query: &str) -> HistoryList {
    get(&format!("/api/v1/history?{query}"))
}

/// Each series' name with the numbers of its points.
fn named(query: &str) -> Vec<(String, Vec<Option<f64>>)> {
    let series = list(query).series.into_iter();
    let numbers = |one: &HistorySeries| one.points.iter().map(|(_, v)| v.and_then(HistoryValue::number)).collect();
    series.map(|one| (one.labels.get("name").cloned().unwrap_or_default(), numbers(&one))).collect()
}

#[test]
fn a_selector_gives_one_series_for_each_subject_that_fits_with_its_labels() {
    let rates = named("select=cpu_usage_usec{namespace%3D%22shop%22,kind%3D%22container%22}&fn=rate&step=1s");
    let rate = |per_second: f64| vec![None, Some(per_second)];
    assert_eq!(rates, [("log".to_owned(), rate(12_000.0)), ("web".to_owned(), rate(500_000.0))]);
    let all = list("select=cpu_usage_usec{name=\"web\"}");
    let labels = &all.series[0].labels;
    let is = |label: &str, value: &str| assert_eq!(labels.get(label).map(String::as_str), Some(value), "{label}");
    is("pod", "web-7d9");
    is("container_id", WEB_ID);
    is("qos", "Burstable");
    is("runtime", "containerd");
    is("id", &format!("{POD_PATH}/cri-containerd-{WEB_ID}.scope"));
    assert_eq!((all.matched, all.unit.as_str(), all.step_seconds), (1, "microseconds", None));
    assert_eq!(all.tiers[0].resolution, "tick");
    assert_eq!(all.oldest.as_deref(), Some("2026-03-01T12:00:00.000Z"));
}

#[test]
fn parts_are_selected_by_their_own_label_and_their_owners() {
    let rates = named("select=device.io_w_bytes{device=\"sda\",name=~\"db|web\"}&fn=increase&step=1s");
    assert_eq!(rates.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    assert_eq!(rates[0].1[1], Some(2.0 * MIB as f64));
    let node = list("select=interface.rx_bytes{kind=\"node\",interface=\"eth0\"}");
    assert_eq!(node.series.len(), 1);
    assert_eq!(list("select=filesystem.filesystem_free_bytes").series[0].labels["mountpoint"], "/");
    assert_eq!(list("select=cpu_user_ticks").metric, "cpu_user_ticks");
}

#[test]
fn series_are_added_up_by_label_and_the_largest_are_taken() {
    let sums = list("select=cpu_usage_usec{kind=\"container\"}&fn=rate&step=1s&by=namespace");
    let of = |one: &HistorySeries| (one.labels.clone(), one.subjects.len(), one.points.last().unwrap().1);
    let number = |value: f64| Some(HistoryValue::Number(value));
    let shop = BTreeMap::from([("namespace".to_owned(), "shop".to_owned())]);
    let sums: Vec<_> = sums.series.iter().map(of).collect();
    assert_eq!(sums, [(BTreeMap::new(), 1, number(1_250_000.0)), (shop, 2, number(512_000.0))]);
    let top = named("select=cpu_usage_usec{kind=\"container\"}&fn=rate&step=1s&top=2");
    assert_eq!(top.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["db", "web"]);
}

#[test]
fn a_sum_that_counts_something_twice_says_so() {
    let nested = list("select=cpu_usage_usec{namespace=\"shop\"}&step=1s&agg=sum");
    assert!(nested.notes[0].contains("counted twice"), "{:?}", nested.notes);
    let apart = list("select=cpu_usage_usec{kind=\"container\"}&step=1s&agg=sum");
    assert_eq!(apart.notes, [""; 0]);
}

#[test]
fn a_sum_of_limits_of_which_one_is_not_set_is_unlimited_and_the_smallest_is_the_one_that_is_set() {
    let of = |agg: &str| {
        let query = format!("select=memory_max_bytes{{namespace=\"shop\",kind=\"container\"}}&step=1s&agg={agg}");
        list(&query).series[0].points[0].1
    };
    assert_eq!(of("sum"), Some(HistoryValue::Word(HistoryWord::Unlimited)));
    assert_eq!(of("max"), Some(HistoryValue::Word(HistoryWord::Unlimited)));
    assert_eq!(of("min"), Some(HistoryValue::Number(256.0 * MIB as f64)));
}

#[test]
fn a_selector_that_fits_nothing_is_told_what_there_is() {
    for (matchers, words) in [
        ("{namespace=\"shp\"}", ["'shop'", "There is: shop"]),
        ("{namespce=\"shop\"}", ["nothing has a label", "'namespace'"]),
        ("{namespace=\"shop\",name=\"db\"}", ["nothing fits all", "leave one out"]),
    ] {
        let answer = list(&format!("select=cpu_usage_usec{matchers}"));
        assert_eq!((answer.matched, answer.series.len()), (0, 0));
        assert!(words.iter().all(|word| answer.notes[0].contains(word)), "{matchers}: {:?}", answer.notes);
    }
    let early = list("select=cpu_usage_usec{name=\"web\"}&start=0&end=1");
    assert!(early.matched == 1 && early.notes[0].contains("nothing of them was read"), "{:?}", early.notes);
}

#[test]
fn what_cannot_be_answered_says_how_to_ask_instead() {
    for (query, status, hint) in [
        ("", 400, "select="),
        ("select={}", 400, "which metric"),
        ("select=cpu_usage_usec{pod=web}", 400, "byte 19 ('web}')"),
        ("select=cpu_usage_used", 404, "'cpu_usage_usec'"),
        ("select=device.io_x_bytes", 404, "'device.io_"),
        ("select=cpu_usage_usec&agg=sum", 400, "give a step"),
        ("select=cpu_usage_usec&step=1s&agg=median", 400, "sum, avg, min or max"),
        ("select=cpu_usage_usec&top=0", 400, "top=5"),
        ("select=memory_current_bytes&fn=rate", 400, "only a counter"),
        ("select=cpu_usage_usec&start=-1d&step=1s", 422, "larger step"),
        ("select=cpu_usage_usec&limit=5", 400, "no parameter 'limit'"),
    ] {
        let problem = problem(&format!("/api/v1/history?{query}"));
        assert!(
            problem.status == status && problem.detail.contains(hint),
            "{query}: {} {}",
            problem.status,
            problem.detail
        );
    }
}

#[test]
fn every_metric_of_the_catalogue_can_be_selected_by_the_name_it_is_shown_with() {
    let metrics: MetricList = get("/api/v1/metrics");
    for metric in metrics.metrics {
        // A node's metric that a cgroup also has needs the table's word.
        let answer = list(&format!("select={}", metric.metric));
        assert_eq!(answer.unit, metric.unit, "{}", metric.metric);
        assert_eq!(answer.metric, metric.metric);
    }
}
