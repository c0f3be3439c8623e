//! What went wrong, as Kubernetes says it: the `Status` object that `kubectl` and client libraries understand.
//!
//! In: a code, the reason's word and a sentence that says what to do. Out: JSON. It decides nothing. Next: [`super::answer`].

use serde::Serialize;

use super::answer::ApiAnswer;

/// A failure, as `v1` `Status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct Status {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    /// What is wrong and what to do next, for people.
    pub message: String,
    /// One word for programs, such as `NotFound`.
    pub reason: &'static str,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// HTTP status.
    pub code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Empty {}

/// What a failure is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource's plural name, which is what Kubernetes has in this field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Single causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// One word for programs.
    pub reason: String,
    /// A sentence, or a value that a program reads.
    pub message: String,
    /// The field that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message,
            reason,
            details: None,
            code,
        }
    }

    /// 400: the request cannot be understood; the message says how to write it.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// 401: nobody is known by what was presented.
    #[must_use]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "Unauthorized", message.into())
    }

    /// 403: known, and not allowed.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "Forbidden", message.into())
    }

    /// 404: no such path.
    #[must_use]
    pub fn no_such_path(path: &str) -> Self {
        Self::new(404, "NotFound", format!("the server could not find the path {path}; see /apis for what there is"))
    }

    /// 404: no such object, in the words of `kubectl`.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{resource}.{group} \"{name}\" not found");
        Self::new(404, "NotFound", message).about(group, resource, name)
    }

    /// 404 with own words.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(404, "NotFound", message.into())
    }

    /// 405: the resource is there, and not for this method.
    #[must_use]
    pub fn method_not_allowed(method: &str, allowed: &str) -> Self {
        let message = format!("{method} is not supported here; this resource is asked with {allowed}");
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 406: none of the accepted media types is spoken here.
    #[must_use]
    pub fn not_acceptable(spoken: &str) -> Self {
        let message = format!("only the following media types are accepted: {spoken}");
        Self::new(406, "NotAcceptable", message)
    }

    /// 409: the state is another one than the request takes for granted.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "Conflict", message.into())
    }

    /// 410: the resource version is too old to go on from; list again.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// 413: the body is too large.
    #[must_use]
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message.into())
    }

    /// 415: the body is of a kind that is not read here.
    #[must_use]
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message.into())
    }

    /// 422: understood, and not valid.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message.into())
    }

    /// 429: too much at once; `retry_after_seconds` tells when to try again.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::new(429, "TooManyRequests", message.into());
        status.details_mut().retry_after_seconds = Some(retry_after_seconds);
        status
    }

    /// 500: this program's fault.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message.into())
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message.into())
    }

    /// 504: somebody that was asked did not answer in time.
    #[must_use]
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message.into())
    }

    /// The same, about this object.
    #[must_use]
    pub fn about(mut self, group: &str, resource: &str, name: &str) -> Self {
        let details = self.details_mut();
        group.clone_into(&mut details.group);
        resource.clone_into(&mut details.kind);
        name.clone_into(&mut details.name);
        self
    }

    /// The same, with one more cause.
    #[must_use]
    pub fn because(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() };
        self.details_mut().causes.push(cause);
        self
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // A struct of strings and numbers: writing it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The answer to send.
    #[must_use]
    pub fn into_answer(self) -> ApiAnswer {
        let mut answer = ApiAnswer::json(self.code, self.json());
        answer.retry_after_seconds = self.details.and_then(|details| details.retry_after_seconds);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_object_is_told_as_kubectl_expects_it() {
        let status = Status::not_found("metrics.k8s.io", "pods", "shop/web-1");
        assert_eq!(
            String::from_utf8(status.json()).unwrap(),
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
             \"message\":\"pods.metrics.k8s.io \\\"shop/web-1\\\" not found\",\"reason\":\"NotFound\",\
             \"details\":{\"name\":\"shop/web-1\",\"group\":\"metrics.k8s.io\",\"kind\":\"pods\"},\"code\":404}"
        );
    }

    #[test]
    fn too_many_requests_say_when_to_come_back_in_the_body_and_beside_it() {
        let answer = Status::too_many_requests("too many watches", 7).into_answer();
        assert_eq!((answer.status, answer.retry_after_seconds), (429, Some(7)));
    }

    #[test]
    fn every_code_has_the_reason_that_client_libraries_look_for() {
        let all = [
            Status::bad_request(""),
            Status::unauthorized(""),
            Status::forbidden(""),
            Status::unknown(""),
            Status::method_not_allowed("", ""),
            Status::not_acceptable(""),
            Status::conflict(""),
            Status::expired(""),
            Status::too_large(""),
            Status::unsupported_media_type(""),
            Status::invalid(""),
            Status::internal(""),
            Status::unavailable(""),
            Status::timeout(""),
        ];
        let told: Vec<_> = all.iter().map(|status| (status.code, status.reason)).collect();
        assert_eq!(
            told,
            [
                (400, "BadRequest"),
                (401, "Unauthorized"),
                (403, "Forbidden"),
                (404, "NotFound"),
                (405, "MethodNotAllowed"),
                (406, "NotAcceptable"),
                (409, "Conflict"),
                (410, "Expired"),
                (413, "RequestEntityTooLarge"),
                (415, "UnsupportedMediaType"),
                (422, "Invalid"),
                (500, "InternalError"),
                (503, "ServiceUnavailable"),
                (504, "Timeout"),
            ]
        );
    }
}
