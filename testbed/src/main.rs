//! The command line of testbeds and benchmarks: `synergy-testbed`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Called `synergy`, by a link, it is the node's program: so testbeds tell nodes what the program
    // that people install has no words for, and tests run them without another binary to build.
    let called = std::env::args_os().next();
    match called.is_some_and(|it| Path::new(&it).file_name().is_some_and(|it| it == "synergy")) {
        true => match testbed::local::hook::hooks() {
            Ok(hooks) => node::cli::main_with(hooks),
            Err(error) => testbed::cli::failed(&error),
        },
        false => testbed::cli::main(),
    }
}
