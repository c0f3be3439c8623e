//! The wiring of the agent's secure port: configuration → who is let in, and which certificate is shown.
//!
//! In: an [`AgentConfig`] and the plain server. Out: a server beside it, or why there is none. It decides nothing by itself.

use std::sync::Arc;

use kube::Client;

use super::AgentError;
use crate::auth::certificates::ServingCert;
use crate::auth::chain::AuthorityFile;
use crate::auth::static_tokens::StaticTokens;
use crate::auth::{Authenticator, Authorizer};
use crate::config::AgentConfig;
use crate::view::http::{Gate, HttpServer, SecureServer};

/// The secure port, if one is wanted. It must be called within a runtime; `api_server` is asked about tokens and rights.
///
/// # Errors
/// [`AgentError`], which says what to give or to mend.
pub fn open(
    config: &AgentConfig,
    api_server: Option<&Client>,
    node: &str,
    plain: &HttpServer,
) -> Result<Option<SecureServer>, AgentError> {
    let Some(address) = config.secure_listen else { return Ok(None) };
    let secure = |why: &dyn std::fmt::Display| AgentError::Secure(why.to_string());
    let mut authenticator = Authenticator::new();
    if let Some(path) = &config.client_ca_file {
        let clients =
            AuthorityFile::open(path.clone()).map_err(|error| secure(&format_args!("--client-ca-file: {error}")))?;
        authenticator = authenticator.with_client_authority_file(clients);
    }
    if let Some(path) = &config.static_token_file {
        let tokens = StaticTokens::from_file(path.clone())
            .map_err(|error| secure(&format_args!("--static-token-file: {error}")))?;
        authenticator = authenticator.with_static_tokens(tokens);
    }
    let authorizer = match api_server {
        Some(client) => {
            // Without an audience: scrapers have the tokens that they use for the kubelet's port.
            authenticator = authenticator.with_token_reviews(client.clone(), &[]);
            Authorizer::by_api_server(client.clone())
        }
        None => Authorizer::known_may_read(),
    };
    if !authenticator.knows_anybody() {
        return Err(secure(
            &"nobody could be let in at --secure-listen; give --kubeconfig, --client-ca-file or --static-token-file",
        ));
    }
    let certificate = match &config.tls_files {
        Some((chain, key)) => ServingCert::from_files(chain.clone(), key.clone()),
        None => {
            tracing::info!("the secure port shows a certificate that nobody signed; give --tls-cert-file for another");
            ServingCert::self_signed(&[node.to_owned(), "localhost".to_owned(), address.ip().to_string()])
        }
    };
    let certificate = certificate.map_err(|error| secure(&error))?;
    let gate = Gate { authenticator, authorizer, node: Arc::from(node) };
    let server = plain.beside(address, certificate, gate)?;
    tracing::info!(address = %server.local_addr(), "the secure port is open: metrics at https://{}/metrics", server.local_addr());
    Ok(Some(server))
}
