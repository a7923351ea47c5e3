//! Who may speak to the server: whoever knows the token, and names the node by an address of its own.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::failure::Failed;
use crate::node::FailureKind;

/// Who may speak to the server.
#[derive(Clone)]
pub struct Access {
    /// What every request must bring along.
    token: Arc<str>,
    /// Where the server listens.
    listen: SocketAddr,
}

impl std::fmt::Debug for Access {
    /// Never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// The access to a server that listens there, for those who know the token.
    ///
    /// # Panics
    /// When the token is empty: everybody would know it.
    pub fn new(token: &str, listen: SocketAddr) -> Self {
        assert!(!token.is_empty(), "a token is a secret");
        Self {
            token: token.into(),
            listen,
        }
    }

    /// Whether a request for this host can be meant for this server.
    ///
    /// A page in a browser on this machine can make its own name stand for 127.0.0.1 and then speak to the node as if
    /// it were the page's server. It cannot make its name an address: requests that name an address, or
    /// `localhost`, come from somebody who meant it.
    fn is_meant(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            // Before a port, the colons of an IPv6 address stand in brackets.
            Some((name, port))
                if port.bytes().all(|byte| byte.is_ascii_digit())
                    && (name.ends_with(']') || !name.contains(':')) =>
            {
                name
            }
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if bare.eq_ignore_ascii_case("localhost") {
            return true;
        }
        bare.parse().is_ok_and(|address: IpAddr| {
            let listens_everywhere = self.listen.ip().is_unspecified();
            address.is_loopback() || listens_everywhere || address == self.listen.ip()
        })
    }

    /// Whether these headers bring the token along.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.as_bytes().split_at_checked(BEARER.len()));
        given.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(BEARER) && is_equal(token, self.token.as_bytes())
        })
    }
}

const BEARER: &[u8] = b"Bearer ";

/// Whether the bytes are equal, in a time that depends on their number alone.
fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let pairs = left.iter().zip(right);
    let difference = pairs.fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    left.len() == right.len() && difference == 0
}

/// Lets through what is meant for this server and, but for what everybody may ask, brings the token along.
pub(super) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).map(|host| host.to_str());
    let is_meant = match host {
        Some(Ok(host)) => access.is_meant(host),
        Some(Err(_)) => false,
        // Who speaks without naming a host is no browser.
        None => true,
    };
    if !is_meant {
        return Failed::new(
            StatusCode::FORBIDDEN,
            FailureKind::NotAllowed,
            "the request names a host that this node is not: name it by its address, or as localhost",
        )
        .into_response();
    }
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    if !is_open && !access.is_known(headers) {
        return Failed::new(
            StatusCode::UNAUTHORIZED,
            FailureKind::NotAllowed,
            "the token is missing or is not this node's: nothing was done; the token stands in the file \
             \"token\" of the node's data folder",
        )
        .into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str) -> Access {
        Access::new("secret", listen.parse().expect("an address"))
    }

    #[test]
    fn requests_that_name_another_host_are_not_meant() {
        for (listen, host, is_meant) in [
            ("127.0.0.1:4171", "127.0.0.1:4171", true),
            ("127.0.0.1:4171", "127.0.0.1", true),
            ("127.0.0.1:4171", "localhost:4171", true),
            ("127.0.0.1:4171", "LocalHost", true),
            ("127.0.0.1:4171", "[::1]:4171", true),
            ("127.0.0.1:4171", "::1", true),
            ("127.0.0.1:4171", "evil.example", false),
            ("127.0.0.1:4171", "evil.example:4171", false),
            ("127.0.0.1:4171", "localhost.evil.example", false),
            ("127.0.0.1:4171", "192.168.1.7:4171", false),
            ("127.0.0.1:4171", "", false),
            ("192.168.1.7:4171", "192.168.1.7:4171", true),
            ("0.0.0.0:4171", "192.168.1.7:4171", true),
            ("0.0.0.0:4171", "evil.example:4171", false),
        ] {
            assert_eq!(access(listen).is_meant(host), is_meant, "{listen} {host}");
        }
    }

    #[test]
    fn the_token_is_the_whole_token() {
        let access = access("127.0.0.1:4171");
        for (value, is_known) in [
            (Some("Bearer secret"), true),
            (Some("bearer secret"), true),
            (Some("Bearer secre"), false),
            (Some("Bearer secret2"), false),
            (Some("Bearer "), false),
            (Some("Basic secret"), false),
            (Some("secret"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().expect("a value"));
            }
            assert_eq!(access.is_known(&headers), is_known, "{value:?}");
        }
    }
}
