//! What the system says: of this machine, and of a process that runs on it.

use std::process::Command;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The machine that figures were measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// All its memory.
    pub memory_bytes: u64,
    /// The system and its release.
    pub system: String,
}

impl Machine {
    /// This machine; what the system does not say is `unknown`, or zero.
    pub fn here() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |text: Option<&str>| text.unwrap_or("unknown").trim().to_owned();
        let release = text("/proc/sys/kernel/osrelease");
        let release = Some(release.as_str()).filter(|release| !release.is_empty());
        Self {
            processor: or_unknown(value(&text("/proc/cpuinfo"), "model name")),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: bytes(&text("/proc/meminfo"), "MemTotal").unwrap_or(0),
            system: format!("{} {}", std::env::consts::OS, or_unknown(release)),
        }
    }
}

/// The version of the sources in the folder where the command is given, with `-dirty` where files differ
/// from it.
pub fn commit() -> String {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The memory that it occupies.
    pub resident_bytes: u64,
    /// The most that it ever occupied.
    pub resident_peak_bytes: u64,
    /// What it has read from files, pipes and sockets so far.
    pub read_bytes: u64,
}

impl Sample {
    /// The process of this id, while it runs.
    pub fn of(process: u32) -> Option<Self> {
        Self::read(&process.to_string())
    }

    /// This process.
    pub fn of_this_process() -> Option<Self> {
        Self::read("self")
    }

    fn read(process: &str) -> Option<Self> {
        let text = |name| std::fs::read_to_string(format!("/proc/{process}/{name}")).ok();
        Self::parse(&text("status")?, &text("io")?)
    }

    fn parse(status: &str, io: &str) -> Option<Self> {
        Some(Self {
            resident_bytes: bytes(status, "VmRSS")?,
            resident_peak_bytes: bytes(status, "VmHWM")?,
            read_bytes: value(io, "rchar")?.trim().parse().ok()?,
        })
    }
}

/// What a process occupies, and has used so far, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// The memory that it occupies.
    pub resident_bytes: u64,
    /// Of that, what no file stands behind: its data.
    pub anonymous_bytes: u64,
    /// Of that, what is as well in a file: its program, which processes of one program share.
    pub file_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// The processor time that all its threads have used, those that have ended too; as the system counts it, in
    /// steps of usually 10 ms.
    pub cpu: Duration,
}

impl Footprint {
    /// The process of this id, while it runs.
    pub fn of(process: u32) -> Option<Self> {
        let text = |name| std::fs::read_to_string(format!("/proc/{process}/{name}")).ok();
        Self::parse(&text("status")?, &text("stat")?, clock_ticks_per_second())
    }

    /// The processor time of the process of this id, also of one that has ended and that nobody has waited for yet.
    pub fn cpu_of(process: u32) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Self::parse_cpu(&stat, clock_ticks_per_second())
    }

    fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
        // Its name stands before, in parentheses, and may contain whatever it likes. What follows is counted from
        // its third field, the state.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(14 - 3);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let nanos = user.checked_add(system)?.checked_mul(1_000_000_000)?;
        Some(Duration::from_nanos(nanos.checked_div(ticks_per_second)?))
    }

    fn parse(status: &str, stat: &str, ticks_per_second: u64) -> Option<Self> {
        Some(Self {
            resident_bytes: bytes(status, "VmRSS")?,
            anonymous_bytes: bytes(status, "RssAnon")?,
            file_bytes: bytes(status, "RssFile")?,
            threads: value(status, "Threads")?.trim().parse().ok()?,
            cpu: Self::parse_cpu(stat, ticks_per_second)?,
        })
    }
}

/// The processor time that this process has used, over all its threads.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// What stands behind `name` and a colon in the lines of a text.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim_end() == name).then_some(value)
    })
}

/// The size behind `name`, which the system writes in kibibytes.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let kibibytes = value(text, name)?.trim().strip_suffix(" kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_from_what_the_system_writes() {
        let status = "Name:\tsynergy\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let sample = Sample::parse(status, "rchar: 77\nwchar: 5\n").unwrap();
        assert_eq!(sample.resident_bytes, 1 << 20);
        assert_eq!(sample.resident_peak_bytes, 2 << 20);
        assert_eq!(sample.read_bytes, 77);
        assert_eq!(Sample::parse("Name:\tgone\n", "rchar: 77\n"), None);
    }

    #[test]
    fn what_a_process_occupies_and_uses_is_read_from_what_the_system_writes() {
        let status = "Threads:\t3\nVmRSS:\t 12 kB\nRssAnon:\t 8 kB\nRssFile:\t 4 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 6 7 8 150 50 11 12 20 0 3 0";
        let footprint = Footprint::parse(status, stat, 100).unwrap();
        assert_eq!(footprint.resident_bytes, 12 << 10);
        assert_eq!(footprint.anonymous_bytes, 8 << 10);
        assert_eq!(footprint.file_bytes, 4 << 10);
        assert_eq!(footprint.threads, 3);
        assert_eq!(footprint.cpu, Duration::from_secs(2));
        assert_eq!(Footprint::parse("Name:\tgone\n", stat, 100), None);
        assert!(Footprint::of(std::process::id()).is_some_and(|it| it.threads > 0));
    }

    #[test]
    fn this_process_occupies_memory_and_uses_time() {
        let sample = Sample::of(std::process::id()).expect("it runs");
        assert!(sample.resident_bytes > 0);
        assert!(sample.resident_peak_bytes >= sample.resident_bytes);
        assert!(cpu() > Duration::ZERO);
    }
}
