//! Records that outlive a restart of this node.

use std::time::Duration;

use model::{ApplicationId, Instant, wire};

use super::record::Record;
use super::records::RECORDS_MAX;
use super::{Effect, Node};

/// How long a host that was started anew waits for what others know of an application before it goes by what it knew itself.
///
/// Unit: time. Range: above what it takes to join. Source: guess; others say so as soon as they see it.
const RECALL_WAIT: Duration = Duration::from_secs(5);

impl Node {
    /// A record was kept before a restart: what it binds to this host is made again. Where other hosts have to do with it they may know better, and are waited for:
    /// what went on elsewhere meanwhile is not to leave here once more.
    pub(super) fn on_recalled(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Effect>) {
        let record = match wire::decode_large::<Record>(bytes) {
            Ok(record) if self.is_genuine(&record) && self.concerns(&record.listing) => record,
            Ok(_) | Err(_) => return self.counts.add("recalled_records_refused"),
        };
        if record.listing.hosts().len() == 1 {
            self.adopt(now, record, out);
        } else if self.records.recalled.len() < RECORDS_MAX {
            self.records.recalled.push((now + RECALL_WAIT, record));
        }
    }

    /// Takes the records from before a restart that nobody has said anything of.
    pub(super) fn tend_recalled(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let recalled = std::mem::take(&mut self.records.recalled);
        for (at, record) in recalled {
            let is_known = self
                .records
                .find(&record.listing.head.application)
                .is_some();
            if is_known {
                continue;
            }
            if at <= now {
                self.adopt(now, record, out);
            } else {
                self.records.recalled.push((at, record));
            }
        }
    }

    /// Keeps across a restart what this host runs a part of, and nothing else.
    pub(super) fn keep(&self, id: &ApplicationId, out: &mut Vec<Effect>) {
        if !self.config.repairs {
            return;
        }
        let record = self.records.find(id);
        let kept = record.filter(|record| {
            record.listing.is_running()
                && record.listing.is_host(self.id())
                && record.body.is_some()
        });
        out.push(Effect::Keep {
            application: id.clone(),
            record: kept.map(wire::encode),
        });
    }
}
