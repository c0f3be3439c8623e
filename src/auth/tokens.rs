//! Bearer tokens by TokenReview: the API server says whose they are.
//!
//! In: a token. Out: the identity, or that it is none; asked once for all requests that bring it at the same time, and
//! remembered for a minute at most. The token itself is kept nowhere. Next: `authenticator.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use kube::{Client, Error};

use super::flights::{Answered, FlightLimits, Flights, Hasher};
use super::{Denied, Identity};

/// How long a token is believed without another question: so long may a revoked one still be let in.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How long a token that was refused is refused again without a question.
const BAD_FOR: Duration = Duration::from_secs(10);

/// How long nobody asks again after the API server gave no answer about this token.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// An answer takes milliseconds; an API server that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions to the API server. Tokens that nothing is known of share twenty a second, so that guessing costs the API
/// server no more; those that were good a minute ago are asked about at the rate of thousands of nodes.
const LIMITS: FlightLimits =
    FlightLimits { entries: 8192, at_once: 32, strangers_per_second: 20, known_per_second: 500 };

/// Asks the API server about tokens. Cloning shares the answers.
#[derive(Clone)]
pub struct TokenReviews {
    client: Client,
    /// Empty: tokens for the API server itself are wanted.
    audiences: Arc<[String]>,
    hasher: Hasher,
    flights: Flights<Result<Identity, Denied>>,
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviews").field("audiences", &self.audiences).finish_non_exhaustive()
    }
}

impl TokenReviews {
    /// Believes tokens that the API server knows and that are for one of `audiences`; without any, for the API server.
    #[must_use]
    pub fn new(client: Client, audiences: &[String]) -> Self {
        Self::with_limits(client, audiences, LIMITS)
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(client: Client, audiences: &[String], limits: FlightLimits) -> Self {
        Self { client, audiences: audiences.into(), hasher: Hasher::default(), flights: Flights::new(limits) }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] when it is nobody's, [`Denied::Unavailable`] when the API server could not be asked.
    pub async fn identity(&self, token: &str) -> Result<Identity, Denied> {
        let asked = self.flights.get(self.hasher.key(token.as_bytes()), || {
            review(self.client.clone(), Arc::clone(&self.audiences), token.to_owned())
        });
        asked.await.unwrap_or_else(|_| {
            Err(Denied::Unavailable("too many unknown tokens are being asked about; try again in a second".to_owned()))
        })
    }
}

async fn review(client: Client, audiences: Arc<[String]>, token: String) -> Answered<Result<Identity, Denied>> {
    let ends = expiry(&token);
    let wanted = (!audiences.is_empty()).then(|| audiences.to_vec());
    let spec = TokenReviewSpec { audiences: wanted, token: Some(token) };
    let asked = TokenReview { spec, ..TokenReview::default() };
    let reviews: Api<TokenReview> = Api::all(client);
    let unavailable = |why: &dyn std::fmt::Display| {
        tracing::warn!("a token could not be reviewed: {why}");
        let value = Err(Denied::Unavailable("the API server could not be asked about the token".to_owned()));
        Answered { value, keep: SILENT_FOR, good: None }
    };
    match tokio::time::timeout(PATIENCE, reviews.create(&PostParams::default(), &asked)).await {
        Err(_) => unavailable(&"no answer in time"),
        // A token that the API server cannot read is no reason to ask again.
        Ok(Err(Error::Api(status))) if status.code == 400 || status.code == 422 => {
            Answered { value: Err(refused()), keep: BAD_FOR, good: Some(false) }
        }
        Ok(Err(error)) => unavailable(&error),
        Ok(Ok(review)) => judge(review.status.unwrap_or_default(), &audiences, ends),
    }
}

fn refused() -> Denied {
    Denied::Unauthenticated(
        "the bearer token is not valid here; it may have expired, or be for another audience".into(),
    )
}

fn judge(
    status: TokenReviewStatus,
    audiences: &[String],
    ends: Option<SystemTime>,
) -> Answered<Result<Identity, Denied>> {
    let refuse = || Answered { value: Err(refused()), keep: BAD_FOR, good: Some(false) };
    let told = status.audiences.unwrap_or_default();
    // An API server that knows nothing of audiences tells none: it has not checked ours.
    let ours = audiences.is_empty() || audiences.iter().any(|audience| told.contains(audience));
    let Some(user) = status.user.filter(|_| status.authenticated == Some(true) && ours) else { return refuse() };
    let name = user.username.unwrap_or_default();
    if name.is_empty() {
        return refuse();
    }
    let left = ends.map_or(GOOD_FOR, |ends| ends.duration_since(SystemTime::now()).unwrap_or_default());
    let extra: BTreeMap<_, _> =
        user.extra.unwrap_or_default().into_iter().map(|(key, values)| (key.to_lowercase(), values)).collect();
    let uid = user.uid.filter(|uid| !uid.is_empty());
    let identity = Identity { user: name, uid, groups: user.groups.unwrap_or_default(), extra }.authenticated();
    Answered { value: Ok(identity), keep: left.min(GOOD_FOR), good: Some(true) }
}

/// When a JSON web token ends by its own word. Only asked about tokens that the API server believes.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: Option<f64>,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let seconds = serde_json::from_slice::<Claims>(&claims).ok()?.exp?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
