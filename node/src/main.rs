//! The command line: `synergy`.

fn main() {}
