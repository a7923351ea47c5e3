//! What a host has and what a component asks of it.

use std::ops::{Add, Sub};

use crate::convert::count_to_f64;

/// An amount of what a host offers: all of it, a part in use, or the rest.
#[derive(Debug, Clone, Copy, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct Resources {
    /// Processor time in cores: seconds of work for each second.
    pub cpu_cores: f64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Network in bytes per second, of the uplink.
    pub uplink_bytes_per_second: f64,
}

impl Resources {
    /// Whether somebody could have measured it.
    pub fn is_valid(&self) -> bool {
        let is_valid = |it: f64| it.is_finite() && it >= 0.0;
        is_valid(self.cpu_cores) && is_valid(self.uplink_bytes_per_second)
    }

    /// The part of an uplink that is in use; nothing of one that was not offered.
    pub fn uplink_fraction(&self, offered: &Self) -> f64 {
        match offered.uplink_bytes_per_second > 0.0 {
            true => self.uplink_bytes_per_second / offered.uplink_bytes_per_second,
            false => 0.0,
        }
    }

    /// The part of the memory that is in use; nothing of one that was not offered.
    pub fn memory_fraction(&self, offered: &Self) -> f64 {
        match offered.memory_bytes {
            0 => 0.0,
            bytes => count_to_f64(self.memory_bytes) / count_to_f64(bytes),
        }
    }

    /// Whether `demand` can be taken from this, in each of its dimensions.
    pub fn fits(&self, demand: &Self) -> bool {
        demand.cpu_cores <= self.cpu_cores
            && demand.memory_bytes <= self.memory_bytes
            && demand.uplink_bytes_per_second <= self.uplink_bytes_per_second
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_cores: self.cpu_cores + other.cpu_cores,
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            uplink_bytes_per_second: self.uplink_bytes_per_second + other.uplink_bytes_per_second,
        }
    }
}

impl Sub for Resources {
    type Output = Self;

    /// What is left; never below nothing.
    fn sub(self, other: Self) -> Self {
        Self {
            cpu_cores: (self.cpu_cores - other.cpu_cores).max(0.0),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            uplink_bytes_per_second: (self.uplink_bytes_per_second - other.uplink_bytes_per_second)
                .max(0.0),
        }
    }
}

/// How hard a stream drives an operator; multiplied by the operator's cost it is a load.
///
/// All figures are of the input of an operator, at its high-rate segment where traffic is bursty.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Demand {
    /// Rows per second that arrive.
    pub rows_per_second: f64,
    /// Mean size of a row in bytes.
    pub row_bytes: f64,
    /// Processor time for a row, in seconds.
    pub cost_seconds: f64,
    /// Rows that leave for each row that arrives; above 1 for a flat map.
    pub selectivity: f64,
}

impl Demand {
    /// What this asks of a host, with `state_bytes` of memory.
    pub fn resources(&self, state_bytes: u64) -> Resources {
        Resources {
            cpu_cores: self.rows_per_second * self.cost_seconds,
            memory_bytes: state_bytes,
            uplink_bytes_per_second: self.rows_per_second * self.selectivity * self.row_bytes,
        }
    }

    /// The rate of rows that leave.
    pub fn output_rows_per_second(&self) -> f64 {
        self.rows_per_second * self.selectivity
    }

    /// The demand measured over `seconds`: `rows` of `bytes` in all took `busy_seconds` and became `output_rows`.
    pub fn measured(
        seconds: f64,
        rows: u64,
        bytes: u64,
        busy_seconds: f64,
        output_rows: u64,
    ) -> Self {
        let count = count_to_f64(rows.max(1));
        Self {
            rows_per_second: if seconds > 0.0 {
                count_to_f64(rows) / seconds
            } else {
                0.0
            },
            row_bytes: count_to_f64(bytes) / count,
            cost_seconds: busy_seconds / count,
            selectivity: count_to_f64(output_rows) / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dimension_must_fit() {
        let host = Resources {
            cpu_cores: 2.0,
            memory_bytes: 100,
            uplink_bytes_per_second: 10.0,
        };
        assert!(host.fits(&host));
        assert!(!host.fits(&Resources {
            memory_bytes: 101,
            ..host
        }));
        assert!(!host.fits(&Resources {
            cpu_cores: 2.1,
            ..host
        }));
        assert!((host - host).fits(&Resources::default()));
    }

    #[test]
    fn demand_of_half_a_core() {
        let demand = Demand::measured(2.0, 1000, 50_000, 1.0, 250);
        let resources = demand.resources(7);
        assert!((resources.cpu_cores - 0.5).abs() < 1e-9);
        assert!((demand.output_rows_per_second() - 125.0).abs() < 1e-9);
        assert!((resources.uplink_bytes_per_second - 6250.0).abs() < 1e-9);
    }
}
