//! Taps, from the node to the terminal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use node::api::{Request, Tapped};
use node::client::Event;
use node::node::FailureKind;
use tokio::sync::mpsc;

use super::support::{Server, TOKEN, nowhere, text};

/// A node at which one stream can be tapped, and where what it yields is put in.
fn tapped(rows: Vec<Tapped>, stays_open: bool) -> Server {
    let mut open = Vec::new();
    Server::start(move |request| {
        if let Request::Tap { answer, .. } = request {
            let (sender, receiver) = mpsc::channel(64);
            for row in &rows {
                sender.try_send(row.clone()).expect("there is room");
            }
            if stays_open {
                open.push(sender);
            }
            drop(answer.send(Ok(receiver)));
        }
    })
}

fn rows(count: usize) -> Vec<Tapped> {
    (0..count)
        .map(|row| Tapped::Rows(format!("{{\"a\":{row}}}\n")))
        .collect()
}

#[test]
fn a_tap_yields_rows_and_says_what_it_lacks() {
    let server = tapped(
        vec![
            Tapped::Rows("{\"a\":1}\n{\"a\":2}\n".to_owned()),
            Tapped::Missing(7),
            Tapped::Ended("finished".to_owned()),
        ],
        true,
    );
    let mut events = server.client().tap("lab/flows", None).expect("it is there");
    for expected in [
        Event::Row("{\"a\":1}".to_owned()),
        Event::Row("{\"a\":2}".to_owned()),
        Event::Missing(7),
        Event::Ended("finished".to_owned()),
    ] {
        assert_eq!(events.next_event(), Ok(Some(expected)));
    }
    assert_eq!(server.asked(), ["tap lab/flows"]);
}

#[test]
fn a_tap_ends_with_its_time() {
    let server = tapped(rows(1), true);
    let mut events = server
        .client()
        .tap("lab/flows", Some(Duration::from_millis(300)))
        .expect("it is there");
    assert_eq!(
        events.next_event(),
        Ok(Some(Event::Row("{\"a\":0}".to_owned())))
    );
    assert_eq!(events.next_event(), Ok(None));
}

#[test]
fn taps_end_when_the_server_stops() {
    let mut server = tapped(rows(1), true);
    let mut events = server.client().tap("lab/flows", None).expect("it is there");
    assert!(matches!(events.next_event(), Ok(Some(Event::Row(_)))));
    server.stop();
    assert_eq!(
        events.next_event(),
        Ok(Some(Event::Ended("the node goes down".to_owned())))
    );
}

#[test]
fn so_many_taps_are_open_and_no_more() {
    let server = tapped(Vec::new(), true);
    let client = server.client();
    let mut taps: Vec<_> = (0..32)
        .map(|_| client.tap("lab/flows", None).expect("there is room"))
        .collect();
    let failure = client
        .tap("lab/flows", None)
        .expect_err("there is none left");
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("32 taps"), "{}", failure.message);
    // One that ends makes room, as soon as the server has seen it.
    taps.pop();
    drop(taps);
    let mut tries = 0;
    while client.tap("lab/flows", None).is_err() {
        tries += 1;
        assert!(tries < 10_000, "taps that have ended are still counted");
    }
}

#[test]
fn tap_prints_rows_and_nothing_else() {
    let mut all = rows(3);
    all.insert(1, Tapped::Missing(7));
    all.push(Tapped::Ended("all sources have ended".to_owned()));
    let server = tapped(all, false);
    let output = server.synergy(&["tap", "lab/flows"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "{\"a\":0}\n{\"a\":1}\n{\"a\":2}\n");
    let said = text(&output.stderr);
    assert!(said.contains("7 rows are not shown"), "{said}");
    assert!(
        said.contains("the stream has ended: all sources have ended"),
        "{said}"
    );
    let output = server.synergy(&["--quiet", "stream", "tap", "lab/flows"]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn tap_ends_at_its_limit_and_with_its_time() {
    let server = tapped(rows(10), true);
    let output = server.synergy(&["tap", "lab/flows", "--limit", "2"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "{\"a\":0}\n{\"a\":1}\n");
    let output = server.synergy(&["tap", "lab/flows", "--for", "300ms"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 10);
}

#[test]
fn a_tap_that_breaks_off_is_a_failure() {
    let server = tapped(rows(1), false);
    let output = server.synergy(&["tap", "lab/flows"]);
    assert_eq!(
        output.status.code(),
        Some(5),
        "the node said no word of an end"
    );
    assert_eq!(text(&output.stdout), "{\"a\":0}\n");
    assert!(
        text(&output.stderr).contains("broke off"),
        "{}",
        text(&output.stderr)
    );
}

/// A tap that shows its first row and then waits.
fn waiting(server: &Server) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_synergy"))
        .args(["tap", "lab/flows"])
        .env("SYNERGY_NODE", server.address.to_string())
        .env("SYNERGY_TOKEN", TOKEN)
        .env("SYNERGY_DATA_DIR", nowhere())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is there");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a row");
    assert_eq!(line, "{\"a\":0}\n");
    (child, stdout)
}

#[test]
fn a_person_ends_a_tap_and_that_is_no_failure() {
    let server = tapped(rows(1), true);
    for signal in ["-INT", "-TERM"] {
        let (mut child, _stdout) = waiting(&server);
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("every system has it");
        assert!(killed.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{signal}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_a_tap_quietly() {
    let (mut sender, mut open) = (None, Vec::new());
    let (told, tell) = std::sync::mpsc::channel();
    let server = Server::start(move |request| {
        if let Request::Tap { answer, .. } = request {
            let (rows, receiver) = mpsc::channel(64);
            rows.try_send(Tapped::Rows("{\"a\":0}\n".to_owned()))
                .expect("room");
            drop(told.send(rows.clone()));
            open.push(rows);
            drop(answer.send(Ok(receiver)));
        }
    });
    let (mut child, stdout) = waiting(&server);
    drop(stdout);
    let rows: &mut mpsc::Sender<Tapped> = sender.insert(tell.recv().expect("it was tapped"));
    // As a stream does: rows go on until whoever reads them has noticed.
    let status = loop {
        drop(rows.try_send(Tapped::Rows("{\"a\":1}\n".to_owned())));
        if let Some(status) = child.try_wait().expect("its status") {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}
