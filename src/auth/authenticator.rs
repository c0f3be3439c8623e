//! Who asks.
//!
//! In: the peer of a connection and a request's headers. Out: an identity, by the first of: the API server that passes
//! the request on, a client certificate, a static token, a TokenReview. Nobody is anybody: without one of them, 401.
//! Next: `access.rs`.

use hyper::header::{AUTHORIZATION, HeaderMap};
use kube::Client;

use super::chain::{Authority, AuthorityFile, Subject};
use super::https::Peer;
use super::requestheader::ApiServerTrust;
use super::static_tokens::StaticTokens;
use super::tokens::TokenReviews;
use super::{Denied, Identity};

/// Says who asks. Cloning shares what is remembered.
#[derive(Debug, Clone, Default)]
pub struct Authenticator {
    trust: Option<ApiServerTrust>,
    clients: Option<Authority>,
    client_file: Option<AuthorityFile>,
    static_tokens: Option<StaticTokens>,
    reviews: Option<TokenReviews>,
}

impl Authenticator {
    /// One that knows nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes what the API server's front proxy says, and certificates of the cluster's own authority.
    #[must_use]
    pub fn with_front_proxy(mut self, trust: ApiServerTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Believes tokens that the API server knows, for one of `audiences`; without any, for the API server itself.
    #[must_use]
    pub fn with_token_reviews(mut self, client: Client, audiences: &[String]) -> Self {
        self.reviews = Some(TokenReviews::new(client, audiences));
        self
    }

    /// Believes client certificates of these authorities: `CN` is the user, each `O` a group.
    #[must_use]
    pub fn with_client_authority(mut self, clients: Authority) -> Self {
        self.clients = Some(clients);
        self
    }

    /// The same with authorities of a file, which may change.
    #[must_use]
    pub fn with_client_authority_file(mut self, clients: AuthorityFile) -> Self {
        self.client_file = Some(clients);
        self
    }

    /// Believes the tokens of a file.
    #[must_use]
    pub fn with_static_tokens(mut self, tokens: StaticTokens) -> Self {
        self.static_tokens = Some(tokens);
        self
    }

    /// True when there is a way to be known.
    #[must_use]
    pub fn knows_anybody(&self) -> bool {
        let by_certificate = self.trust.is_some() || self.clients.is_some() || self.client_file.is_some();
        by_certificate || self.static_tokens.is_some() || self.reviews.is_some()
    }

    /// Who sends this request.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] when nobody is known by what was shown, [`Denied::Unavailable`] when the API server
    /// could not be asked.
    pub async fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<Identity, Denied> {
        let mut why = "no bearer token and no client certificate that is trusted here".to_owned();
        if let Some(certificate) = peer.certificate.as_deref() {
            let trust = self.trust.as_ref().and_then(ApiServerTrust::current);
            if let Some(identity) = trust.as_ref().and_then(|trust| trust.passed_on(certificate, headers)) {
                return Ok(identity);
            }
            let theirs = trust.as_ref().and_then(|trust| trust.clients());
            let file = self.client_file.as_ref().map(AuthorityFile::current);
            for authority in self.clients.iter().chain(&file).chain(theirs) {
                match authority.verify(certificate) {
                    Ok(subject) if !subject.common_name.is_empty() => return Ok(of_certificate(subject)),
                    Ok(_) => "the client certificate has no common name".clone_into(&mut why),
                    Err(error) => why = error.to_string(),
                }
            }
        }
        match bearer(headers) {
            Bearer::None => Err(Denied::Unauthenticated(why)),
            Bearer::Ambiguous => Err(Denied::Unauthenticated(
                "more than one Authorization header, or one that is no bearer token".into(),
            )),
            Bearer::Token(token) => self.by_token(token).await,
        }
    }

    async fn by_token(&self, token: &str) -> Result<Identity, Denied> {
        if let Some(identity) = self.static_tokens.as_ref().and_then(|tokens| tokens.identity(token)) {
            return Ok(identity);
        }
        match &self.reviews {
            Some(reviews) => reviews.identity(token).await,
            None => Err(Denied::Unauthenticated("the bearer token is not known here".to_owned())),
        }
    }
}

fn of_certificate(subject: Subject) -> Identity {
    Identity { user: subject.common_name, groups: subject.organizations, ..Identity::default() }.authenticated()
}

enum Bearer<'a> {
    None,
    Token(&'a str),
    Ambiguous,
}

fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut given = headers.get_all(AUTHORIZATION).into_iter();
    let Some(first) = given.next() else { return Bearer::None };
    let token = first.to_str().ok().and_then(|text| text.trim().split_once(' ')).and_then(|(scheme, token)| {
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
    });
    match token {
        Some(token) if given.next().is_none() => Bearer::Token(token),
        _ => Bearer::Ambiguous,
    }
}
