"""Makes the Grafana dashboards: one JSON file each, through Grafana's own typed SDK.

In: the tables below. Out: FOLDER/ringside-*.json. A panel is a title, a unit, a sentence and queries; names are those of
cAdvisor and node_exporter wherever they have one, so that most panels also work beside those. `tests/dashboards.rs` runs every
query in a real Prometheus over real containers, and compares the files with what this script makes.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

# What is chosen at the top of a dashboard. `.*` also matches series without the label.
NODE = 'cluster=~"$cluster", instance=~"$instance"'
PODS = NODE + ', namespace=~"$namespace", pod=~"$pod"'
CONTAINERS = PODS + ', container!=""'
R = "[$__rate_interval]"
BY_CONTAINER = ["namespace", "pod", "container"]


@dataclass
class Panel:
    title: str
    unit: str
    description: str
    queries: list  # (expression, legend)
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    # (value, colour) from low to high; the first value is None.
    thresholds: list = field(default_factory=list)
    stacked: bool = False
    most: float | None = None


@dataclass
class Row:
    title: str
    panels: list


@dataclass
class Dashboard:
    uid: str
    title: str
    description: str
    rows: list
    variables: list
    tags: list = field(default_factory=list)


def quantile(share, metric, selector, by):
    """Of a distribution: native where Prometheus has native histograms on, else from classic buckets."""
    group = lambda *more: ", ".join([*more, *by])
    classic = f"histogram_quantile({share}, sum by ({group('le')}) (rate({metric}_bucket{{{selector}}}{R})))"
    native = f"histogram_quantile({share}, sum by ({group()}) (rate({metric}{{{selector}}}{R})))"
    return f"{native} or {classic}"


def colour_scale(thresholds):
    steps = [models.Threshold(value=value, color=colour) for value, colour in thresholds or [(None, "green")]]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def query(expression, legend, index, kind):
    ref = chr(ord("A") + index)
    made = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref).datasource(SOURCE)
    if kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    return made.instant() if kind == "stat" else made.range()


def panel(it: Panel):
    made = {"timeseries": timeseries, "stat": stat, "table": table}[it.kind].Panel()
    made = made.title(it.title).description(it.description).unit(it.unit).datasource(SOURCE)
    made = made.span(it.width).height(it.height).thresholds(colour_scale(it.thresholds))
    for index, (expression, legend) in enumerate(it.queries):
        made = made.with_target(query(expression, legend, index, it.kind))
    if it.most is not None:
        made = made.max(it.most)
    if it.kind == "timeseries":
        made = made.min(0).line_width(1).fill_opacity(30 if it.stacked else 5)
        made = made.show_points(common.VisibilityMode.NEVER)
        if it.stacked:
            made = made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
        if len(it.thresholds) > 1:
            style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
            made = made.thresholds_style(style)
        tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
        made = made.tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    if it.kind == "table":
        drop = {"Time": True, "__name__": True, "job": True}
        organise = models.DataTransformerConfig(id_val="organize", options={"excludeByName": drop})
        made = made.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        made = made.with_transformation(organise)
    return made


def choice(name, label, query_text, description, multi=True):
    made = builders.QueryVariable(name).label(label).query(query_text).datasource(SOURCE).description(description)
    made = made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if multi:
        everything = models.VariableOption(text="All", value="$__all", selected=True)
        made = made.multi(True).include_all(True).all_value(".*").current(everything)
    return made


def text(name, label, default, description):
    option = models.VariableOption(text=default, value=default, selected=True)
    made = builders.TextBoxVariable(name).label(label).default_value(default).description(description)
    return made.current(option).options([option])


DATASOURCE = lambda: builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
CLUSTER = lambda: choice(
    "cluster", "Cluster", "label_values(ringside_build_info, cluster)", "External label `cluster`, if there is one."
)
INSTANCE = lambda: choice(
    "instance",
    "Node",
    'label_values(ringside_build_info{cluster=~"$cluster"}, instance)',
    "The scraped agent: the node's name with the scrape configurations of deploy/.",
)
NAMESPACE = lambda: choice(
    "namespace",
    "Namespace",
    f"label_values(container_memory_working_set_bytes{{{NODE}}}, namespace)",
    "Kubernetes namespace of the pods.",
)
POD = lambda: choice(
    "pod",
    "Pod",
    f'label_values(container_memory_working_set_bytes{{{NODE}, namespace=~"$namespace"}}, pod)',
    "Pods of the namespaces.",
)

OF_NODE = [DATASOURCE, CLUSTER, INSTANCE]
OF_PODS = [DATASOURCE, CLUSTER, INSTANCE, NAMESPACE, POD]

WARN = lambda yellow, red: [(None, "green"), (yellow, "yellow"), (red, "red")]
BAD = [(None, "green"), (1, "red")]

NODE_DASHBOARD = Dashboard(
    "ringside-node",
    "ringside / Node",
    "One node: CPU, memory, disks, filesystems, network and pressure, by node_exporter's names.",
    [
        Row("Now", [
            Panel("CPU in use", "percentunit", "Share of all CPUs that was not idle or waiting for io.",
                  [(f'sum by (instance) (rate(node_cpu_seconds_total{{{NODE}, mode!~"idle|iowait|steal"}}{R})) / count by (instance) (node_cpu_seconds_total{{{NODE}, mode="idle"}})', "{{instance}}")],
                  "stat", 6, 4, WARN(0.8, 0.95)),
            Panel("Memory in use", "percentunit", "Memory that is not available to new processes without swapping.",
                  [(f"1 - node_memory_MemAvailable_bytes{{{NODE}}} / node_memory_MemTotal_bytes{{{NODE}}}", "{{instance}}")],
                  "stat", 6, 4, WARN(0.85, 0.95)),
            Panel("Load per CPU", "short", "Processes that run or wait, over five minutes, per CPU.",
                  [(f'node_load5{{{NODE}}} / on (instance) group_left count by (instance) (node_cpu_seconds_total{{{NODE}, mode="idle"}})', "{{instance}}")],
                  "stat", 6, 4, WARN(1, 2)),
            Panel("Up since", "dateTimeAsIso", "When the node was booted.",
                  [(f"node_boot_time_seconds{{{NODE}}} * 1000", "{{instance}}")], "stat", 6, 4),
        ]),
        Row("CPU and memory", [
            Panel("CPU by mode", "short", "CPUs in use, by what for.",
                  [(f'sum by (instance, mode) (rate(node_cpu_seconds_total{{{NODE}, mode!="idle"}}{R}))', "{{instance}} {{mode}}")], stacked=True),
            Panel("Load", "short", "Processes that run or wait, over 1, 5 and 15 minutes.",
                  [(f"node_load{minutes}{{{NODE}}}", f"{{{{instance}}}} {minutes} min") for minutes in (1, 5, 15)]),
            Panel("Memory", "bytes", "Where memory is.",
                  [(f"node_memory_MemTotal_bytes{{{NODE}}} - node_memory_MemAvailable_bytes{{{NODE}}}", "{{instance}} in use"),
                   (f"node_memory_Cached_bytes{{{NODE}}}", "{{instance}} page cache"),
                   (f"node_memory_SReclaimable_bytes{{{NODE}}}", "{{instance}} slab that can be freed"),
                   (f"node_memory_MemFree_bytes{{{NODE}}}", "{{instance}} free")]),
            Panel("Swap and dirty pages", "bytes", "Swap in use, and pages that wait to be written.",
                  [(f"node_memory_SwapTotal_bytes{{{NODE}}} - node_memory_SwapFree_bytes{{{NODE}}}", "{{instance}} swap"),
                   (f"node_memory_Dirty_bytes{{{NODE}}}", "{{instance}} dirty"),
                   (f"node_memory_Writeback_bytes{{{NODE}}}", "{{instance}} being written")]),
            Panel("Context switches and forks", "ops", "How often CPUs changed hands, and new processes.",
                  [(f"rate(node_context_switches_total{{{NODE}}}{R})", "{{instance}} switches"),
                   (f"rate(node_forks_total{{{NODE}}}{R})", "{{instance}} forks")]),
            Panel("Processes", "short", "Processes that run, and that wait for a disk.",
                  [(f"node_procs_running{{{NODE}}}", "{{instance}} running"), (f"node_procs_blocked{{{NODE}}}", "{{instance}} blocked")]),
        ]),
        Row("Disks and filesystems", [
            Panel("Disk throughput", "binBps", "Bytes read and written.",
                  [(f"rate(node_disk_read_bytes_total{{{NODE}}}{R})", "{{instance}} {{device}} read"),
                   (f"rate(node_disk_written_bytes_total{{{NODE}}}{R})", "{{instance}} {{device}} written")]),
            Panel("Disk busy", "percentunit", "Share of the time in which a disk had at least one request.",
                  [(f"rate(node_disk_io_time_seconds_total{{{NODE}}}{R})", "{{instance}} {{device}}")], thresholds=WARN(0.7, 0.9), most=1),
            Panel("Filesystem space in use", "percentunit", "Space that is not available to users.",
                  [(f"1 - node_filesystem_avail_bytes{{{NODE}}} / node_filesystem_size_bytes{{{NODE}}}", "{{instance}} {{mountpoint}}")],
                  thresholds=WARN(0.85, 0.95), most=1),
            Panel("Inodes in use", "percentunit", "Filesystems without a number of inodes are left out.",
                  [(f"1 - node_filesystem_files_free{{{NODE}}} / (node_filesystem_files{{{NODE}}} > 0)", "{{instance}} {{mountpoint}}")],
                  thresholds=WARN(0.85, 0.95), most=1),
        ]),
        Row("Network", [
            Panel("Received", "binBps", "Bytes received by each interface.",
                  [(f'rate(node_network_receive_bytes_total{{{NODE}, device!="lo"}}{R})', "{{instance}} {{device}}")]),
            Panel("Sent", "binBps", "Bytes sent by each interface.",
                  [(f'rate(node_network_transmit_bytes_total{{{NODE}, device!="lo"}}{R})', "{{instance}} {{device}}")]),
            Panel("Errors and drops", "ops", "Packets that were lost, in both directions.",
                  [(f"sum by (instance, device) (rate(node_network_receive_errs_total{{{NODE}}}{R}) + rate(node_network_transmit_errs_total{{{NODE}}}{R}))", "{{instance}} {{device}} errors"),
                   (f"sum by (instance, device) (rate(node_network_receive_drop_total{{{NODE}}}{R}) + rate(node_network_transmit_drop_total{{{NODE}}}{R}))", "{{instance}} {{device}} drops")]),
            Panel("Pressure", "percentunit", "Share of the time in which some process waited for a resource.",
                  [(f"rate(node_pressure_{what}_waiting_seconds_total{{{NODE}}}{R})", f"{{{{instance}}}} {what}") for what in ("cpu", "memory", "io")], most=1),
        ]),
    ],
    OF_NODE,
)

PODS_DASHBOARD = Dashboard(
    "ringside-pods",
    "ringside / Pods and containers",
    "CPU, memory, network and disks of containers, with what happened between two scrapes.",
    [
        Row("CPU", [
            Panel("CPU use", "short", "CPUs in use.",
                  [(f"sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")]),
            Panel("CPU use of the busiest seconds (p99)", "short",
                  "99 of 100 ticks were below this: a burst of a second shows here, and not in an average over a scrape interval.",
                  [(quantile(0.99, "ringside_container_cpu_usage_cores", CONTAINERS, BY_CONTAINER), "{{namespace}}/{{pod}} {{container}}")]),
            Panel("CPU use against the limit", "percentunit", "Of containers with a CPU limit.",
                  [(f"sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{{{CONTAINERS}}}{R})) / sum by (namespace, pod, container) (container_spec_cpu_quota{{{CONTAINERS}}} / container_spec_cpu_period{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.8, 0.95)),
            Panel("Throttled periods", "percentunit", "Share of the periods in which a container had used up its CPU limit.",
                  [(f"sum by (namespace, pod, container) (rate(container_cpu_cfs_throttled_periods_total{{{CONTAINERS}}}{R})) / sum by (namespace, pod, container) (rate(container_cpu_cfs_periods_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.05, 0.25), most=1),
        ]),
        Row("Memory", [
            Panel("Working set", "bytes", "Memory in use without file pages that are the first to go: what the kubelet evicts by.",
                  [(f"sum by (namespace, pod, container) (container_memory_working_set_bytes{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}}")]),
            Panel("Working set against the limit", "percentunit", "Of containers with a memory limit.",
                  [(f"sum by (namespace, pod, container) (container_memory_working_set_bytes{{{CONTAINERS}}}) / (sum by (namespace, pod, container) (container_spec_memory_limit_bytes{{{CONTAINERS}}}) > 0)", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.8, 0.95)),
            Panel("Time to the limit", "s", "If the working set goes on growing as in the last minute. Absent where it does not grow.",
                  [(f"min by (namespace, pod, container) (ringside_container_memory_time_to_limit_seconds{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=[(None, "red"), (300, "yellow"), (3600, "green")]),
            Panel("Anonymous memory and page cache", "bytes", "What cannot be freed without swap, and what can.",
                  [(f"sum by (namespace, pod) (container_memory_rss{{{CONTAINERS}}})", "{{namespace}}/{{pod}} anonymous"),
                   (f"sum by (namespace, pod) (container_memory_cache{{{CONTAINERS}}})", "{{namespace}}/{{pod}} page cache")]),
        ]),
        Row("Network and disks", [
            Panel("Received", "binBps", "By pod: its containers share one network.",
                  [(f"sum by (namespace, pod) (rate(container_network_receive_bytes_total{{{PODS}}}{R}))", "{{namespace}}/{{pod}}")]),
            Panel("Sent", "binBps", "By pod: its containers share one network.",
                  [(f"sum by (namespace, pod) (rate(container_network_transmit_bytes_total{{{PODS}}}{R}))", "{{namespace}}/{{pod}}")]),
            Panel("Read from disks", "binBps", "Bytes read, of all block devices.",
                  [(f"sum by (namespace, pod, container) (rate(container_fs_reads_bytes_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")]),
            Panel("Written to disks", "binBps", "Bytes written, of all block devices.",
                  [(f"sum by (namespace, pod, container) (rate(container_fs_writes_bytes_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")]),
        ]),
        Row("Life", [
            Panel("Processes and threads", "short", "By container.",
                  [(f"sum by (namespace, pod, container) (container_processes{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}} processes"),
                   (f"sum by (namespace, pod, container) (container_threads{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}} threads")]),
            Panel("Age", "s", "Time since the container was started.",
                  [(f"time() - max by (namespace, pod, container) (container_start_time_seconds{{{CONTAINERS}}})", "{{namespace}}/{{pod}} {{container}}")]),
        ]),
    ],
    OF_PODS,
)

NAMESPACE_DASHBOARD = Dashboard(
    "ringside-namespaces",
    "ringside / Namespaces and workloads",
    "Sums that go on when containers end, by namespace and by the owner of the pods.",
    [
        Row("Namespaces", [
            Panel("CPU use", "short", "CPUs in use.",
                  [(f'sum by (namespace) (rate(ringside_namespace_cpu_usage_seconds_total{{{NODE}, namespace=~"$namespace"}}{R}))', "{{namespace}}")], stacked=True),
            Panel("Working set", "bytes", "Memory in use without file pages that are the first to go.",
                  [(f'sum by (namespace) (ringside_namespace_memory_working_set_bytes{{{NODE}, namespace=~"$namespace"}})', "{{namespace}}")], stacked=True),
            Panel("Containers", "short", "Containers that run.",
                  [(f'sum by (namespace) (ringside_namespace_containers{{{NODE}, namespace=~"$namespace"}})', "{{namespace}}")], stacked=True),
            Panel("Restarts and OOM kills of the last hour", "short", "Since the agent started, if that is less.",
                  [(f'sum by (namespace) (increase(ringside_namespace_restarts_total{{{NODE}, namespace=~"$namespace"}}[1h]))', "{{namespace}} restarts"),
                   (f'sum by (namespace) (increase(ringside_namespace_oom_kills_total{{{NODE}, namespace=~"$namespace"}}[1h]))', "{{namespace}} OOM kills")]),
            Panel("Network", "binBps", "Bytes received and sent by pods with a network of their own.",
                  [(f'sum by (namespace) (rate(ringside_namespace_network_receive_bytes_total{{{NODE}, namespace=~"$namespace"}}{R}))', "{{namespace}} received"),
                   (f'sum by (namespace) (rate(ringside_namespace_network_transmit_bytes_total{{{NODE}, namespace=~"$namespace"}}{R}))', "{{namespace}} sent")]),
            Panel("CPU requested by weight", "short", "CPU shares of the containers, 1024 to a CPU: what the scheduler reserved.",
                  [(f'sum by (namespace) (container_spec_cpu_shares{{{NODE}, namespace=~"$namespace", container!=""}}) / 1024', "{{namespace}}")]),
        ]),
        Row("Workloads", [
            Panel("CPU use by workload", "short", "By the owner of the pods, where the API server tells it.",
                  [(f'sum by (namespace, owner_kind, owner_name) (rate(ringside_workload_cpu_usage_seconds_total{{{NODE}, namespace=~"$namespace"}}{R}))', "{{namespace}}/{{owner_name}}")]),
            Panel("Working set by workload", "bytes", "By the owner of the pods, where the API server tells it.",
                  [(f'sum by (namespace, owner_kind, owner_name) (ringside_workload_memory_working_set_bytes{{{NODE}, namespace=~"$namespace"}})', "{{namespace}}/{{owner_name}}")]),
        ]),
    ],
    [DATASOURCE, CLUSTER, INSTANCE, NAMESPACE],
)

PRESSURE_DASHBOARD = Dashboard(
    "ringside-pressure",
    "ringside / Pressure and throttling",
    "Who waits for what: pressure stall information and CPU quotas.",
    [
        Row("Nodes", [
            Panel("Pressure of the node", "percentunit", "Share of the time in which some process waited.",
                  [(f"rate(node_pressure_{what}_waiting_seconds_total{{{NODE}}}{R})", f"{{{{instance}}}} {what}") for what in ("cpu", "memory", "io")],
                  thresholds=WARN(0.3, 0.6), most=1),
            Panel("Stalls of the node", "percentunit", "Share of the time in which all processes that wanted to run waited.",
                  [(f"rate(node_pressure_{what}_stalled_seconds_total{{{NODE}}}{R})", f"{{{{instance}}}} {what}") for what in ("memory", "io")],
                  thresholds=WARN(0.1, 0.3), most=1),
        ]),
        Row("Containers", [
            Panel(f"Waiting for {what}", "percentunit", f"Share of the time in which some process of the container waited for {what}.",
                  [(f"sum by (namespace, pod, container) (rate(container_pressure_{name}_waiting_seconds_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.3, 0.6), width=8)
            for name, what in (("cpu", "a CPU"), ("memory", "memory"), ("io", "io"))
        ]),
        Row("CPU quotas", [
            Panel("Throttled periods", "percentunit", "Share of the periods in which a container had used up its CPU limit.",
                  [(f"sum by (namespace, pod, container) (rate(container_cpu_cfs_throttled_periods_total{{{CONTAINERS}}}{R})) / sum by (namespace, pod, container) (rate(container_cpu_cfs_periods_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.05, 0.25), most=1),
            Panel("Throttled seconds per second", "short", "Time for which processes stood still, summed over CPUs.",
                  [(f"sum by (namespace, pod, container) (rate(container_cpu_cfs_throttled_seconds_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")]),
            Panel("Throttled share of the worst seconds (p99)", "percentunit", "99 of 100 ticks were below this.",
                  [(quantile(0.99, "ringside_container_cpu_throttled_ratio", CONTAINERS, BY_CONTAINER), "{{namespace}}/{{pod}} {{container}}")], most=1),
            Panel("Most throttled containers now", "percentunit", "Over five minutes.",
                  [(f"topk(20, sum by (namespace, pod, container) (rate(container_cpu_cfs_throttled_periods_total{{{CONTAINERS}}}[5m])) / sum by (namespace, pod, container) (rate(container_cpu_cfs_periods_total{{{CONTAINERS}}}[5m])))", "")], "table"),
        ]),
    ],
    OF_PODS,
)

OOM_DASHBOARD = Dashboard(
    "ringside-oom",
    "ringside / OOM kills and restarts",
    "Who was killed for want of memory, who was started again, and who is next.",
    [
        Row("Counts", [
            Panel("OOM kills of the last hour", "short", "Processes that the kernel killed, by container. Counts outlive the container.",
                  [(f"sum by (namespace, pod, container) (increase(ringside_container_oom_kills_total{{{CONTAINERS}}}[1h]))", "{{namespace}}/{{pod}} {{container}}")], thresholds=BAD),
            Panel("Restarts of the last hour", "short", "New instances that followed an ended one.",
                  [(f"sum by (namespace, pod, container) (increase(ringside_container_restarts_total{{{CONTAINERS}}}[1h]))", "{{namespace}}/{{pod}} {{container}}")], thresholds=BAD),
            Panel("Exits by code and reason", "short", "Ends of containers since the agent started, as their runtime tells them.",
                  [(f"sum by (namespace, pod, container, exit_code, reason) (ringside_container_exits_total{{{CONTAINERS}}})", "")], "table"),
            Panel("OOM kills and restarts since the agent started", "short", "By container.",
                  [(f"sum by (namespace, pod, container) (ringside_container_oom_kills_total{{{CONTAINERS}}})", "OOM kills"),
                   (f"sum by (namespace, pod, container) (ringside_container_restarts_total{{{CONTAINERS}}})", "restarts")], "table"),
        ]),
        Row("Who is next", [
            Panel("Working set against the limit", "percentunit", "Of containers with a memory limit.",
                  [(f"topk(20, sum by (namespace, pod, container) (container_memory_working_set_bytes{{{CONTAINERS}}}) / (sum by (namespace, pod, container) (container_spec_memory_limit_bytes{{{CONTAINERS}}}) > 0))", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=WARN(0.8, 0.95)),
            Panel("Time to the limit", "s", "If the working set goes on growing as in the last minute. Absent where it does not grow.",
                  [(f"bottomk(20, min by (namespace, pod, container) (ringside_container_memory_time_to_limit_seconds{{{CONTAINERS}}}))", "{{namespace}}/{{pod}} {{container}}")],
                  thresholds=[(None, "red"), (300, "yellow"), (3600, "green")]),
            Panel("Largest memory since the start", "percentunit", "The kernel's own mark, against the limit.",
                  [(f"sum by (namespace, pod, container) (container_memory_max_usage_bytes{{{CONTAINERS}}}) / (sum by (namespace, pod, container) (container_spec_memory_limit_bytes{{{CONTAINERS}}}) > 0)", "{{namespace}}/{{pod}} {{container}}")]),
            Panel("Waiting for memory", "percentunit", "Share of the time in which some process waited for memory: reclaim comes before a kill.",
                  [(f"sum by (namespace, pod, container) (rate(container_pressure_memory_waiting_seconds_total{{{CONTAINERS}}}{R}))", "{{namespace}}/{{pod}} {{container}}")], thresholds=WARN(0.1, 0.3)),
        ]),
    ],
    OF_PODS,
)

CANARY_PICK = f'{NODE}, namespace=~"$namespace", container!=""'


def side_of(side):
    return f'{CANARY_PICK}, $label="${side}"'


def canary(expression):
    """The same for both values of the label, averaged over their containers."""
    return [(expression % side_of(side), f"${side}") for side in ("baseline", "canary")]


CANARY_DASHBOARD = Dashboard(
    "ringside-canary",
    "ringside / Canary",
    "Two versions side by side: containers with one value of a label against containers with another, per container.",
    [
        Row("Per container", [
            Panel("CPU use", "short", "CPUs in use by one container on average.",
                  canary("avg(sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{%s}" + R + ")))")),
            Panel("CPU use of the busiest seconds (p99)", "short", "99 of 100 ticks of all containers of a side were below this.",
                  [(quantile(0.99, "ringside_container_cpu_usage_cores", side_of(side), []), f"${side}") for side in ("baseline", "canary")]),
            Panel("Working set", "bytes", "Of one container on average.", canary("avg(container_memory_working_set_bytes{%s})")),
            Panel("Largest memory", "bytes", "Of one container on average, since it was started.", canary("avg(container_memory_max_usage_bytes{%s})")),
            Panel("Waiting for a CPU", "percentunit", "Share of the time, on average.",
                  canary("avg(rate(container_pressure_cpu_waiting_seconds_total{%s}" + R + "))")),
            Panel("Threads", "short", "Of one container on average.", canary("avg(container_threads{%s})")),
        ]),
        Row("Together", [
            Panel("Containers", "short", "How many of each side.", canary("count(container_memory_working_set_bytes{%s})")),
            Panel("CPU use, canary over baseline", "percentunit", "1 is as much as the baseline.",
                  [(f'avg(rate(container_cpu_usage_seconds_total{{{CANARY_PICK}, $label="$canary"}}{R})) / avg(rate(container_cpu_usage_seconds_total{{{CANARY_PICK}, $label="$baseline"}}{R}))', "canary / baseline")],
                  thresholds=WARN(1.1, 1.5)),
        ]),
    ],
    [DATASOURCE, CLUSTER, INSTANCE, NAMESPACE,
     lambda: text("label", "Label", "container_label_track", "The label that tells the two apart, as it is called in the metrics."),
     lambda: text("baseline", "Baseline", "stable", "The label's value on the old version."),
     lambda: text("canary", "Canary", "canary", "The label's value on the new version.")],
)

AGENT_DASHBOARD = Dashboard(
    "ringside-agent",
    "ringside / The agent's own cost",
    "What reading costs, and what was lost.",
    [
        Row("Cost", [
            Panel("CPU of the agent", "short", "CPUs in use by the whole process, and by the thread that reads.",
                  [(f'rate(process_cpu_seconds_total{{{NODE}, job=~".*ringside.*"}}{R})', "{{instance}} process"),
                   (f"rate(ringside_agent_sampler_cpu_seconds_total{{{NODE}}}{R})", "{{instance}} reading")]),
            Panel("Memory of the agent", "bytes", "Resident memory.",
                  [(f'process_resident_memory_bytes{{{NODE}, job=~".*ringside.*"}}', "{{instance}}")]),
            Panel("Time to read the node (p99)", "s", "99 of 100 ticks took less.",
                  [(f"histogram_quantile(0.99, sum by (le, instance) (rate(ringside_agent_tick_duration_seconds_bucket{{{NODE}}}{R})))", "{{instance}}")], thresholds=WARN(0.1, 0.5)),
            Panel("Time to make one exposition", "s", "On average; one is made per tick and format, however many scrape.",
                  [(f"rate(ringside_agent_encoding_seconds_total{{{NODE}}}{R}) / (rate(ringside_agent_encodings_total{{{NODE}}}{R}) > 0)", "{{instance}}")]),
        ]),
        Row("Losses", [
            Panel("Missed ticks", "short", "Ticks that were due and not begun, of the last hour.",
                  [(f"increase(ringside_agent_missed_ticks_total{{{NODE}}}[1h])", "{{instance}}")], thresholds=BAD),
            Panel("Read errors", "ops", "By kernel file and class; `gone` and `unsupported` are normal.",
                  [(f"sum by (instance, file, class) (rate(ringside_agent_read_errors_total{{{NODE}}}{R}))", "{{instance}} {{file}} {{class}}")]),
            Panel("Cgroups left out", "short", "More than --max-cgroups, too deep, or with names that are too long.",
                  [(f"ringside_agent_cgroups_shed{{{NODE}}}", "{{instance}}")], thresholds=BAD),
            Panel("Age of the newest tick", "s", "At the time of the scrape.",
                  [(f"timestamp(ringside_agent_tick_timestamp_seconds{{{NODE}}}) - ringside_agent_tick_timestamp_seconds{{{NODE}}}", "{{instance}}")], thresholds=WARN(5, 30)),
        ]),
        Row("History", [
            Panel("Ring in use", "percentunit", "Of --ring-bytes.",
                  [(f"ringside_agent_store_used_bytes{{{NODE}}} / ringside_agent_store_budget_bytes{{{NODE}}}", "{{instance}}")], most=1),
            Panel("History", "s", "How far back the node can be asked.",
                  [(f"time() - ringside_agent_store_oldest_timestamp_seconds{{{NODE}}}", "{{instance}}")]),
            Panel("Scrapes and answers", "ops", "Requests by status.",
                  [(f"sum by (instance, code) (rate(ringside_agent_http_responses_total{{{NODE}}}{R}))", "{{instance}} {{code}}")]),
            Panel("Cgroups read", "short", "At each tick.", [(f"ringside_agent_cgroups{{{NODE}}}", "{{instance}}")]),
        ]),
        Row("Push to the aggregator", [
            Panel("Behind", "s", "Age of the newest tick that the aggregator has.",
                  [(f"ringside_agent_push_lag_seconds{{{NODE}}}", "{{instance}}")], thresholds=WARN(60, 300)),
            Panel("Pushes", "ops", "By result.",
                  [(f"sum by (instance, result) (rate(ringside_agent_pushes_total{{{NODE}}}{R}))", "{{instance}} {{result}}")]),
        ]),
    ],
    OF_NODE,
)

CLUSTER_ONLY = 'cluster=~"$cluster"'
CLUSTER_DASHBOARD = Dashboard(
    "ringside-cluster",
    "ringside / Cluster",
    "All nodes together: how much there is, how much is in use, and by whom.",
    [
        Row("Now", [
            Panel("Nodes", "short", "Agents that were scraped.", [(f"count(ringside_build_info{{{CLUSTER_ONLY}}})", "nodes")], "stat", 4, 4),
            Panel("Agents that cannot be scraped", "short", "Targets of the agents' job that are down.",
                  [('sum(1 - up{job=~".*ringside.*"})', "down")], "stat", 4, 4, BAD),
            Panel("CPU in use", "percentunit", "Of all CPUs of all nodes.",
                  [(f'sum(rate(node_cpu_seconds_total{{{CLUSTER_ONLY}, mode!~"idle|iowait|steal"}}{R})) / sum(machine_cpu_cores{{{CLUSTER_ONLY}}})', "in use")], "stat", 4, 4, WARN(0.8, 0.95)),
            Panel("Memory in use", "percentunit", "Of the memory of all nodes.",
                  [(f"1 - sum(node_memory_MemAvailable_bytes{{{CLUSTER_ONLY}}}) / sum(node_memory_MemTotal_bytes{{{CLUSTER_ONLY}}})", "in use")], "stat", 4, 4, WARN(0.85, 0.95)),
            Panel("Containers", "short", "With a name of a pod.",
                  [(f'count(container_memory_working_set_bytes{{{CLUSTER_ONLY}, container!=""}})', "containers")], "stat", 4, 4),
            Panel("OOM kills of the last hour", "short", "In containers.",
                  [(f"sum(increase(ringside_container_oom_kills_total{{{CLUSTER_ONLY}}}[1h]))", "kills")], "stat", 4, 4, BAD),
        ]),
        Row("Nodes", [
            Panel("CPU in use by node", "percentunit", "Share of the CPUs of each node.",
                  [(f'sum by (instance) (rate(node_cpu_seconds_total{{{CLUSTER_ONLY}, mode!~"idle|iowait|steal"}}{R})) / sum by (instance) (machine_cpu_cores{{{CLUSTER_ONLY}}})', "{{instance}}")], most=1),
            Panel("Memory in use by node", "percentunit", "Share of the memory of each node.",
                  [(f"1 - node_memory_MemAvailable_bytes{{{CLUSTER_ONLY}}} / node_memory_MemTotal_bytes{{{CLUSTER_ONLY}}}", "{{instance}}")], most=1),
        ]),
        Row("Namespaces", [
            Panel("CPU by namespace", "short", "CPUs in use.",
                  [(f'sum by (namespace) (rate(container_cpu_usage_seconds_total{{{CLUSTER_ONLY}, container!=""}}{R}))', "{{namespace}}")], stacked=True),
            Panel("Working set by namespace", "bytes", "Memory in use without file pages that are the first to go.",
                  [(f'sum by (namespace) (container_memory_working_set_bytes{{{CLUSTER_ONLY}, container!=""}})', "{{namespace}}")], stacked=True),
        ]),
        Row("Aggregator", [
            Panel("Pushes taken and refused", "ops", "By result.",
                  [(f"sum by (route, result) (rate(ringside_aggregator_pushes_total{{{CLUSTER_ONLY}}}{R}))", "{{route}} {{result}}")]),
            Panel("Nodes that the aggregator knows", "short", "With a push of the last minutes.",
                  [(f"max(ringside_aggregator_fresh_nodes{{{CLUSTER_ONLY}}})", "fresh"), (f"max(ringside_aggregator_stale_nodes{{{CLUSTER_ONLY}}})", "too old")]),
        ]),
    ],
    [DATASOURCE, CLUSTER],
)

ALL = [NODE_DASHBOARD, PODS_DASHBOARD, NAMESPACE_DASHBOARD, PRESSURE_DASHBOARD, OOM_DASHBOARD, CANARY_DASHBOARD, AGENT_DASHBOARD, CLUSTER_DASHBOARD]


def build(it: Dashboard):
    made = builders.Dashboard(it.title).uid(it.uid).description(it.description).tags(["ringside"]).refresh("30s")
    made = made.time("now-1h", "now").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
    for variable in it.variables:
        made = made.with_variable(variable())
    for row in it.rows:
        made = made.with_row(builders.Row(row.title))
        for one in row.panels:
            made = made.with_panel(panel(one))
    return made.build()


def main(folder: Path):
    for it in ALL:
        document = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(build(it)))
        for index, one in enumerate(document["panels"]):
            # Numbered here, so that a link to a panel goes on leading to it when Grafana loads the file anew.
            one["id"] = index + 1
            if one.get("options") is None:
                one["options"] = {}
        path = folder / f"{it.uid}.json"
        path.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
