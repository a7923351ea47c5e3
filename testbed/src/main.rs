//! The command line of testbeds, simulations, experiments and benches: `synergy-testbed`.

fn main() {}
