//! The sample log of `intrusion`: a made-up day of a small network, as Zeek would log it.
//!
//! All addresses are of the ranges that are set aside for documentation; `192.0.2.0/24` is the network.
//! Three strangers scan it. Others only look as if they did: one fails often, among much that succeeds; one
//! fails always, but seldom; and some talk to everybody at once, which nobody answers.
//!
//! ```text
//! cargo run -p synergy-examples --bin intrusion-sample > examples/intrusion/conn.log
//! ```

use model::Rng;

mod flow;

use flow::Outcome::{Completed, Midstream, Refused, ResetByTarget, Unanswered};
use flow::{Flow, Service};

/// Who scans the network: its ports, its addresses, and its ports with patience.
pub const SCANNERS: [&str; 3] = [PORT_SCANNER, SWEEPER, PATIENT_SCANNER];

const PORT_SCANNER: &str = "203.0.113.66";
const SWEEPER: &str = "203.0.113.201";
const PATIENT_SCANNER: &str = "198.51.100.23";

/// The log, with its header.
pub fn conn_log() -> String {
    let rng = Rng::from_seed(SEED);
    let mut flows = Vec::new();
    workstations(&mut rng.keyed("workstations"), &mut flows);
    appliances(&mut rng.keyed("appliances"), &mut flows);
    visitors(&mut rng.keyed("visitors"), &mut flows);
    monitor(&mut rng.keyed("monitor"), &mut flows);
    orphan(&mut rng.keyed("orphan"), &mut flows);
    long_sessions(&mut rng.keyed("long sessions"), &mut flows);
    port_scan(&mut rng.keyed("port scan"), &mut flows);
    sweep(&mut rng.keyed("sweep"), &mut flows);
    patient_scan(&mut rng.keyed("patient scan"), &mut flows);
    flows.sort_by_key(Flow::logged_micros);

    let mut log = flow::HEADER.to_owned();
    let mut uids = rng.keyed("uids");
    for flow in &flows {
        flow.write(&mut uids, &mut log);
    }
    log.push_str("#close\t2026-03-03-00-10-00\n");
    log
}

/// Any other would do; the log in the repository is of this one.
const SEED: u64 = 2;

/// Times are counted in microseconds.
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

const RESOLVER: &str = "192.0.2.2";
const WEB: &str = "192.0.2.20";
const MAIL: &str = "192.0.2.25";
const SWITCHED_OFF: &str = "192.0.2.35";
const SERVERS: [&str; 5] = [RESOLVER, WEB, MAIL, "192.0.2.30", SWITCHED_OFF];

const DNS: Service = Service::new(53, true, "dns");
const MULTICAST_DNS: Service = Service::new(5353, true, "dns");
const TLS: Service = Service::new(443, false, "ssl");
const SSH: Service = Service::new(22, false, "ssh");
const PRINTER: Service = Service::new(631, false, "-");

/// Office hours: names are looked up, pages are fetched, and now and then a server hangs up or is away.
fn workstations(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for workstation in 101..=116 {
        let source = format!("192.0.2.{workstation}");
        for _ in 0..36 {
            let start = 8 * HOUR + rng.below(10 * HOUR);
            flows.push(Flow::new(rng, start, [&source, RESOLVER], DNS, Completed));
            let site = format!("198.51.100.{}", 100 + rng.below(100));
            let outcome = match rng.below(100) {
                0..3 => Unanswered,
                3..7 => ResetByTarget,
                _ => Completed,
            };
            let start = start + rng.below(SECOND);
            flows.push(Flow::new(rng, start, [&source, &site], TLS, outcome));
        }
    }
}

