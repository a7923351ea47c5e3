//! Writes the sample log of `intrusion` to standard output.

use std::io::Write;

use examples::intrusion_sample;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(intrusion_sample::conn_log().as_bytes())
}
