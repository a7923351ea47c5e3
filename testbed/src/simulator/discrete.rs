//! Discrete fidelity: to come in this file.
