//! The command line of benchmarks: `synergy-testbed`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::cli::main()
}
