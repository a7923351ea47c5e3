//! Fragments: what the rows of one origin within one pane come to by key, and the time that they span.

use datafusion_common::Result;

use crate::aggregate::{Aggregates, Frozen, Groups};

/// From the first row to the last. Unit: microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// A span for each group.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans(pub(super) Vec<Span>);

/// The groups of one origin and pane: what was frozen of them, and what came after that.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    done: Option<Done>,
    live: Option<(Groups, Spans)>,
}

/// Groups that take in no more rows, with the span of each.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) frozen: Frozen,
    pub(super) spans: Spans,
}

impl Span {
    /// Of no row.
    const NONE: Self = Self {
        first: i64::MAX,
        last: i64::MIN,
    };

    /// Both, and what lies between them.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl Spans {
    /// A row of a group lies at this time.
    pub(super) fn extend(&mut self, group: usize, time: i64) {
        let span = Span {
            first: time,
            last: time,
        };
        self.join(group, span);
    }

    fn join(&mut self, group: usize, span: Span) {
        if group >= self.0.len() {
            self.0.resize(group + 1, Span::NONE);
        }
        self.0[group] = self.0[group].and(span);
    }

    fn bytes(&self) -> usize {
        size_of_val::<[Span]>(&self.0)
    }
}

impl Done {
    /// Each key with its span.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Span)> + '_ {
        self.frozen.keys().iter().zip(self.spans.0.iter().copied())
    }

    /// The span of a key.
    pub(super) fn span(&self, key: &[u8]) -> Option<Span> {
        let group = self.frozen.keys().find(key)?;
        Some(self.spans.0[group])
    }

    /// These groups alone.
    pub(super) fn take(&self, groups: &[usize]) -> Result<Self> {
        Ok(Self {
            frozen: self.frozen.take(groups)?,
            spans: Spans(groups.iter().map(|group| self.spans.0[*group]).collect()),
        })
    }

    /// What came first and what came later as one.
    fn merge(&self, later: &Self, aggregates: &Aggregates) -> Result<Self> {
        let mut groups = aggregates.groups();
        groups.merge(&self.frozen)?;
        groups.merge(&later.frozen)?;
        let frozen = groups.freeze()?;
        let mut spans = Spans::default();
        for (key, span) in self.iter().chain(later.iter()) {
            let group = frozen.keys().find(key).expect("the key was merged");
            spans.join(group, span);
        }
        Ok(Self { frozen, spans })
    }
}

impl Fragment {
    /// What was frozen.
    pub(super) const fn of(done: Done) -> Self {
        Self {
            done: Some(done),
            live: None,
        }
    }

    /// What takes in rows.
    pub(super) fn live(&mut self, aggregates: &Aggregates) -> &mut (Groups, Spans) {
        self.live
            .get_or_insert_with(|| (aggregates.groups(), Spans::default()))
    }

    /// All of it, frozen; nothing where no row has come.
    pub(super) fn freeze(&mut self, aggregates: &Aggregates) -> Result<Option<&Done>> {
        if let Some((groups, spans)) = self.live.take() {
            let later = Done {
                frozen: groups.freeze()?,
                spans,
            };
            self.done = Some(match self.done.take() {
                None => later,
                Some(earlier) => earlier.merge(&later, aggregates)?,
            });
        }
        Ok(self.done.as_ref())
    }

    /// Puts groups before its own.
    pub(super) fn begin_with(&mut self, earlier: Done, aggregates: &Aggregates) -> Result<()> {
        self.freeze(aggregates)?;
        self.done = Some(match self.done.take() {
            None => earlier,
            Some(later) => earlier.merge(&later, aggregates)?,
        });
        Ok(())
    }

    /// The memory that it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let done = self.done.as_ref();
        let live = self.live.as_ref();
        done.map_or(0, |done| done.frozen.bytes() + done.spans.bytes())
            + live.map_or(0, |(groups, spans)| groups.bytes() + spans.bytes())
            + size_of::<Self>()
    }
}
