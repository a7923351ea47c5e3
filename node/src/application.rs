//! Application files.
