//! The command line of testbeds and benchmarks: `synergy-testbed`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Called `synergy`, by a link, it is the node's program: so tests run nodes without another binary to build.
    let called = std::env::args_os().next();
    match called.is_some_and(|it| Path::new(&it).file_name().is_some_and(|it| it == "synergy")) {
        true => node::cli::main(),
        false => testbed::cli::main(),
    }
}
