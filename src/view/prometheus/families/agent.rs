//! The agent's own families over history. On `/metrics` they are written by [`agent`](super::super::agent), under the same
//! names and with the same numbers, from the newest sample.

use super::super::family::{Family, Series, Value, counter, gauge};
use super::super::layout::Rows;
use super::super::set::Set;
use crate::sample::catalogue::AgentColumn as A;

const fn agent(column: A) -> Series {
    Series::new(Rows::Agent, Value::Column(column as usize))
}

/// What the ring holds of the agent.
pub const FAMILIES: &[Family] = &[
    counter(
        "ringside_agent_tick_duration_seconds_bucket",
        "How long a tick's reading took.",
        &[
            agent(A::TickDurationLe500us).with("le=\"0.0005\""),
            agent(A::TickDurationLe1ms).with("le=\"0.001\""),
            agent(A::TickDurationLe2ms).with("le=\"0.002\""),
            agent(A::TickDurationLe5ms).with("le=\"0.005\""),
            agent(A::TickDurationLe10ms).with("le=\"0.01\""),
            agent(A::TickDurationLe20ms).with("le=\"0.02\""),
            agent(A::TickDurationLe50ms).with("le=\"0.05\""),
            agent(A::TickDurationLe100ms).with("le=\"0.1\""),
            agent(A::TickDurationLe500ms).with("le=\"0.5\""),
            agent(A::TickDurationLe1s).with("le=\"1.0\""),
            agent(A::TickDurationLeInf).with("le=\"+Inf\""),
        ],
    )
    .of(Set::Agent),
    counter(
        "ringside_agent_tick_duration_seconds_sum",
        "Time that all ticks' reading took.",
        &[agent(A::TickDurationSumNanos)],
    )
    .of(Set::Agent),
    counter(
        "ringside_agent_tick_duration_seconds_count",
        "Ticks whose reading was timed.",
        &[agent(A::TickDurationLeInf)],
    )
    .of(Set::Agent),
    counter("ringside_agent_ticks_total", "Ticks since the agent started.", &[agent(A::Ticks)]).of(Set::Agent),
    counter("ringside_agent_missed_ticks_total", "Ticks that were due and not begun.", &[agent(A::MissedTicks)])
        .of(Set::Agent),
    gauge("ringside_agent_tick_delay_seconds", "How late the newest tick began.", &[agent(A::TickDelayNanos)])
        .of(Set::Agent),
    gauge(
        "ringside_agent_tick_skew_seconds",
        "Time between the newest tick's first and last reading.",
        &[agent(A::TickDurationNanos)],
    )
    .of(Set::Agent),
    counter(
        "ringside_agent_sampler_cpu_seconds_total",
        "CPU time of the sampling thread.",
        &[agent(A::SamplerCpuNanos)],
    )
    .of(Set::Agent),
    gauge("ringside_agent_kept_files", "Descriptors kept open for the tick.", &[agent(A::KeptFiles)]).of(Set::Agent),
    gauge("ringside_agent_kept_files_limit", "Most descriptors that may be kept.", &[agent(A::KeptFilesLimit)])
        .of(Set::Agent),
    gauge("ringside_agent_cgroups", "Cgroups read in the newest tick.", &[agent(A::Cgroups)]).of(Set::Agent),
    gauge(
        "ringside_agent_cgroups_shed",
        "Cgroups left out: too many, too deep or too long a name.",
        &[agent(A::CgroupsShed)],
    )
    .of(Set::Agent),
    counter("ringside_agent_discoveries_total", "Discovery events handled.", &[agent(A::Discoveries)]).of(Set::Agent),
];
