//! Asks a running agent.
//!
//! In: the agent's URL. Out: the API's types, or a long answer piece by piece. One request at a time, with a deadline; an
//! agent that hangs or goes away is an error to show, not a reason to stop. Shared with `view/query`.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Response, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::view::api::Problem;

use super::TopError;
use super::format::clean;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The most bytes that an answer may have: a node of thousands of containers stays far below.
const MOST_BYTES: usize = 64 << 20;

/// A connection to one agent.
#[derive(Debug, Clone)]
pub(in crate::view) struct Agent {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Agent {
    pub(in crate::view) fn new(server: &str) -> Result<Self, TopError> {
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
    pub(in crate::view) async fn text(&self, target: &str) -> Result<String, TopError> {
        self.text_within(target, DEADLINE).await
    }

    /// GETs a path whose answer may take longer.
    pub(in crate::view) async fn text_within(&self, target: &str, deadline: Duration) -> Result<String, TopError> {
        match tokio::time::timeout(deadline, self.ask(target)).await {
            Ok(answered) => answered,
            Err(_) => Err(self.too_late(deadline)),
        }
    }

    /// GETs a path and hands each piece of a 200's body on as it comes. `silence` is the longest time between two.
    pub(in crate::view) async fn stream(
        &self,
        target: &str,
        silence: Duration,
        mut piece: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), TopError> {
        let late = |_| self.too_late(silence);
        let mut response = tokio::time::timeout(silence, self.response(target)).await.map_err(late)??;
        if !response.status().is_success() {
            return Err(self.refused(target, response).await);
        }
        while let Some(frame) = tokio::time::timeout(silence, response.body_mut().frame()).await.map_err(late)? {
            let frame = frame.map_err(|error| self.no_agent(innermost(&error)))?;
            if let Some(data) = frame.data_ref() {
                piece(data).map_err(TopError::Output)?;
            }
        }
        Ok(())
    }

    /// GETs a path and reads its JSON.
    pub(in crate::view) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, TopError> {
        let text = self.text(target).await?;
        self.read(target, &text)
    }

    /// Reads the JSON that a path was answered with.
    pub(in crate::view) fn read<T: DeserializeOwned>(&self, target: &str, text: &str) -> Result<T, TopError> {
        serde_json::from_str(text).map_err(|source| TopError::Unreadable { url: self.url(target), source })
    }

    async fn ask(&self, target: &str) -> Result<String, TopError> {
        let response = self.response(target).await?;
        if response.status().is_success() {
            self.body(response).await
        } else {
            Err(self.refused(target, response).await)
        }
    }

    async fn response(&self, target: &str) -> Result<Response<Incoming>, TopError> {
        let url = self.url(target);
        let uri: Uri = url.parse().map_err(|_| self.no_agent("the path cannot be written as a URL".to_owned()))?;
        self.client.get(uri).await.map_err(|error| self.no_agent(innermost(&error)))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<String, TopError> {
        let body = Limited::new(response.into_body(), MOST_BYTES);
        let bytes = body.collect().await.map_err(|error| self.no_agent(innermost(&*error)))?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn refused(&self, target: &str, response: Response<Incoming>) -> TopError {
        let status = response.status().as_u16();
        let text = match self.body(response).await {
            Ok(text) => text,
            Err(error) => return error,
        };
        let (kind, detail) = match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => (problem.kind, clean(&problem.detail).into_owned()),
            Err(_) => {
                (String::new(), "this does not look like a ringside agent; name another with --server".to_owned())
            }
        };
        TopError::Refused { url: self.url(target), status, kind, detail }
    }

    /// The error about an agent that does not know the past.
    pub(super) fn no_past(&self) -> TopError {
        TopError::NoPast { server: clean(&self.base).into_owned() }
    }

    /// Turns the refusal of `at` by an agent that does not know it into its meaning. `asked` says whether it was asked
    /// about the past.
    pub(super) fn past_unknown(&self, error: TopError, asked: bool) -> TopError {
        match &error {
            TopError::Refused { status: 400 | 404, detail, .. }
                if asked && (detail.contains("no parameter 'at'") || detail.contains("nothing is served")) =>
            {
                self.no_past()
            }
            _ => error,
        }
    }

    fn too_late(&self, deadline: Duration) -> TopError {
        self.no_agent(format!("no answer within {} s", deadline.as_secs()))
    }

    fn url(&self, target: &str) -> String {
        format!("{}{target}", self.base)
    }

    fn no_agent(&self, cause: String) -> TopError {
        TopError::NoAgent { server: clean(&self.base).into_owned(), cause: clean(&cause).into_owned() }
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
