//! Routes, access, statuses and limits.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use node::application::FILE_BYTES_MAX;
use node::node::{Failure, FailureKind};
use serde_json::{Value, json};

use super::sample;
use super::support::{Server, TOKEN};

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request as it stands, and reads the response to its end.
fn send(server: &Server, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    // A server that has heard enough may answer and close before all of it is written.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Response {
        status: status.expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn call(server: &Server, line: &str, headers: &[&str], body: &str) -> Response {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        let _ = write!(request, "{header}\r\n");
    }
    if !body.is_empty() {
        let _ = write!(request, "Content-Length: {}\r\n", body.len());
    }
    let _ = write!(request, "\r\n{body}");
    send(server, request.as_bytes())
}

/// A call by somebody who knows the token.
fn known(server: &Server, line: &str, body: &str) -> Response {
    let token = format!("Authorization: Bearer {TOKEN}");
    call(server, line, &["Host: localhost", &token], body)
}

#[test]
fn every_route_is_one_request() {
    let server = Server::start(sample::answer);
    for (line, asked) in [
        ("GET /v1/apps", "Applications"),
        ("GET /v1/apps/intrusion", "Application(\"intrusion\")"),
        ("GET /v1/apps/intrusion/why", "Why(\"intrusion\")"),
        (
            "GET /v1/apps/intrusion/events",
            "Events(Some(\"intrusion\"))",
        ),
        ("GET /v1/events", "Events(None)"),
        ("DELETE /v1/apps/intrusion", "Stop(\"intrusion\")"),
        ("GET /v1/streams", "Streams"),
        ("GET /v1/streams/lab%2Fflows", "Stream(\"lab/flows\")"),
        (
            "GET /v1/streams/intrusion%2Fsyn.late",
            "Stream(\"intrusion/syn.late\")",
        ),
        ("DELETE /v1/streams/lab%2Fflows", "Unpublish(\"lab/flows\")"),
        ("GET /v1/nodes", "Nodes"),
        ("GET /v1/node", "Info"),
        ("POST /v1/node/stop", "stop"),
        ("GET /v1/dht", "stats"),
        ("GET /v1/dht/intrusion", "Lookup(\"intrusion\")"),
        ("GET /metrics", "measure"),
        ("GET /readyz", "ready"),
    ] {
        let response = known(&server, line, "");
        assert_eq!(response.status, 200, "{line}: {}", response.body);
        assert_eq!(server.asked(), [asked], "{line}");
        let is_json = response
            .head
            .to_lowercase()
            .contains("content-type: application/json");
        assert_eq!(is_json, line.contains("/v1/"), "{line}: {}", response.head);
    }
    let body =
        json!({ "file": "app.toml", "text": "name = \"a\"", "folder": "/f", "spread": true });
    for (line, is_trial) in [("POST /v1/apps", false), ("POST /v1/plan", true)] {
        let response = known(&server, line, &body.to_string());
        assert_eq!(response.status, 200, "{}", response.body);
        assert_eq!(response.json()["predicted_delay_ms"], 42.0);
        let file = "File { name: \"app.toml\", text: \"name = \\\"a\\\"\", folder: \"/f\" }";
        assert_eq!(
            server.asked(),
            [format!("apply {file} spread=true trial={is_trial}")]
        );
    }
    for (line, body, asked) in [
        (
            "POST /v1/apps/intrusion/move",
            json!({ "operator": "syn", "to": "n2" }),
            "Move { application: \"intrusion\", operator: \"syn\", to: Some(\"n2\") }",
        ),
        (
            "POST /v1/apps/n1%3Aintrusion/move",
            json!({ "operator": "syn" }),
            "Move { application: \"n1:intrusion\", operator: \"syn\", to: None }",
        ),
        ("POST /v1/node/drain", json!({}), "Drain(None)"),
        (
            "POST /v1/node/drain",
            json!({ "host": "n1" }),
            "Drain(Some(\"n1\"))",
        ),
    ] {
        let response = known(&server, line, &body.to_string());
        assert_eq!(response.status, 200, "{line}: {}", response.body);
        assert_eq!(server.asked(), [asked], "{line}");
    }
    let body = json!({ "name": "lab/flows", "file": "s.toml", "text": "", "folder": "/f" });
    let response = known(&server, "POST /v1/streams", &body.to_string());
    assert_eq!(response.json()["columns"][0][0], "state");
    let file = "File { name: \"s.toml\", text: \"\", folder: \"/f\" }";
    assert_eq!(server.asked(), [format!("publish lab/flows {file}")]);
}

