//! Failures as HTTP tells them.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::node::{Failure, FailureKind};

/// Why a request was not carried out, and the status that says so.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) failure: Box<Failure>,
}

impl Failed {
    pub(super) fn new(status: StatusCode, kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            status,
            failure: Box::new(Failure::new(kind, message)),
        }
    }

    /// The request is not one that the server understands.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, FailureKind::Invalid, message)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            FailureKind::Invalid => StatusCode::BAD_REQUEST,
            FailureKind::Refused => StatusCode::CONFLICT,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Unreachable => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::NotAllowed => StatusCode::FORBIDDEN,
        };
        Self {
            status,
            failure: Box::new(failure),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.failure);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// An answer in JSON, which nobody on the way is to keep.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (status, headers, bytes).into_response()
        }
        // What the node answers to itself has no words in JSON; nobody outside asks for it.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
