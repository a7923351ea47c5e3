//! Signals by which a person or the system ends a process.

/// Calls `stop` at the first signal to stop. Ends the process at the second, or where `stop` says that nobody heard it.
///
/// # Errors
/// When the system gives no thread or takes no handler.
pub fn stop(mut stop: impl FnMut() -> bool + Send + 'static) -> Result<(), std::io::Error> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (seen, _) in signals.forever().enumerate() {
                if seen > 0 || !stop() {
                    // As a shell reports a process that a signal ended.
                    std::process::exit(130);
                }
            }
        })?;
    Ok(())
}
