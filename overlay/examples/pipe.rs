//! How fast frames go from one process to another over a data stream, encrypted, and over plain TCP in turn.
//!
//!     cargo run --release -p synergy-overlay --example pipe -- [SECONDS]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Instant, Rng};
use overlay::Identity;
use overlay::net::{Config, Event, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A batch of 1,024 rows of 100 bytes, and one such row.
const SIZES: [usize; 2] = [1_024 * 100, 100];
const ROUNDS: usize = 3;

struct Timer(tokio::time::Instant);

impl Clock for Timer {
    fn now(&self) -> Instant {
        Instant::from_nanos(model::convert::nanos(self.0.elapsed()))
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

#[expect(clippy::print_stdout, reason = "it is run to be read")]
#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("receive") {
        return receive().await;
    }
    let seconds = first.map_or(1.0, |text| text.parse().expect("seconds"));
    let time = Duration::from_secs_f64(seconds);
    let program = std::env::current_exe().expect("this program");
    let mut receiver = Command::new(program)
        .arg("receive")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program, again");
    let mut lines = BufReader::new(receiver.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let (join, plain) = (line(), line());
    let (network, mut events) = start(1, vec![join]).await;
    let to = loop {
        if let Some(Event::Seen { summary, .. }) = events.recv().await {
            break summary.node;
        }
    };
    println!("bytes a frame; frames/s, MiB/s encrypted; frames/s, MiB/s plain TCP; ratio");
    for size in SIZES {
        for _ in 0..ROUNDS {
            let encrypted = encrypted(&network, to, size, time).await;
            let plain = over_tcp(&plain, size, time).await;
            let rate =
                |frames: f64| frames * model::convert::count_to_f64(size as u64) / 1_048_576.0;
            println!(
                "{size}; {encrypted:.0}, {:.0}; {plain:.0}, {:.0}; {:.2}",
                rate(encrypted),
                rate(plain),
                encrypted / plain
            );
        }
    }
    receiver.kill().expect("it runs");
    receiver.wait().expect("it ends");
}

async fn start(number: u8, join: Vec<String>) -> (Network, mpsc::Receiver<Event>) {
    let identity = Identity::from_secret([number; 32]);
    let config = Config::on_loopback("pipe", &format!("host-{number}"), identity, join);
    let clock = Arc::new(Timer(tokio::time::Instant::now()));
    overlay::net::start(config, clock, Rng::from_seed(u64::from(number)))
        .await
        .expect("it starts")
}

/// Frames per second, counted when the receiver has confirmed the last one.
async fn encrypted(network: &Network, to: model::NodeId, size: usize, time: Duration) -> f64 {
    let (mut sender, mut receiver) = network.open(to, Vec::new()).await.expect("a stream");
    let frame = vec![7; size];
    let start = tokio::time::Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        for _ in 0..64 {
            sender.send(&frame).await.expect("open");
        }
        count += 64;
    }
    sender.close().await.expect("open");
    receiver.receive().await.expect("open").expect("an answer");
    f64::from(count) / start.elapsed().as_secs_f64()
}

async fn over_tcp(address: &str, size: usize, time: Duration) -> f64 {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let length = u32::try_from(size).expect("short").to_le_bytes();
    let frame = [length.as_slice(), &vec![7; size]].concat();
    let start = tokio::time::Instant::now();
    let mut count = 0_u32;
    let mut buffer = Vec::new();
    while start.elapsed() < time {
        for _ in 0..64 {
            buffer.extend_from_slice(&frame);
            if buffer.len() >= 64 << 10 {
                stream.write_all(&buffer).await.expect("open");
                buffer.clear();
            }
        }
        count += 64;
    }
    stream.write_all(&buffer).await.expect("open");
    stream.shutdown().await.expect("open");
    stream.read_u8().await.expect("an answer");
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// The other process: takes everything, and confirms the last frame.
#[expect(clippy::print_stdout, reason = "the first process reads it")]
async fn receive() {
    let (network, mut events) = start(2, Vec::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    println!("{}\n{address}", network.addresses()[0]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(drain(stream));
        }
    });
    while let Some(event) = events.recv().await {
        if let Event::Incoming(incoming) = event {
            tokio::spawn(async move {
                let (mut sender, mut receiver) = incoming.accept().await.expect("a peer");
                while let Some(frame) = receiver.receive().await.expect("open") {
                    assert!(!frame.is_empty());
                }
                sender.send(b"all").await.expect("open");
                sender.close().await.expect("open");
            });
        }
    }
}

/// Reads frames as a data stream's receiver does.
async fn drain(mut stream: TcpStream) {
    let mut frames = overlay::net::Frames::default();
    loop {
        match frames.advance().expect("our own frames") {
            overlay::net::Next::Frame => assert!(!frames.frame().is_empty()),
            overlay::net::Next::End => return,
            overlay::net::Next::More => {
                let count = stream.read(frames.room()).await.expect("open");
                if count == 0 {
                    break;
                }
                frames.filled(count);
            }
        }
    }
    stream.write_all(&[1]).await.expect("open");
}
