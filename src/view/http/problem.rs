//! Errors as RFC 9457 problem documents.

use crate::view::Answer;

/// A problem document: what is wrong, and in `detail` what the client can do about it.
#[must_use]
pub fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let document = serde_json::json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
    let mut body = document.to_string().into_bytes();
    body.push(b'\n');
    Answer { status, content_type: "application/problem+json", body }
}
