//! One request to the aggregator: who asks, may they, and which part of it answers.
//!
//! In: requests of the HTTPS server. Out: answers. The order is fixed: replicas by their certificate; probes, which tell
//! nothing but "ok"; then authentication, then authorization, then the answer. Nobody is redirected, and no address that
//! somebody sent is ever connected to. Next: `uplink::receive`, `uplink::peers`, `view::kube_api`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};

use super::Parts;
use crate::auth::certificates::ClusterCa;
use crate::auth::https::{self, BodyBudget, BodyError, Handler, Peer};
use crate::auth::{Attributes, Authenticator, Authorizer, Identity, status};
use crate::units::UnixNanos;
use crate::uplink::wire::MOST_BODY_BYTES;
use crate::view::kube_api::{self, ApiRequest};
use crate::view::prometheus::agent::as_text;

/// A push of 1 MiB must have come by then.
const BODY_TIME: Duration = Duration::from_secs(10);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The group in which agents push.
const INGEST: &str = "ingest.ringside.dev";

/// Answers all requests.
pub(super) struct Answers {
    /// Everything that answers.
    pub parts: Parts,
    /// Says who asks.
    pub authenticator: Authenticator,
    /// Says whether they may.
    pub authorizer: Authorizer,
    /// Says which clients are replicas; `None` without replicas.
    pub authority: Option<ClusterCa>,
    /// What the bodies of pushes may fill together while they come.
    pub bodies: BodyBudget,
}