/// Loudspeakers and televisions, which do nothing but tell everybody at once that they are there.
fn appliances(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for appliance in 201..=204 {
        let source = format!("192.0.2.{appliance}");
        for half_hour in 0..48 {
            let start = half_hour * (HOUR / 2) + rng.below(HOUR / 2);
            let hosts = [&source, "224.0.0.251"];
            flows.push(Flow {
                source_port: MULTICAST_DNS.port,
                ..Flow::new(rng, start, hosts, MULTICAST_DNS, Unanswered)
            });
        }
    }
}

/// People from outside on the web server, all day.
fn visitors(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for _ in 0..300 {
        let start = rng.below(24 * HOUR);
        let visitor = format!("203.0.113.{}", 1 + rng.below(60));
        flows.push(Flow::new(rng, start, [&visitor, WEB], TLS, Completed));
    }
}

/// Asks the servers every half hour whether they are there; one has been switched off, so that a fifth of
/// what it tries fails.
fn monitor(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for half_hour in 0..48 {
        for server in SERVERS {
            let start = half_hour * (HOUR / 2) + rng.below(SECOND);
            let outcome = match server {
                SWITCHED_OFF => Unanswered,
                _ => Completed,
            };
            flows.push(Flow::new(rng, start, ["192.0.2.9", server], SSH, outcome));
        }
    }
}

/// Looks for a printer that is gone, a few times, and does nothing else.
fn orphan(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for _ in 0..6 {
        let start = rng.below(24 * HOUR);
        let hosts = ["192.0.2.77", "192.0.2.78"];
        flows.push(Flow::new(rng, start, hosts, PRINTER, Unanswered));
    }
}

/// Sessions of hours, which come long after flows that began later, and pieces of one from before the day.
fn long_sessions(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for hour in [1, 9, 13] {
        let start = hour * HOUR + rng.below(HOUR);
        flows.push(Flow {
            duration_micros: 2 * HOUR + rng.below(HOUR),
            ..Flow::new(rng, start, ["192.0.2.40", "198.51.100.9"], SSH, Completed)
        });
    }
    for hour in 0..24 {
        let start = hour * HOUR + rng.below(HOUR);
        flows.push(Flow {
            source_port: 51_820,
            ..Flow::new(rng, start, ["192.0.2.41", "198.51.100.10"], TLS, Midstream)
        });
    }
}

/// Two hundred ports of the web server within some minutes; most refuse, a firewall swallows the rest.
fn port_scan(rng: &mut Rng, flows: &mut Vec<Flow>) {
    let mut start = 11 * HOUR + 42 * MINUTE;
    for port in 1..=200 {
        start += rng.below(2 * SECOND);
        let outcome = match (port, rng.below(4)) {
            (22 | 80, _) => ResetByTarget,
            (_, 0) => Unanswered,
            _ => Refused,
        };
        let service = Service::unknown(port);
        flows.push(Flow::new(rng, start, [PORT_SCANNER, WEB], service, outcome));
    }
}

/// One port of all addresses within a quarter of an hour; what is there answers, or refuses.
fn sweep(rng: &mut Rng, flows: &mut Vec<Flow>) {
    let mut start = 16 * HOUR + 5 * MINUTE;
    for address in 1..=254 {
        start += rng.below(7 * SECOND);
        let target = format!("192.0.2.{address}");
        let (service, outcome) = match address {
            2 | 20 | 25 | 30 => (SSH, Completed),
            101..=116 => (Service::unknown(22), Refused),
            _ => (Service::unknown(22), Unanswered),
        };
        flows.push(Flow::new(rng, start, [SWEEPER, &target], service, outcome));
    }
}

/// Two ports of the mail server in each hour of the day: too few to be seen in any of them.
fn patient_scan(rng: &mut Rng, flows: &mut Vec<Flow>) {
    for half_hour in 0..48 {
        let start = half_hour * (HOUR / 2) + rng.below(HOUR / 2);
        let service = Service::unknown(1024 + rng.below(60_000));
        let hosts = [PATIENT_SCANNER, MAIL];
        flows.push(Flow::new(rng, start, hosts, service, Unanswered));
    }
}
