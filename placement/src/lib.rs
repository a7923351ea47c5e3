//! Placement: what keeps applications within their targets, and running, while hosts come and go.
//!
//! Each part is a machine or a pure function without I/O (`ARCHITECTURE.md`, section 5):
//!
//! - [`monitor`]: what a host measures of itself once a second, and the outlook that follows;
//! - [`predict`]: rates and execution times a few seconds from now;
//! - [`hotspot`]: where a target or a host is in danger, and which component should go where;
//! - [`availability`]: how likely all operators of an application have a host that is up;
//! - [`replicas`]: on which hosts each component is ranked, so that this is likely and they are near each other;
//! - [`repair`]: who is next where a host is suspected.
//!
//! What will stand here: *migration*, a component's state pulled from a position by another host, which then goes on with it.
//!
//! It imports [`model`] and none of its siblings.
//!
//! Differences from the papers: `availability` enumerates by splitting states on hosts, which also decides many parts of
//! more than 16 hosts; `replicas` searches on from the published placement ([`replicas::Concentrate`]), by coordinates
//! and not by a round of measurements.

pub mod availability;
pub mod hotspot;
pub mod monitor;
pub mod predict;
pub mod repair;
pub mod replicas;
