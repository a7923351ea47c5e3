//! The events of a tap, as they come.

use std::io::{BufRead, BufReader, Read};

use ureq::Timeout;

use crate::node::{Failure, FailureKind};

/// The longest line of a tap. Unit: bytes. Source: a frame of the overlay, which holds a row as it travels.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// What a tap shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A row, as a line of JSON without its end.
    Row(String),
    /// So many rows were not shown.
    Missing(u64),
    /// The stream ends, and why.
    Ended(String),
}

/// The events of a tap, as they come.
pub struct Events {
    reader: BufReader<Box<dyn Read + Send>>,
    address: String,
    /// What the lines of data to come are: nothing for rows.
    event: String,
    line: Vec<u8>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(reader: impl Read + Send + 'static, address: String) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, Box::new(reader)),
            address,
            event: String::new(),
            line: Vec::new(),
        }
    }

    /// Whether the next event would have to be waited for.
    pub fn is_empty(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// The next event; nothing when the time is over. Waits for it.
    ///
    /// # Errors
    /// When the node cannot be heard any more, or is not understood.
    pub fn next_event(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            self.line.clear();
            let mut reader = (&mut self.reader).take(LINE_BYTES_MAX);
            match reader.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {}
                Ok(_) => return Err(self.broken("it ended in the middle")),
                Err(error) => match ureq::Error::from(error) {
                    ureq::Error::Timeout(Timeout::RecvBody) => return Ok(None),
                    error => return Err(self.broken(&error.to_string())),
                },
            }
            let line = self.line.trim_ascii_end();
            if line.is_empty() {
                self.event.clear();
            } else if let Some(event) = line.strip_prefix(b"event:") {
                self.event = String::from_utf8_lossy(event.trim_ascii()).into_owned();
            } else if let Some(data) = line.strip_prefix(b"data:") {
                let data = String::from_utf8_lossy(data.trim_ascii_start()).into_owned();
                match self.event.as_str() {
                    "" => return Ok(Some(Event::Row(data))),
                    "missing" => return Ok(Some(Event::Missing(data.parse().unwrap_or(0)))),
                    "ended" => return Ok(Some(Event::Ended(data))),
                    // A newer node may tell what is not known here.
                    _ => {}
                }
            }
        }
    }

    fn broken(&self, reason: &str) -> Failure {
        let message = format!(
            "the tap broke off: the node at {} cannot be heard any more: {reason}; tap again, there or at another \
             node",
            self.address
        );
        Failure::new(FailureKind::Unreachable, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &'static str) -> Events {
        Events::new(text.as_bytes(), "127.0.0.1:1".to_owned())
    }

    #[test]
    fn events_are_read_as_they_are_written() {
        let text = "data: {\"a\":1}\ndata: {\"a\":2}\n\n:\n\nevent: missing\ndata: 7\n\nevent: new\ndata: x\n\n\
                    event: ended\ndata: finished\n\n";
        let mut events = events(text);
        for expected in [
            Event::Row("{\"a\":1}".to_owned()),
            Event::Row("{\"a\":2}".to_owned()),
            Event::Missing(7),
            Event::Ended("finished".to_owned()),
        ] {
            assert_eq!(events.next_event(), Ok(Some(expected)));
        }
        let broken = events.next_event().expect_err("nothing more comes");
        assert_eq!(broken.kind, FailureKind::Unreachable);
    }

    #[test]
    fn half_a_row_is_no_row() {
        let mut events = events("data: {\"a\":");
        assert!(events.next_event().is_err());
    }
}
