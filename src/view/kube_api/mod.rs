//! The cluster in the API server's words: `metrics.k8s.io`, `custom.metrics.k8s.io`, `history.ringside.dev`.
//!
//! In: the cluster's store and one request. Out: the answer. It authenticates nobody and opens no connection, but for the
//! one history backend that it may be told. Discovery answers without any data. Next: the HTTPS server.
//!
//! | step | file |
//! |---|---|
//! | a request, an answer | `answer`, `status` |
//! | what a path means, for RBAC as well | `path` |
//! | in which form | `accept` |
//! | what there is | `discovery`, `openapi` |
//! | which objects | `selector` |
//! | `metrics.k8s.io` | `list`, `watch`; written by `item`, `json`, `protobuf`, `text`; `version`, `whole` |
//! | `custom.metrics.k8s.io` | `series`, `custom` |
//! | `history.ringside.dev` | `history`, written by `series_text` |
//! | where the last two have it from | [`source`], or another engine: [`backend`], `promql` |

mod accept;
mod answer;
pub mod backend;
mod custom;
mod discovery;
mod history;
mod item;
mod json;
mod list;
mod openapi;
mod path;
mod promql;
mod protobuf;
mod selector;
mod series;
mod series_text;
pub mod source;
mod status;
mod text;
mod version;
mod watch;
mod whole;

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

pub use answer::{ApiAnswer, ApiBody, ApiRequest};
pub use path::attributes;
pub use selector::{FieldSelector, LabelSelector};
pub use series::SeriesMetric;
pub use source::HistorySource;
pub use status::{Cause, Details, Status};

use self::discovery::{CUSTOM, Group, HISTORY, METRICS};
use self::json::Kind;
use self::list::Question;
use self::path::{Resource, Target, asks_for_watch};
use self::whole::Whole;
use crate::store::cluster::ClusterStore;
use crate::units::UnixNanos;
use crate::view::api::Query;

/// How many lists are written at once; each has a thread and some chunks, and slow readers keep theirs.
const LISTS: usize = 64;
/// How many watches there are at most; each remembers what it told.
const WATCHES: usize = 64;

/// What is ready and what is not: names, and reasons why not.
pub type Readiness = Arc<dyn Fn() -> Vec<(&'static str, Result<(), String>)> + Send + Sync>;

/// What the APIs are made of.
#[derive(Clone)]
pub struct Options {
    /// The cluster's store.
    pub store: ClusterStore,
    /// Whether `usage` has more than CPU and memory.
    pub extra_resources: bool,
    /// Where histories and custom metrics come from.
    pub history: Arc<dyn HistorySource>,
    /// What `/readyz` tells.
    pub readiness: Readiness,
    /// The wall clock.
    pub now: fn() -> UnixNanos,
}

/// The APIs. Cheap to clone.
#[derive(Clone)]
pub struct KubeApi {
    api: Arc<Api>,
}

impl fmt::Debug for KubeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeApi").field("extra_resources", &self.api.extra_resources).finish_non_exhaustive()
    }
}

/// What every answer may use.
struct Api {
    store: ClusterStore,
    extra_resources: bool,
    history: Arc<dyn HistorySource>,
    readiness: Readiness,
    now: fn() -> UnixNanos,
    lists: Arc<Semaphore>,
    whole: Whole,
    watches: Arc<Semaphore>,
}