impl Handler for Answers {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<https::Body>> + Send>> {
        Box::pin(async move { self.answer(request, &peer).await })
    }
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>, peer: &Peer) -> Response<https::Body> {
        let path = request.uri().path();
        if path.starts_with("/internal/") {
            let is_peer = self.authority.as_ref().is_some_and(|authority| authority.is_peer(peer));
            return self.parts.peers.answer(request, is_peer).await;
        }
        if matches!(path, "/livez" | "/readyz" | "/healthz") {
            return self.parts.api.answer(ApiRequest::of(&request)).await.into_http();
        }
        let attributes = kube_api::attributes(request.method().as_str(), path, request.uri().query());
        let (group, verb) = counted(&attributes);
        let response = match self.who_may(peer, &request, &attributes).await {
            Err(denied) => denied.response(),
            Ok(identity) => match (node_of_push(&attributes), path) {
                (Some(node), _) => self.push(&identity, node, request).await,
                (None, "/metrics") => self.metrics(&request),
                _ => self.parts.api.answer(ApiRequest::of(&request)).await.into_http(),
            },
        };
        self.parts.metrics.api_request(group, verb, response.status().as_u16());
        response
    }

    async fn who_may<B>(
        &self,
        peer: &Peer,
        request: &Request<B>,
        attributes: &Attributes,
    ) -> Result<Identity, crate::auth::Denied> {
        let identity = self.authenticator.authenticate(peer, request.headers()).await?;
        if !is_discovery(attributes) && !self.may_push_for_all(&identity, attributes).await? {
            self.authorizer.authorize(&identity, attributes).await?;
        }
        Ok(identity)
    }

    /// Whether this account may push for every node. All agents share an account, so one answer serves a whole fleet, which
    /// may come at once. For which node it speaks is not asked here: that is the token's word.
    async fn may_push_for_all(
        &self,
        identity: &Identity,
        attributes: &Attributes,
    ) -> Result<bool, crate::auth::Denied> {
        let Some(for_all) = for_all_nodes(attributes) else { return Ok(false) };
        let account = Identity { extra: std::collections::BTreeMap::new(), ..identity.clone() };
        match self.authorizer.authorize(&account, &for_all).await {
            Ok(()) => Ok(true),
            Err(crate::auth::Denied::Forbidden(_)) => Ok(false),
            Err(denied) => Err(denied),
        }
    }

    async fn push(&self, identity: &Identity, node: &str, request: Request<Incoming>) -> Response<https::Body> {
        if is_encoded(request.headers()) {
            self.parts.metrics.push("agent", "encoded", 0, Duration::ZERO);
            let message = "bodies are taken as they are; send the push without Content-Encoding";
            let text = status::failure(415, "UnsupportedMediaType", message);
            return status::whole(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json", text);
        }
        let read = https::read_body_within(request, MOST_BODY_BYTES, BODY_TIME, &self.bodies).await;
        // The permit is given back with the body.
        let (body, _permit) = match read {
            Ok(read) => read,
            Err(error) => {
                let result = match error {
                    BodyError::TooLarge { .. } => "too_large",
                    BodyError::TooSlow => "too_slow",
                    BodyError::Broken(_) => "broken_off",
                    BodyError::Busy => "busy",
                };
                self.parts.metrics.push("agent", result, 0, Duration::ZERO);
                return error.response();
            }
        };
        let answer = self.parts.receiver.receive(identity, node, &body, UnixNanos::now());
        let code = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status::whole(code, "application/json", answer.body);
        if let Some(seconds) = answer.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<https::Body> {
        let accepts = |media: &str| {
            let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            accepted.into_iter().any(|value| value.contains(media))
        };
        let text = self.parts.metrics.encode(self.parts.holdings()).unwrap_or_default();
        let (text, content_type) =
            if accepts("application/openmetrics-text") { (text, OPENMETRICS) } else { (as_text(&text), TEXT) };
        let mut response = status::whole(StatusCode::OK, TEXT, text);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

/// A compressed body: nothing is unpacked here, so that none can become larger than it came.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// What is the same for everybody and tells nothing of the cluster: it is answered also while the API server cannot be
/// asked who may read it. Namespaces cannot be deleted while a group's discovery fails.
fn is_discovery(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::Path { verb, path } => {
            let is_below =
                |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
            verb == "get" && (is_below("/apis") || is_below("/openapi") || path == "/version")
        }
        Attributes::Resource { .. } => false,
    }
}

/// The node whose samples are pushed.
fn node_of_push(attributes: &Attributes) -> Option<&str> {
    match attributes {
        Attributes::Resource { verb, group, resource, subresource, name, version, .. }
            if verb == "create"
                && group == INGEST
                && version == "v1alpha1"
                && resource == "nodes"
                && subresource == "samples"
                && !name.is_empty() =>
        {
            Some(name)
        }
        _ => None,
    }
}

/// A push for one node as the question about all of them.
fn for_all_nodes(attributes: &Attributes) -> Option<Attributes> {
    node_of_push(attributes)?;
    let mut for_all = attributes.clone();
    if let Attributes::Resource { name, .. } = &mut for_all {
        name.clear();
    }
    Some(for_all)
}

/// Words for counting, of which there is a closed list.
fn counted(attributes: &Attributes) -> (&'static str, &'static str) {
    let group = match attributes {
        Attributes::Resource { group, .. } => match group.as_str() {
            "metrics.k8s.io" => "metrics.k8s.io",
            "custom.metrics.k8s.io" => "custom.metrics.k8s.io",
            "history.ringside.dev" => "history.ringside.dev",
            INGEST => INGEST,
            _ => "other",
        },
        Attributes::Path { .. } => "",
    };
    let verb = match attributes.verb() {
        "get" => "get",
        "list" => "list",
        "watch" => "watch",
        "create" | "post" => "create",
        _ => "other",
    };
    (group, verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_push_is_taken_for_one() {
        let node =
            |method: &str, path: &str| node_of_push(&kube_api::attributes(method, path, None)).map(str::to_owned);
        let path = "/apis/ingest.ringside.dev/v1alpha1/nodes/a/samples";
        assert_eq!(node("POST", path).as_deref(), Some("a"));
        assert_eq!(node("GET", path), None);
        assert_eq!(node("POST", "/apis/ingest.ringside.dev/v1alpha1/nodes/a"), None);
        assert_eq!(node("POST", "/apis/ingest.ringside.dev/v1/nodes/a/samples"), None);
        assert_eq!(node("POST", "/apis/metrics.k8s.io/v1alpha1/nodes/a/samples"), None);
        assert_eq!(node("POST", "/apis/ingest.ringside.dev/v1alpha1/nodes/..%2fb/samples"), None);
    }

    #[test]
    fn the_right_to_push_is_asked_for_all_nodes_at_once_and_nothing_else_is() {
        let asked = |method: &str, path: &str| for_all_nodes(&kube_api::attributes(method, path, None));
        let one = asked("POST", "/apis/ingest.ringside.dev/v1alpha1/nodes/a/samples");
        let other = asked("POST", "/apis/ingest.ringside.dev/v1alpha1/nodes/b/samples");
        assert!(one.is_some());
        assert_eq!(one, other);
        assert_eq!(asked("GET", "/apis/metrics.k8s.io/v1beta1/nodes/a"), None);
        assert_eq!(asked("POST", "/apis/ingest.ringside.dev/v1alpha1/nodes/a"), None);
    }

    #[test]
    fn discovery_needs_no_review_and_nothing_else_does_without() {
        let free = |method: &str, path: &str| is_discovery(&kube_api::attributes(method, path, None));
        for path in
            ["/apis", "/apis/metrics.k8s.io", "/apis/metrics.k8s.io/v1beta1", "/openapi/v2", "/openapi/v3", "/version"]
        {
            assert!(free("GET", path), "{path}");
            assert!(!free("POST", path), "{path}");
        }
        for path in ["/apis/metrics.k8s.io/v1beta1/pods", "/metrics", "/", "/apisx", "/openapix"] {
            assert!(!free("GET", path), "{path}");
        }
    }
}
