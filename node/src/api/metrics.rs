//! Metrics for Prometheus, in the OpenMetrics text format.
//!
//! Nothing is kept between scrapes: what is told is what the node counted when it was asked.

use std::fmt::Error;

use overlay::net::NetworkStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::gate::Measured;
use super::stats::NetworkRow;
use crate::node::{ComponentRow, NodeInfo, PartReport, Quantiles};

/// What the text is, for whoever scrapes it.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many components are told one by one; the rest are counted in `synergy_components_untold`.
///
/// Unit: count. Source: guess; at 22 figures of some 150 bytes each, a scrape stays below 4 MB.
pub(super) const COMPONENTS_MAX: usize = 1_000;

/// All that was measured, as text.
pub(super) fn text(measured: &Measured) -> String {
    let mut registry = Registry::with_prefix("synergy");
    registry.register_collector(Box::new(Snapshot(measured.clone())));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing into a string does not fail");
    text
}

/// A figure of a thing: its name, what it is, and where it stands.
type Figure<T, V> = (&'static str, &'static str, fn(&T) -> V);

#[derive(Debug)]
struct Snapshot(Measured);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Measured {
            info,
            network,
            applications,
            resident_bytes,
            cpu_seconds,
        } = &self.0;
        let mut out = Out { encoder };
        out.node(info)?;
        out.network(network)?;
        if let Some(bytes) = resident_bytes {
            let help = "Resident memory of the process";
            out.gauge("process_resident_bytes", help, *bytes)?;
        }
        let help = "Processor time that the process took, in seconds";
        out.counter("process_cpu_seconds", help, *cpu_seconds)?;

        let sinks: Vec<&(String, PartReport)> = applications
            .iter()
            .filter(|(_, part)| part.results > 0 || part.delay_ms.is_some())
            .collect();
        let figures: [Figure<PartReport, u64>; 3] = [
            ("results", "Rows that left sinks here", |it| it.results),
            ("results_misses", "Of these, after the target", |it| {
                it.misses
            }),
            ("results_missing", "Rows that results lack", |it| it.missing),
        ];
        for (name, help, figure) in figures {
            let rows = sinks.iter();
            let rows = rows.map(|sink| ([("application", sink.0.as_str())], figure(&sink.1)));
            out.counters(name, help, rows)?;
        }
        let targets = applications.iter().filter_map(|(name, part)| {
            Some(([("application", name.as_str())], part.target_ms? / 1e3))
        });
        let help = "What results at sinks here are to meet, in seconds";
        out.gauges("target_seconds", help, targets)?;
        let figures: [Figure<PartReport, Option<Quantiles>>; 2] = [
            (
                "delay_seconds",
                "Delays of results at sinks here since the start, in seconds",
                |it| it.delay_ms,
            ),
            (
                "recent_delay_seconds",
                "Delays of results at sinks here in the last minute, in seconds",
                |it| it.recent_delay_ms,
            ),
        ];
        for (name, help, figure) in figures {
            let delays = applications.iter().flat_map(|(application, part)| {
                let quantiles = figure(part).into_iter().flat_map(quantiles);
                quantiles.map(|(quantile, delay)| {
                    let application = ("application", application.as_str());
                    ([application, ("quantile", quantile)], delay)
                })
            });
            out.gauges(name, help, delays)?;
        }

        let components: Vec<(&str, &ComponentRow)> = applications
            .iter()
            .flat_map(|(name, part)| part.components.iter().map(|row| (name.as_str(), row)))
            .collect();
        let told = &components[..components.len().min(COMPONENTS_MAX)];
        let untold = model::convert::size(components.len() - told.len());
        out.gauge(
            "components_untold",
            "Components that are not told here",
            untold,
        )?;
        out.components(told)
    }
}

