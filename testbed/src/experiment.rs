//! Experiments: one command each, with figures, a table and a plot.