#[test]
fn only_whoever_knows_the_token_is_heard() {
    let server = Server::start(sample::answer);
    for authorization in [
        "X-Nothing: 1".to_owned(),
        "Authorization: Bearer".to_owned(),
        format!("Authorization: Bearer {}", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}0"),
        format!("Authorization: Basic {TOKEN}"),
    ] {
        for line in [
            "GET /v1/apps",
            "POST /v1/node/stop",
            "GET /metrics",
            "GET /v1/none",
            "GET /",
        ] {
            let response = call(&server, line, &["Host: localhost", &authorization], "");
            assert_eq!(response.status, 401, "{line} {authorization}");
            assert!(
                response
                    .head
                    .to_lowercase()
                    .contains("www-authenticate: bearer")
            );
            assert_eq!(response.json()["kind"], "not_allowed");
        }
    }
    assert_eq!(
        server.asked(),
        Vec::<String>::new(),
        "the node hears of none of it"
    );
    for line in ["GET /healthz", "GET /readyz"] {
        assert_eq!(
            call(&server, line, &["Host: localhost"], "").status,
            200,
            "{line}"
        );
    }
}

#[test]
fn a_page_that_makes_its_name_stand_for_this_machine_is_not_heard() {
    let server = Server::start(sample::answer);
    let token = format!("Authorization: Bearer {TOKEN}");
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:4171", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
    ] {
        for line in ["GET /v1/apps", "GET /healthz"] {
            let host = format!("Host: {host}");
            let response = call(&server, line, &[&host, &token], "");
            assert_eq!(response.status, status, "{host}");
        }
    }
}

#[test]
fn failures_have_the_status_of_their_kind() {
    for (kind, status) in [
        (FailureKind::Failed, 500),
        (FailureKind::Invalid, 400),
        (FailureKind::Refused, 409),
        (FailureKind::NotFound, 404),
        (FailureKind::Unreachable, 504),
        (FailureKind::NotAllowed, 403),
    ] {
        let server = Server::start(move |request| {
            if let node::api::Request::Command { answer, .. } = request {
                drop(answer.send(Err(Failure::new(kind, "what happened"))));
            }
        });
        let response = known(&server, "GET /v1/apps", "");
        assert_eq!(response.status, status);
        let told: Failure = serde_json::from_str(&response.body).expect("a failure");
        assert_eq!(told, Failure::new(kind, "what happened"));
    }
}

#[test]
fn what_is_not_understood_is_told_and_not_asked() {
    let server = Server::start(sample::answer);
    let long = format!("GET /v1/apps/{}", "a".repeat(600));
    for (line, body, status) in [
        ("GET /v2/apps", "", 404),
        ("GET /v1/streams/lab/flows", "", 404),
        ("DELETE /v1/apps", "", 405),
        ("POST /v1/apps", "", 400),
        ("POST /v1/apps", "name = \"a\"", 400),
        ("POST /v1/apps", "{\"file\":\"a\"}", 400),
        (
            "POST /v1/apps",
            "{\"file\":\"a\",\"text\":\"\",\"colour\":1}",
            400,
        ),
        ("GET /v1/apps/%ff", "", 400),
        (long.as_str(), "", 400),
    ] {
        let response = known(&server, line, body);
        assert_eq!(response.status, status, "{line} {body}: {}", response.body);
        let told: Failure = serde_json::from_str(&response.body).expect("a failure");
        assert!(!told.message.is_empty());
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn bodies_and_files_have_a_largest_size() {
    let server = Server::start(sample::answer);
    let body = |size: usize| json!({ "file": "a", "text": "x".repeat(size) }).to_string();
    let response = known(&server, "POST /v1/plan", &body(FILE_BYTES_MAX));
    assert_eq!(response.status, 200);
    let response = known(&server, "POST /v1/plan", &body(FILE_BYTES_MAX + 1));
    assert_eq!(response.status, 413, "{}", response.body);
    let too_large = format!(
        "POST /v1/plan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {}\r\n\r\n",
        3 * FILE_BYTES_MAX
    );
    assert_eq!(
        send(&server, too_large.as_bytes()).status,
        413,
        "without reading it"
    );
    assert_eq!(server.asked().len(), 1);
}

/// As many requests as wait for the node are held; the next one is told to come back.
#[test]
fn a_node_that_does_not_answer_is_not_asked_without_end() {
    let (mut server, requests) = Server::silent();
    let line = format!(
        "GET /v1/apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    // Some more than it takes: one that comes while it is asked below is refused in its place.
    let waiting: Vec<TcpStream> = (0..72)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).expect("it listens");
            stream.write_all(line.as_bytes()).expect("it reads");
            stream
        })
        .collect();
    // When all of them have arrived is not known: until then, there is no such path.
    let mut response = known(&server, "GET /v1/none", "");
    for _ in 0..10_000 {
        if response.status == 503 {
            break;
        }
        response = known(&server, "GET /v1/none", "");
    }
    assert_eq!(response.status, 503, "{}", response.body);
    assert_eq!(
        known(&server, "GET /healthz", "").status,
        200,
        "the process lives"
    );
    assert!(response.body.contains("try again"), "{}", response.body);
    drop(requests);
    let answers = waiting.into_iter().map(|mut stream| {
        let mut bytes = [0; 12];
        stream.read_exact(&mut bytes).expect("an answer");
        bytes
    });
    let (down, refused): (Vec<_>, Vec<_>) = answers.partition(|it| it == b"HTTP/1.1 504");
    assert_eq!(down.len(), 64, "the node has gone down");
    assert!(refused.iter().all(|it| it == b"HTTP/1.1 503"));
    server.stop();
}