struct Out<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Out<'_> {
    fn node(&mut self, info: &NodeInfo) -> Result<(), Error> {
        let labels = [
            ("name", info.name.as_str()),
            ("node", &info.node),
            ("version", &info.version),
            ("network", &info.network),
        ];
        let one = std::iter::once((labels, 1_u64));
        self.gauges("node", "This node", one)?;
        for (name, help, value) in [
            ("uptime_seconds", "How long the node runs", info.uptime_s),
            ("cores", "Cores that the node offers", info.cores),
            (
                "cores_taken",
                "Of these, reserved or allocated",
                info.cores_taken,
            ),
        ] {
            self.gauge(name, help, value)?;
        }
        for (name, help, value) in [
            ("hosts_known", "Hosts that the node knows", info.hosts_known),
            ("components", "Components that run here", info.components),
            (
                "applications",
                "Applications with parts here",
                info.applications,
            ),
            (
                "memory_bytes",
                "Memory that the node offers",
                info.memory_bytes,
            ),
            (
                "memory_taken_bytes",
                "Of that, reserved or allocated",
                info.memory_taken_bytes,
            ),
        ] {
            self.gauge(name, help, value)?;
        }
        let counts = info.counts.iter();
        let counts = counts.map(|(reason, count)| ([("reason", reason.as_str())], *count));
        let help = "What the node refused or dropped, by reason";
        self.counters("node_refusals", help, counts)
    }

    fn network(&mut self, stats: &NetworkStats) -> Result<(), Error> {
        let row = NetworkRow::from(stats);
        for (name, help, value) in [
            (
                "connections",
                "Peers with an open connection",
                row.connections,
            ),
            (
                "routing_peers",
                "Peers in the routing table",
                row.routing_peers,
            ),
            (
                "entries_held",
                "Entries held for the overlay",
                row.entries_held,
            ),
            (
                "entries_registered",
                "Entries of this node",
                row.entries_registered,
            ),
        ] {
            self.gauge(name, help, value)?;
        }
        let queries = [
            ([("answered", "local")], row.queries_local),
            ([("answered", "remote")], row.queries_remote),
        ];
        self.counters("queries", "Look-ups, by who answered", queries.into_iter())?;
        self.counter("walks", "Walks to the closest peers of a key", row.walks)?;
        let refused = row.refused.iter();
        let refused = refused.map(|(reason, count)| ([("reason", reason.as_str())], *count));
        let help = "What peers sent and was refused, by reason";
        self.counters("peer_refusals", help, refused)
    }

    fn components(&mut self, components: &[(&str, &ComponentRow)]) -> Result<(), Error> {
        let figures: [Figure<ComponentRow, u64>; 7] = [
            ("component_rows_in", "Rows that came in", |it| it.rows_in),
            ("component_rows_out", "Rows that left", |it| it.rows_out),
            ("component_late", "Rows that were late", |it| it.late),
            ("component_bad", "Rows that were bad", |it| it.bad),
            (
                "component_drops",
                "Rows that readers did not take in time",
                |it| it.drops,
            ),
            (
                "component_batches",
                "Batches that were worked off, several small ones as one",
                |it| it.batches,
            ),
            (
                "component_clamped_pulls",
                "Pulls of other hosts that asked for more urgency than was admitted",
                |it| it.clamped,
            ),
        ];
        for (name, help, figure) in figures {
            let rows = components.iter();
            let rows = rows.map(|(application, row)| (labels(application, row), figure(row)));
            self.counters(name, help, rows)?;
        }
        let dropped = components.iter().flat_map(|(application, row)| {
            let [application, component] = labels(application, row);
            [
                ("duplicate", row.duplicates),
                ("gap", row.gaps),
                ("refused", row.refused),
            ]
            .map(|(reason, count)| ([application, component, ("reason", reason)], count))
        });
        let help =
            "Batches that came and were dropped, by reason; behind a gap they are asked for again";
        self.counters("component_dropped_batches", help, dropped)?;
        let figures: [Figure<ComponentRow, f64>; 2] = [
            (
                "component_queueing_seconds",
                "How long batches waited, all together, in seconds",
                |it| it.queueing_total_ms / 1e3,
            ),
            (
                "component_execution_seconds",
                "How much processor time batches took, all together, in seconds",
                |it| it.execution_total_ms / 1e3,
            ),
        ];
        for (name, help, figure) in figures {
            let rows = components.iter();
            let rows = rows.map(|(application, row)| (labels(application, row), figure(row)));
            self.counters(name, help, rows)?;
        }
        let figures: [Figure<ComponentRow, Option<Quantiles>>; 2] = [
            (
                "component_recent_queueing_seconds",
                "How long batches waited in the last minute, in seconds",
                |it| it.recent_queueing_ms,
            ),
            (
                "component_recent_execution_seconds",
                "How much processor time batches took in the last minute, in seconds",
                |it| it.recent_execution_ms,
            ),
        ];
        for (name, help, figure) in figures {
            let rows = components.iter().flat_map(|(application, row)| {
                let [application, component] = labels(application, row);
                let quantiles = figure(row).into_iter().flat_map(quantiles);
                quantiles.map(move |(quantile, time)| {
                    ([application, component, ("quantile", quantile)], time)
                })
            });
            self.gauges(name, help, rows)?;
        }
        let figures: [Figure<ComponentRow, Option<f64>>; 2] = [
            (
                "component_slack_seconds",
                "Budget less the age of batches, in seconds",
                |it| Some(it.slack_ms? / 1e3),
            ),
            (
                "component_cost_seconds_per_row",
                "Processor time for a row, in seconds",
                |it| Some(it.cost_us_per_row / 1e6),
            ),
        ];
        for (name, help, figure) in figures {
            let rows = components.iter();
            let rows = rows
                .filter_map(|(application, row)| Some((labels(application, row), figure(row)?)));
            self.gauges(name, help, rows)?;
        }
        let state = components.iter();
        let state = state.map(|(application, row)| (labels(application, row), row.state_bytes));
        self.gauges("component_state_bytes", "The memory of its state", state)
    }

    fn gauge<V>(&mut self, name: &str, help: &str, value: V) -> Result<(), Error>
    where
        ConstGauge<V>: EncodeMetric,
    {
        let metric = ConstGauge::new(value);
        let kind = metric.metric_type();
        metric.encode(self.describe(name, help, kind)?)
    }

    fn counter<V>(&mut self, name: &str, help: &str, value: V) -> Result<(), Error>
    where
        ConstCounter<V>: EncodeMetric,
    {
        let metric = ConstCounter::new(value);
        let kind = metric.metric_type();
        metric.encode(self.describe(name, help, kind)?)
    }

    fn gauges<'l, V, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'l str, &'l str); N], V)>,
    ) -> Result<(), Error>
    where
        ConstGauge<V>: EncodeMetric,
    {
        let metrics = rows.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, metrics)
    }

    fn counters<'l, V, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = ([(&'l str, &'l str); N], V)>,
    ) -> Result<(), Error>
    where
        ConstCounter<V>: EncodeMetric,
    {
        let metrics = rows.map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, metrics)
    }

    /// A figure of several things; nothing is written where there are none.
    fn family<'l, M: EncodeMetric, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl Iterator<Item = ([(&'l str, &'l str); N], M)>,
    ) -> Result<(), Error> {
        let mut metrics = metrics.peekable();
        let Some((_, first)) = metrics.peek() else {
            return Ok(());
        };
        let kind = first.metric_type();
        let mut encoder = self.describe(name, help, kind)?;
        for (labels, metric) in metrics {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn describe<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        let unit: Option<&Unit> = None;
        self.encoder.encode_descriptor(name, help, unit, kind)
    }
}

fn labels<'l>(application: &'l str, row: &'l ComponentRow) -> [(&'l str, &'l str); 2] {
    [("application", application), ("component", &row.name)]
}

/// The quantiles of times, in seconds, with what they are called.
fn quantiles(times: Quantiles) -> [(&'static str, f64); 4] {
    [
        ("0.5", times.p50 / 1e3),
        ("0.95", times.p95 / 1e3),
        ("0.99", times.p99 / 1e3),
        ("0.999", times.p999 / 1e3),
    ]
}
