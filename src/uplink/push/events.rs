//! OOM kills as Kubernetes Events on the pods they happened in.
//!
//! In: the ring's ticks. Out: one Event of `v1` per [`Kill`], as every API server since 1.20 takes it. Its name is made of the
//! container and its count, so that a second try, or another run of the agent, writes the same one and not another. At most
//! one a second; beyond a bound the oldest waiting one goes. It changes nothing of the pod or the node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};

use super::oom::{Kill, OomWatch};
use super::target::TIMEOUT;
use crate::sample::push_stats::{EventResult, PushStats};
use crate::store::Store;
use crate::units::UnixNanos;

/// Kills that may wait for the API server.
const MOST_WAITING: usize = 256;

/// At most one event in this time.
const APART: Duration = Duration::from_secs(1);

/// The longest wait for another try.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The event's reason. The kubelet's own are others.
pub const REASON: &str = "ContainerOOMKilled";

/// Most bytes of an event's message that every API server takes.
const MOST_MESSAGE_BYTES: usize = 1023;

/// The event for a kill.
#[must_use]
pub fn event(kill: &Kill, node: &str) -> Event {
    let time = time(kill.at);
    Event {
        metadata: ObjectMeta {
            name: Some(name(kill)),
            namespace: Some(kill.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(kill.namespace.clone()),
            name: Some(kill.pod.clone()),
            uid: Some(kill.pod_uid.clone()),
            field_path: Some(format!("spec.containers{{{}}}", kill.container)),
            ..ObjectReference::default()
        },
        reason: Some(REASON.into()),
        message: Some(clip(&kill.message, MOST_MESSAGE_BYTES).to_owned()),
        type_: Some("Warning".into()),
        count: Some(1),
        first_timestamp: time.clone(),
        last_timestamp: time,
        source: Some(EventSource { component: Some("ringside-agent".into()), host: Some(node.to_owned()) }),
        ..Event::default()
    }
}

/// The pod's name, and what no other kill has.
fn name(kill: &Kill) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let counted = kill.count.to_le_bytes();
    let hash = kill.container_id.as_bytes().iter().chain(&counted).fold(0xcbf2_9ce4_8422_2325, mix);
    // A name has 253 bytes at most, and no part of it ends in a dash.
    format!("{}.{hash:016x}", clip(&kill.pod, 230).trim_end_matches(['-', '.']))
}

fn clip(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn time(at: UnixNanos) -> Option<Time> {
    let seconds = i64::try_from(at.0 / 1_000_000_000).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Written {
    Yes,
    /// The API server does not want it, now or later: its namespace is gone, or it is not as it should be.
    Never(String),
    NotYet(String),
    Forbidden(String),
}

async fn write(client: &kube::Client, kill: &Kill, node: &str) -> Written {
    let api: Api<Event> = Api::namespaced(client.clone(), &kill.namespace);
    let parameters = PostParams::default();
    let event = event(kill, node);
    match tokio::time::timeout(TIMEOUT, api.create(&parameters, &event)).await {
        Err(_) => Written::NotYet(format!("no answer in {} s", TIMEOUT.as_secs())),
        Ok(Ok(_)) => Written::Yes,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            409 => Written::Yes,
            401 | 403 => Written::Forbidden(status.message.clone()),
            400 | 404 | 413 | 422 => Written::Never(status.message.clone()),
            _ => Written::NotYet(status.message.clone()),
        },
        Ok(Err(error)) => Written::NotYet(error.to_string()),
    }
}

/// Tells of kills until it is dropped.
pub async fn run(store: Store, client: kube::Client, node: String, stats: Arc<PushStats>) {
    let mut ticks = store.ticks();
    let mut watch = OomWatch::default();
    let mut waiting: VecDeque<Kill> = VecDeque::new();
    let mut wait = Duration::ZERO;
    let mut next = tokio::time::Instant::now();
    let mut told_of_failure = false;
    loop {
        if ticks.changed().await.is_err() {
            return;
        }
        if store.latest().is_some_and(|latest| watch.may_have_news(&latest)) {
            let ring = store.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let kills = watch.look(&ring);
                (watch, kills)
            });
            let Ok((back, kills)) = looked.await else { return };
            watch = back;
            enqueue(&mut waiting, kills, &stats);
        }
        if waiting.is_empty() || tokio::time::Instant::now() < next {
            continue;
        }
        let Some(kill) = waiting.front() else { continue };
        let written = write(&client, kill, &node).await;
        wait = match &written {
            Written::Yes | Written::Never(_) => Duration::ZERO,
            Written::NotYet(_) => (wait * 2).clamp(APART, LONGEST_WAIT),
            Written::Forbidden(_) => LONGEST_WAIT,
        };
        stats.event(if written == Written::Yes { EventResult::Written } else { EventResult::Failed });
        match &written {
            Written::Yes => told_of_failure = false,
            Written::Never(told) => {
                tracing::warn!(
                    namespace = kill.namespace,
                    pod = kill.pod,
                    told,
                    "the API server takes no event for an OOM kill"
                );
            }
            Written::NotYet(told) | Written::Forbidden(told) if !std::mem::replace(&mut told_of_failure, true) => {
                tracing::warn!(
                    told,
                    "an event for an OOM kill waits; the service account must be allowed to `create` `events`"
                );
            }
            Written::NotYet(_) | Written::Forbidden(_) => {}
        }
        if matches!(written, Written::Yes | Written::Never(_)) {
            waiting.pop_front();
        }
        // Full jitter, as for pushes.
        next = tokio::time::Instant::now() + APART + wait.mul_f64(rand::random());
    }
}

/// Adds kills; beyond the bound the oldest go.
fn enqueue(waiting: &mut VecDeque<Kill>, kills: Vec<Kill>, stats: &PushStats) {
    waiting.extend(kills);
    while waiting.len() > MOST_WAITING {
        waiting.pop_front();
        stats.event(EventResult::Shed);
    }
}
