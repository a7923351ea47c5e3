//! The simulator: production's nodes and engines over virtual time, from one seed.
