//! The command line: `synergy`.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main()
}
