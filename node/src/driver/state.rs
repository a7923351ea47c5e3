//! State streams between hosts: pieces of an operator's state one way, pulls of who takes it over the other.

use std::future::poll_fn;
use std::time::Duration;

use composition::Taken;
use engine::OperatorDeployment;
use engine::frame;
use engine::runtime::Handle;
use engine::state::{self, Resumed, Shadow, StatePull};
use model::{Clock, EdgeId, convert};
use overlay::net::{FrameReceiver, FrameSender};
use tokio::sync::oneshot;

/// How often who has taken a state over says that it is there, until it need not: less would let what is kept for it lapse.
///
/// Unit: time. Range: below a third of [`engine::edge::LAPSE`]. Source: design, of pulls.
pub(super) const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// Sends what a shadow on another host pulls of an operator here, until one of both ends.
pub(super) async fn send_state(
    engine: &Handle,
    edge: EdgeId,
    (mut sender, mut receiver): (FrameSender, FrameReceiver),
    clock: &dyn Clock,
) {
    let opened = clock.now();
    let write = async {
        let (mut pieces, mut bytes) = (Vec::new(), Vec::new());
        while poll_fn(|cx| engine.poll_pieces(edge, cx, &mut pieces))
            .await
            .is_ok()
        {
            for piece in pieces.drain(..) {
                bytes.clear();
                frame::encode_piece(clock.now(), opened, &piece, &mut bytes)
                    .map_err(|error| error.to_string())?;
                sender.send(&bytes).await.map_err(|it| it.to_string())?;
            }
            sender.flush().await.map_err(|it| it.to_string())?;
        }
        Ok::<(), String>(())
    };
    let read = async {
        while let Some(bytes) = receiver.receive().await.map_err(|it| it.to_string())? {
            let pull = frame::decode_state_pull(bytes).map_err(|it| it.to_string())?;
            if engine.handle_state_pull(edge, pull).is_err() || pull.is_goodbye {
                break;
            }
        }
        Ok::<(), String>(())
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = read => ended,
    };
    if let Err(reason) = ended {
        tracing::debug!(reason, "a state stream broke");
    }
}

/// A state that was taken over.
#[derive(Debug)]
pub(super) struct Arrived {
    resumed: Resumed,
    taken: Taken,
    keeping: Keeping,
}

impl Arrived {
    /// What goes on, what was taken over for it, and what keeps the rest meanwhile.
    pub(super) fn split(self) -> (Resumed, Taken, Keeping) {
        (self.resumed, self.taken, self.keeping)
    }
}

/// Keeps what comes behind a state that was taken over where it is read.
#[derive(Debug)]
pub(super) struct Keeping {
    pull: StatePull,
    sender: FrameSender,
}

/// Takes over the state of an operator from where it runs, once.
///
/// # Errors
/// Why it cannot be had, for people.
pub(super) async fn take_state(
    engine: &Handle,
    part: OperatorDeployment,
    bytes_max: u64,
    (mut sender, mut receiver): (FrameSender, FrameReceiver),
    clock: &dyn Clock,
) -> Result<Arrived, String> {
    let lost = |error: std::io::Error| format!("the host that has its state is lost: {error}");
    let mut shadow = Shadow::new(part, bytes_max);
    let copy = engine.open_copy();
    let (mut bytes, mut sent_bytes, mut since) = (Vec::new(), 0, None);
    let taken = loop {
        while let Some(pull) = shadow.pull_due(clock.now()) {
            let sent = send_pull(&mut sender, pull, &mut bytes).await;
            sent.map_err(lost)?;
        }
        let due = shadow.poll_timeout();
        let due = due.map_or(PULL_INTERVAL, |due| due.since(clock.now()));
        let Ok(received) = tokio::time::timeout(due, receiver.receive()).await else {
            continue;
        };
        let Some(received) = received.map_err(lost)? else {
            break Err("the operator is not there any more".to_owned());
        };
        let now = clock.now();
        since.get_or_insert(now);
        sent_bytes += convert::size(received.len());
        let piece = frame::decode_piece(received, shadow.schemas(), now);
        let arrived = match piece {
            Ok(piece) => shadow.handle_piece(now, piece).map_err(|it| it.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match arrived {
            Err(reason) => break Err(reason),
            Ok(_) if !engine.set_copy(copy, shadow.bytes()) => {
                break Err("there is no memory for its state".to_owned());
            }
            Ok(state::Arrived::Whole) => break Ok(()),
            Ok(state::Arrived::Part | state::Arrived::Dropped) => {}
        }
    };
    // From here on what it goes on as is counted.
    engine.close_copy(copy);
    taken?;
    let pull = StatePull {
        is_goodbye: false,
        ..shadow.goodbye()
    };
    let taken = Taken {
        state_bytes: shadow.bytes(),
        sent_bytes,
        transfer: since.map_or(Duration::ZERO, |since| clock.now().since(since)),
    };
    let resumed = shadow.activate().ok_or("no state has come")?;
    Ok(Arrived {
        resumed,
        taken,
        keeping: Keeping { pull, sender },
    })
}

impl Keeping {
    /// Keeps it until it is told that the operator runs on, or never will.
    pub(super) async fn run(mut self, mut done: oneshot::Receiver<()>) {
        // Who forgets to say so has ended as well.
        while self.say(false).await.is_ok()
            && tokio::time::timeout(PULL_INTERVAL, &mut done)
                .await
                .is_err()
        {}
        // The other end lets go of it in any case, if later.
        drop(self.say(true).await);
    }

    async fn say(&mut self, is_goodbye: bool) -> std::io::Result<()> {
        let pull = StatePull {
            is_goodbye,
            ..self.pull
        };
        send_pull(&mut self.sender, pull, &mut Vec::new()).await
    }
}

/// Sends a pull at once. `bytes` is room for it.
pub(super) async fn send_pull(
    sender: &mut FrameSender,
    pull: StatePull,
    bytes: &mut Vec<u8>,
) -> std::io::Result<()> {
    bytes.clear();
    frame::encode_state_pull(pull, bytes);
    sender.send(bytes).await?;
    sender.flush().await
}
