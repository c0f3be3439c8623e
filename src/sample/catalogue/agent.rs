//! Table of the agent itself: what its reading costs, so that history can tell how the agent was when a value was read.
//!
//! In: [`SelfStats`](crate::sample::SelfStats). The buckets of the tick durations are cumulative: each counts all ticks that
//! took no longer.

use super::table;

table! {
    /// Columns of the agent's row.
    AgentColumn, AGENT_METRICS;
    TickDurationLe500us = "tick_duration_le_500us", Count, Counter, "the agent: ticks that took at most 500 µs", "";
    TickDurationLe1ms = "tick_duration_le_1ms", Count, Counter, "the agent: ticks that took at most 1 ms", "";
    TickDurationLe2ms = "tick_duration_le_2ms", Count, Counter, "the agent: ticks that took at most 2 ms", "";
    TickDurationLe5ms = "tick_duration_le_5ms", Count, Counter, "the agent: ticks that took at most 5 ms", "";
    TickDurationLe10ms = "tick_duration_le_10ms", Count, Counter, "the agent: ticks that took at most 10 ms", "";
    TickDurationLe20ms = "tick_duration_le_20ms", Count, Counter, "the agent: ticks that took at most 20 ms", "";
    TickDurationLe50ms = "tick_duration_le_50ms", Count, Counter, "the agent: ticks that took at most 50 ms", "";
    TickDurationLe100ms = "tick_duration_le_100ms", Count, Counter, "the agent: ticks that took at most 100 ms", "";
    TickDurationLe500ms = "tick_duration_le_500ms", Count, Counter, "the agent: ticks that took at most 500 ms", "";
    TickDurationLe1s = "tick_duration_le_1s", Count, Counter, "the agent: ticks that took at most 1 s", "";
    TickDurationLeInf = "tick_duration_le_inf", Count, Counter, "the agent: ticks whose duration was taken", "";
    TickDurationSumNanos = "tick_duration_sum_nanos", Nanos, Counter, "the agent: sum of all ticks' durations", "";
    TickDurationNanos = "tick_duration_nanos", Nanos, Gauge, "the agent: duration of the tick", "";
    TickDelayNanos = "tick_delay_nanos", Nanos, Gauge, "the agent: how late the tick began", "";
    Ticks = "ticks", Count, Counter, "the agent: ticks since it started", "";
    MissedTicks = "missed_ticks", Count, Counter, "the agent: ticks that were due and not begun", "";
    SamplerCpuNanos = "sampler_cpu_nanos", Nanos, Counter, "the agent: CPU time of the sampling thread", "";
    KeptFiles = "kept_files", Count, Gauge, "the agent: descriptors kept open for the tick", "";
    KeptFilesLimit = "kept_files_limit", Count, Gauge, "the agent: most descriptors that may be kept", "";
    Cgroups = "cgroups", Count, Gauge, "the agent: cgroups read", "";
    CgroupsShed = "cgroups_shed", Count, Gauge, "the agent: cgroups left out", "";
    Discoveries = "discoveries", Count, Counter, "the agent: discovery events handled", "";
}

/// The columns of the durations' buckets, in the order of [`TICK_BUCKETS_USEC`](crate::sample::TICK_BUCKETS_USEC), the
/// open one last.
pub const TICK_BUCKET_COLUMNS: [AgentColumn; 11] = [
    AgentColumn::TickDurationLe500us,
    AgentColumn::TickDurationLe1ms,
    AgentColumn::TickDurationLe2ms,
    AgentColumn::TickDurationLe5ms,
    AgentColumn::TickDurationLe10ms,
    AgentColumn::TickDurationLe20ms,
    AgentColumn::TickDurationLe50ms,
    AgentColumn::TickDurationLe100ms,
    AgentColumn::TickDurationLe500ms,
    AgentColumn::TickDurationLe1s,
    AgentColumn::TickDurationLeInf,
];
