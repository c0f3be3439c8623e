//! Asks a running agent.
//!
//! In: the agent's URL. Out: the API's types. One request at a time, with a deadline; an agent that hangs or goes away
//! is an error to show, not a reason to stop.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::view::api::Problem;

use super::format::clean;
use super::{Refusal, TopError};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The most bytes that an answer may have: a node of thousands of containers stays far below.
const MOST_BYTES: usize = 64 << 20;

/// A connection to one agent.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Agent {
    pub(super) fn new(server: &str) -> Result<Self, TopError> {
        let wrong = |why: &str| TopError::BadServer { server: clean(server).into_owned(), why: why.to_owned() };
        let with_scheme = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let uri: Uri = with_scheme.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong(
                "only http:// is spoken here; for a remote agent use `kubectl port-forward` or an SSH tunnel",
            ));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        let base = with_scheme.trim_end_matches('/').to_owned();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(DEADLINE));
        Ok(Self { base, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// GETs a path and returns the body of a 200.
    pub(super) async fn text(&self, target: &str) -> Result<String, TopError> {
        match tokio::time::timeout(DEADLINE, self.ask(target)).await {
            Ok(answered) => answered,
            Err(_) => Err(self.no_agent(format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }

    /// GETs a path and reads its JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, TopError> {
        self.read(target, &self.text(target).await?)
    }

    /// Reads the JSON that a path was answered with.
    pub(super) fn read<T: DeserializeOwned>(&self, target: &str, text: &str) -> Result<T, TopError> {
        serde_json::from_str(text).map_err(|source| TopError::Unreadable { url: self.url(target), source })
    }

    async fn ask(&self, target: &str) -> Result<String, TopError> {
        let url = self.url(target);
        let uri: Uri = url.parse().map_err(|_| self.no_agent("the path cannot be written as a URL".to_owned()))?;
        let response = self.client.get(uri).await.map_err(|error| self.no_agent(innermost(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_BYTES);
        let bytes = body.collect().await.map_err(|error| self.no_agent(innermost(&*error)))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        let (detail, kind) = match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => (clean(&problem.detail).into_owned(), kind_of(&problem)),
            Err(_) => {
                ("this does not look like a ringside agent; name another with --server".to_owned(), Refusal::Other)
            }
        };
        Err(TopError::Refused { url, status: status.as_u16(), kind, detail })
    }

    /// The error about an agent that does not know the past.
    pub(super) fn no_past(&self) -> TopError {
        TopError::NoPast { server: clean(&self.base).into_owned() }
    }

    /// Turns the refusal of `at` by an agent that does not know it into its meaning. `asked` says whether it was asked
    /// about the past.
    pub(super) fn past_unknown(&self, error: TopError, asked: bool) -> TopError {
        match &error {
            TopError::Refused { kind: Refusal::NotUnderstood, detail, .. }
                if asked && (detail.contains("no parameter 'at'") || detail.contains("nothing is served")) =>
            {
                self.no_past()
            }
            _ => error,
        }
    }

    fn url(&self, target: &str) -> String {
        format!("{}{target}", self.base)
    }

    fn no_agent(&self, cause: String) -> TopError {
        TopError::NoAgent { server: clean(&self.base).into_owned(), cause: clean(&cause).into_owned() }
    }
}

fn kind_of(problem: &Problem) -> Refusal {
    match problem.status {
        404 if problem.is_before_history() => Refusal::BeforeHistory,
        400 | 404 => Refusal::NotUnderstood,
        _ => Refusal::Other,
    }
}

/// The cause at the bottom: `Connection refused` instead of `client error (Connect)`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