#[test]
fn what_is_measured_is_told_to_prometheus() {
    let server = Server::start(sample::answer);
    let response = known(&server, "GET /metrics", "");
    assert!(
        response.head.contains("application/openmetrics-text"),
        "{}",
        response.head
    );
    let text = &response.body;
    for line in [
        "synergy_node{name=\"n1\",node=",
        "synergy_hosts_known 3",
        "synergy_cores_taken 0.5",
        "synergy_node_refusals_total{reason=\"garbage\"} 4",
        "synergy_queries_total{answered=\"local\"} 0",
        "synergy_results_total{application=\"intrusion\"} 40",
        "synergy_results_misses_total{application=\"intrusion\"} 1",
        "synergy_target_seconds{application=\"intrusion\"} 0.25",
        "synergy_delay_seconds{application=\"intrusion\",quantile=\"0.99\"} 0.03",
        "synergy_recent_delay_seconds{application=\"intrusion\",quantile=\"0.999\"} 0.02",
        "synergy_component_rows_in_total{application=\"intrusion\",component=\"syn\"} 100",
        "synergy_component_drops_total{application=\"intrusion\",component=\"syn\"} 3",
        "synergy_component_batches_total{application=\"intrusion\",component=\"syn\"} 9",
        "synergy_component_clamped_pulls_total{application=\"intrusion\",component=\"syn\"} 7",
        "synergy_component_dropped_batches_total{application=\"intrusion\",component=\"syn\",reason=\"duplicate\"} 4",
        "synergy_component_dropped_batches_total{application=\"intrusion\",component=\"syn\",reason=\"gap\"} 5",
        "synergy_component_dropped_batches_total{application=\"intrusion\",component=\"syn\",reason=\"refused\"} 6",
        "synergy_component_queueing_seconds_total{application=\"intrusion\",component=\"syn\"} 5.0",
        "synergy_component_execution_seconds_total{application=\"intrusion\",component=\"syn\"} 0.25",
        "synergy_component_recent_queueing_seconds{application=\"intrusion\",component=\"syn\",quantile=\"0.999\"} 0.008",
        "synergy_component_recent_execution_seconds{application=\"intrusion\",component=\"syn\",quantile=\"0.5\"} 0.0005",
        "synergy_component_slack_seconds{application=\"intrusion\",component=\"syn\"} 0.2",
        "synergy_components_untold 0",
        "synergy_process_resident_bytes 1048576",
        "synergy_process_cpu_seconds_total 0.5",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_node_that_is_not_ready_says_what_is_missing() {
    let server = Server::start(|request| {
        if let node::api::Request::Ready { answer } = request {
            drop(answer.send(Err("no peer of --join answers yet".to_owned())));
        }
    });
    let response = call(&server, "GET /readyz", &["Host: localhost"], "");
    assert_eq!(response.status, 503);
    assert_eq!(response.json()["message"], "no peer of --join answers yet");
    assert_eq!(
        call(&server, "GET /healthz", &["Host: localhost"], "").status,
        200
    );
}
