//! May they: SubjectAccessReview, or a simple rule where there is no API server.
//!
//! In: an identity and what is asked for. Out: yes, or why not; remembered. It knows no identity by itself, not even
//! `system:masters`: the API server does. Next: the handlers of the servers.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Client;
use kube::api::{Api, PostParams};

use super::flights::{Answered, FlightLimits, Flights, Hasher};
use super::{Attributes, Denied, Identity};

/// How long a yes holds: as at the kubelet's port. Requests that come through the API server have been authorized by it a
/// moment before, without a cache; what can outlive a withdrawn right is a direct connection's access to measurements.
/// With the ten seconds of other extension API servers, 5,000 nodes that push every 15 s would cost a review per push.
const ALLOWED_FOR: Duration = Duration::from_secs(300);

/// How long a no holds: short, because somebody is just about to grant the right and looks on.
const DENIED_FOR: Duration = Duration::from_secs(10);

/// How long nobody asks the same again after the API server gave no answer.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// An answer takes milliseconds; an API server that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Only who is authenticated gets here, so the bounds are those of a cluster's start, not of an attack.
const LIMITS: FlightLimits =
    FlightLimits { entries: 16_384, at_once: 32, strangers_per_second: 500, known_per_second: 500 };

/// Says who may do what. Cloning shares what is remembered.
#[derive(Debug, Clone)]
pub struct Authorizer(Rule);

#[derive(Debug, Clone)]
enum Rule {
    Reviews(Arc<Reviews>),
    Readers,
}

struct Reviews {
    client: Client,
    hasher: Hasher,
    flights: Flights<Result<(), Denied>>,
}

impl std::fmt::Debug for Reviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviews").finish_non_exhaustive()
    }
}

impl Authorizer {
    /// Asks the API server.
    #[must_use]
    pub fn by_api_server(client: Client) -> Self {
        let reviews = Reviews { client, hasher: Hasher::default(), flights: Flights::new(LIMITS) };
        Self(Rule::Reviews(Arc::new(reviews)))
    }

    /// Outside of Kubernetes: whoever is known may read, and nothing else.
    #[must_use]
    pub const fn known_may_read() -> Self {
        Self(Rule::Readers)
    }

    /// Whether `identity` may do what `attributes` say.
    ///
    /// # Errors
    /// [`Denied::Forbidden`] when not, [`Denied::Unavailable`] when the API server could not be asked.
    pub async fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Result<(), Denied> {
        match &self.0 {
            Rule::Readers if matches!(attributes.verb(), "get" | "list" | "watch" | "head") => Ok(()),
            Rule::Readers => Err(attributes.forbidden_to(&identity.user, "")),
            Rule::Reviews(reviews) => reviews.authorize(identity, attributes).await,
        }
    }
}

impl Reviews {
    async fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Result<(), Denied> {
        let spec = spec(identity, attributes);
        // The question itself is the key: whatever could change the answer is in it.
        let question = serde_json::to_vec(&spec).unwrap_or_default();
        let (client, forbidden) = (self.client.clone(), (identity.user.clone(), attributes.clone()));
        let asked = self.flights.get(self.hasher.key(&question), || review(client, spec, forbidden));
        asked.await.unwrap_or_else(|_| {
            Err(Denied::Unavailable("too many rights are being asked about; try again in a second".to_owned()))
        })
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn spec(identity: &Identity, attributes: &Attributes) -> SubjectAccessReviewSpec {
    let (mut resource_attributes, mut non_resource_attributes) = (None, None);
    match attributes {
        Attributes::Resource { verb, group, version, resource, subresource, namespace, name } => {
            resource_attributes = Some(ResourceAttributes {
                verb: some(verb),
                group: some(group),
                version: some(version),
                resource: some(resource),
                subresource: some(subresource),
                namespace: some(namespace),
                name: some(name),
                ..ResourceAttributes::default()
            });
        }
        Attributes::Path { verb, path } => {
            non_resource_attributes = Some(NonResourceAttributes { path: some(path), verb: some(verb) });
        }
    }
    SubjectAccessReviewSpec {
        user: some(&identity.user),
        uid: identity.uid.clone(),
        groups: Some(identity.groups.clone()),
        extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
        resource_attributes,
        non_resource_attributes,
    }
}

async fn review(
    client: Client,
    spec: SubjectAccessReviewSpec,
    (user, attributes): (String, Attributes),
) -> Answered<Result<(), Denied>> {
    let asked = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let unavailable = |why: &dyn std::fmt::Display| {
        tracing::warn!("a right could not be asked about: {why}");
        let value = Err(Denied::Unavailable("the API server could not be asked about the right".to_owned()));
        Answered { value, keep: SILENT_FOR, good: None }
    };
    match tokio::time::timeout(PATIENCE, reviews.create(&PostParams::default(), &asked)).await {
        Err(_) => unavailable(&"no answer in time"),
        Ok(Err(error)) => unavailable(&error),
        Ok(Ok(review)) => {
            let SubjectAccessReviewStatus { allowed, denied, reason, .. } = review.status.unwrap_or_default();
            if allowed && denied != Some(true) {
                return Answered { value: Ok(()), keep: ALLOWED_FOR, good: Some(true) };
            }
            let why = reason.unwrap_or_default();
            Answered { value: Err(attributes.forbidden_to(&user, &why)), keep: DENIED_FOR, good: Some(false) }
        }
    }
}
