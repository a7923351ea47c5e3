//! The driver: what joins the machines of a node to clocks, threads and sockets.

pub mod edge;