impl KubeApi {
    /// The APIs over a store.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { store, extra_resources, history, readiness, now } = options;
        let (lists, watches) = (Arc::new(Semaphore::new(LISTS)), Arc::new(Semaphore::new(WATCHES)));
        Self {
            api: Arc::new(Api { store, extra_resources, history, readiness, now, lists, whole: Whole::new(), watches }),
        }
    }

    /// Answers a request of somebody who may ask it.
    pub async fn answer(&self, request: ApiRequest) -> ApiAnswer {
        self.answer_or_status(&request).await.unwrap_or_else(Status::into_answer)
    }

    async fn answer_or_status(&self, request: &ApiRequest) -> Result<ApiAnswer, Status> {
        let accept = request.accept.as_deref();
        let target = Target::of(&request.path);
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Err(match target {
                Target::Unclean => Status::no_such_path(&request.path),
                _ => Status::method_not_allowed(&request.method, "GET"),
            });
        }
        match target {
            Target::Groups => Ok(discovery::groups(accept)),
            Target::Group(name) => Ok(discovery::group(&name, accept)),
            Target::Version(name, version) => Ok(discovery::version(&name, &version, accept)),
            Target::Resource(found) => self.resource(&found, request).await,
            Target::Unclean => Err(Status::no_such_path(&request.path)),
            Target::Other(segments) => {
                let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                let found = match segments.as_slice() {
                    ["openapi", rest @ ..] => openapi::answer(rest, accept),
                    ["version"] => Some(version_answer()),
                    ["livez"] => Some(ApiAnswer::text(200, "ok")),
                    ["readyz" | "healthz"] => {
                        let query = Query::parse(request.query.as_deref());
                        Some(self.readyz(query.all("verbose").next().is_some()))
                    }
                    _ => None,
                };
                found.ok_or_else(|| Status::no_such_path(&request.path))
            }
        }
    }

    async fn resource(&self, found: &Resource, request: &ApiRequest) -> Result<ApiAnswer, Status> {
        let query = Query::parse(request.query.as_deref());
        let accept = request.accept.as_deref();
        let unknown = || Status::no_such_path(&request.path);
        let group = Group::of(&found.group).filter(|group| group.version == found.version).ok_or_else(unknown)?;
        if group == METRICS {
            let kind = match (found.resource.as_str(), found.subresource.is_empty()) {
                ("nodes", true) if found.namespace.is_empty() => Kind::Node,
                ("pods", true) if found.name.is_empty() || !found.namespace.is_empty() => Kind::Pod,
                _ => return Err(unknown()),
            };
            let form = accept::form(accept).ok_or_else(|| Status::not_acceptable(accept::SPOKEN))?;
            let question = Question::parse(kind, &found.namespace, form, &query)?;
            if !found.name.is_empty() {
                return list::get(&self.api, &question, &found.name);
            }
            if asks_for_watch(&query) {
                watch::watch(&self.api, question, &query)
            } else {
                list::list(&self.api, question).await
            }
        } else {
            match group {
                CUSTOM => {
                    let form = accept::json(accept).ok_or_else(|| Status::not_acceptable(accept::SPOKEN_ELSEWHERE))?;
                    custom::answer(&self.api, found, &query, form).await
                }
                HISTORY => {
                    let form = accept::json_or_table(accept);
                    let form = form.ok_or_else(|| Status::not_acceptable(accept::SPOKEN_ELSEWHERE))?;
                    history::answer(&self.api, found, &query, form).await
                }
                _ => Err(Status::method_not_allowed(&request.method, "POST")),
            }
        }
    }

    fn readyz(&self, verbose: bool) -> ApiAnswer {
        let checks = (self.api.readiness)();
        let failed = checks.iter().any(|(_, outcome)| outcome.is_err());
        if !failed && !verbose {
            return ApiAnswer::text(200, "ok");
        }
        let mut text = String::new();
        for (name, outcome) in checks {
            match outcome {
                Ok(()) => text += &format!("[+]{name} ok\n"),
                Err(why) => text += &format!("[-]{name} failed: {why}\n"),
            }
        }
        text += if failed { "readyz check failed\n" } else { "readyz check passed\n" };
        ApiAnswer::text(if failed { 503 } else { 200 }, text)
    }
}

/// `/version`, in the form of Kubernetes.
fn version_answer() -> ApiAnswer {
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    let version = serde_json::json!({
        "major": major, "minor": minor, "gitVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc", "platform": platform,
    });
    ApiAnswer::json(200, version.to_string())
}
