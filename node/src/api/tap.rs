//! Taps as server-sent events.
//!
//! Rows are events without a name, a row on each line of data. `missing` says how many rows were not shown, `ended`
//! why no more will come. Where nothing happens, a comment says now and then that the tap lives.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use super::gate::Tapped;

/// How long a tap may say nothing.
///
/// Unit: time. Source: guess; below the time after which clients and proxies give a connection up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The response that shows what comes, until it ends, the client goes or the server stops.
pub(super) fn response(
    rows: mpsc::Receiver<Tapped>,
    stopped: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let tap = Tap {
        rows,
        stopped,
        has_ended: false,
        _permit: permit,
    };
    let events = stream::unfold(tap, |mut tap| async move {
        let event = tap.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), tap))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

struct Tap {
    rows: mpsc::Receiver<Tapped>,
    stopped: watch::Receiver<bool>,
    has_ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Tap {
    async fn next(&mut self) -> Option<String> {
        if self.has_ended {
            return None;
        }
        let received = tokio::select! {
            received = timeout(SILENCE_MAX, self.rows.recv()) => received,
            _ = self.stopped.wait_for(|is_stopping| *is_stopping) => {
                Ok(Some(Tapped::Ended("the node goes down".to_owned())))
            }
        };
        match received {
            Ok(tapped) => {
                self.has_ended = matches!(tapped, Some(Tapped::Ended(_)));
                tapped.as_ref().map(event)
            }
            Err(_) => Some(":\n\n".to_owned()),
        }
    }
}

/// An event as its bytes.
fn event(tapped: &Tapped) -> String {
    let mut event = String::new();
    // Writing into a string does not fail.
    let _ = match tapped {
        Tapped::Rows(rows) => {
            for row in rows.lines() {
                let _ = writeln!(event, "data: {row}");
            }
            Ok(())
        }
        Tapped::Missing(count) => writeln!(event, "event: missing\ndata: {count}"),
        Tapped::Ended(reason) => {
            let reason = reason.replace(['\r', '\n'], " ");
            writeln!(event, "event: ended\ndata: {reason}")
        }
    };
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_cannot_be_told_apart_by_what_is_in_them() {
        for (tapped, expected) in [
            (
                Tapped::Rows("{\"a\":1}\n{\"a\":2}\n".to_owned()),
                "data: {\"a\":1}\ndata: {\"a\":2}\n\n",
            ),
            (Tapped::Missing(7), "event: missing\ndata: 7\n\n"),
            (
                Tapped::Ended("no\n\nevent: more".to_owned()),
                "event: ended\ndata: no  event: more\n\n",
            ),
        ] {
            assert_eq!(event(&tapped), expected);
        }
    }
}
