//! Flows as lines of a connection log, with the words and habits of Zeek.

use std::fmt::Write;

use model::Rng;

use super::{MINUTE, SECOND};

/// What stands before the lines.
pub(super) const HEADER: &str = "\
#separator \\x09
#set_separator\t,
#empty_field\t(empty)
#unset_field\t-
#path\tconn
#open\t2026-03-02-00-00-00
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\
\tconn_state\tlocal_orig\tlocal_resp\tmissed_bytes\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\
\ttunnel_parents
#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tbool\tbool\tcount\
\tstring\tcount\tcount\tcount\tcount\tset[string]
";

/// When the day began: 2026-03-02 in UTC.
const DAY_SECONDS: u64 = 1_772_409_600;

/// One line of the log.
#[derive(Debug)]
pub(super) struct Flow {
    /// Since the day began.
    pub(super) start_micros: u64,
    pub(super) duration_micros: u64,
    pub(super) source: String,
    pub(super) source_port: u64,
    pub(super) target: String,
    pub(super) service: Service,
    pub(super) outcome: Outcome,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

impl Flow {
    /// A flow from the first of these hosts to the second.
    pub(super) fn new(
        rng: &mut Rng,
        start_micros: u64,
        [source, target]: [&str; 2],
        service: Service,
        outcome: Outcome,
    ) -> Self {
        // Pages and their names take their time; who refuses does so at once.
        let (duration_micros, sent_bytes, received_bytes) = match (outcome, service.is_udp) {
            (Outcome::Unanswered, true) => (0, 45, 0),
            (Outcome::Unanswered, false) => (0, 0, 0),
            (Outcome::Refused, _) => (20 + rng.below(200), 0, 0),
            (_, true) => (
                1_000 + rng.below(30_000),
                30 + rng.below(20),
                90 + rng.below(200),
            ),
            (_, false) => (
                40_000 + rng.below(20 * SECOND),
                300 + rng.below(2_000),
                800 + rng.below(40_000),
            ),
        };
        Self {
            start_micros,
            duration_micros,
            source: source.to_owned(),
            source_port: 49_152 + rng.below(16_384),
            target: target.to_owned(),
            service,
            outcome,
            sent_bytes,
            received_bytes,
        }
    }

    /// When Zeek is done with it: when it was closed, or has been silent for long enough.
    pub(super) fn logged_micros(&self) -> u64 {
        let patience = match (self.outcome, self.service.is_udp) {
            (_, true) => MINUTE,
            (Outcome::Unanswered, false) => 5 * SECOND,
            (Outcome::Midstream, false) => 5 * MINUTE,
            (Outcome::Completed | Outcome::Refused | Outcome::ResetByTarget, false) => 0,
        };
        self.start_micros + self.duration_micros + patience
    }

    /// Zeek's word for how it went, and the packets that it saw, as letters.
    const fn state(&self) -> (&'static str, &'static str) {
        match (self.outcome, self.service.is_udp) {
            (Outcome::Completed, true) => ("SF", "Dd"),
            (Outcome::Completed, false) => ("SF", "ShADadFf"),
            (Outcome::Unanswered, true) => ("S0", "D"),
            (Outcome::Unanswered, false) => ("S0", "S"),
            (Outcome::Refused, _) => ("REJ", "Sr"),
            (Outcome::ResetByTarget, _) => ("RSTR", "ShADadr"),
            (Outcome::Midstream, _) => ("OTH", "DdA"),
        }
    }

    /// Appends its line.
    pub(super) fn write(&self, uids: &mut Rng, log: &mut String) {
        let (state, history) = self.state();
        let [sent, received] = self.packets();
        let ts = DAY_SECONDS * SECOND + self.start_micros;
        let duration = match sent.count + received.count {
            // Of one packet there is no duration, and no count of bytes either.
            1 => "-\t-\t-".to_owned(),
            _ => format!(
                "{}\t{}\t{}",
                seconds(self.duration_micros),
                self.sent_bytes,
                self.received_bytes
            ),
        };
        let columns = [
            seconds(ts),
            uid(uids),
            self.source.clone(),
            self.source_port.to_string(),
            self.target.clone(),
            self.service.port.to_string(),
            if self.service.is_udp { "udp" } else { "tcp" }.to_owned(),
            self.service_name().to_owned(),
            duration,
            state.to_owned(),
            is_ours(&self.source).to_owned(),
            is_ours(&self.target).to_owned(),
            "0".to_owned(),
            history.to_owned(),
            sent.count.to_string(),
            sent.bytes.to_string(),
            received.count.to_string(),
            received.bytes.to_string(),
        ];
        writeln!(log, "{}\t(empty)", columns.join("\t"))
            .expect("writing into memory does not fail");
    }

    /// What is recognized only in what somebody answered; of DNS the question is enough.
    const fn service_name(&self) -> &'static str {
        match self.outcome {
            Outcome::Completed | Outcome::ResetByTarget => self.service.name,
            Outcome::Unanswered if self.service.is_udp => self.service.name,
            Outcome::Unanswered | Outcome::Refused | Outcome::Midstream => "-",
        }
    }

    /// What either side sent, besides what carries its bytes only what TCP needs to begin and to end.
    fn packets(&self) -> [Packets; 2] {
        let [of_source, of_target] = match self.outcome {
            Outcome::Completed | Outcome::ResetByTarget => [4, 4],
            Outcome::Unanswered => [1, 0],
            Outcome::Refused => [1, 1],
            Outcome::Midstream => [0, 0],
        };
        let side = |payload_bytes: u64, control: u64| {
            let (count, header_bytes) = match self.service.is_udp {
                true => (payload_bytes.div_ceil(1_472), 28),
                false => (payload_bytes.div_ceil(1_460) + control, 40),
            };
            Packets {
                count,
                bytes: payload_bytes + count * header_bytes,
            }
        };
        [
            side(self.sent_bytes, of_source),
            side(self.received_bytes, of_target),
        ]
    }
}

/// How a flow went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Unanswered,
    Refused,
    ResetByTarget,
    /// The beginning was not seen.
    Midstream,
}

/// What a target is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) port: u64,
    is_udp: bool,
    /// As Zeek calls it when it recognizes it.
    name: &'static str,
}

impl Service {
    pub(super) const fn new(port: u64, is_udp: bool, name: &'static str) -> Self {
        Self { port, is_udp, name }
    }

    /// A port of TCP behind which nobody knows what is.
    pub(super) const fn unknown(port: u64) -> Self {
        Self::new(port, false, "-")
    }
}

/// What one side of a flow sent, with the headers of IP.
#[derive(Debug, Clone, Copy)]
struct Packets {
    count: u64,
    bytes: u64,
}

/// Microseconds as Zeek writes times and durations.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / SECOND, micros % SECOND)
}

/// What Zeek calls a flow.
fn uid(rng: &mut Rng) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let letter = |_| char::from(LETTERS[model::convert::index(rng.below(62))]);
    std::iter::once('C').chain((0..17).map(letter)).collect()
}

/// Whether an address is of the network, in Zeek's letters.
fn is_ours(address: &str) -> &'static str {
    match address.starts_with("192.0.2.") {
        true => "T",
        false => "F",
    }
}
