//! Fragments: what the rows of one origin within one pane come to by key, and the time that they span.

use datafusion_common::Result;

use crate::aggregate::{Aggregates, Groups};

/// From the first row to the last. Unit: microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// A span for each group.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

/// Groups, with the span of each.
#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) groups: Groups,
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

    /// Rows of a group span this time.
    pub(super) fn join(&mut self, group: usize, span: Span) {
        if group >= self.0.len() {
            self.0.resize(group + 1, Span::NONE);
        }
        self.0[group] = self.0[group].and(span);
    }

    /// The span of a group.
    ///
    /// # Panics
    /// When there is no such group.
    pub(super) fn of(&self, group: usize) -> Span {
        self.0[group]
    }
}

impl Fragment {
    /// No group yet.
    pub(super) fn new(aggregates: &Aggregates) -> Self {
        Self {
            groups: aggregates.groups(),
            spans: Spans::default(),
        }
    }

    /// Each key with its span.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Span)> + '_ {
        self.groups.keys().iter().zip(self.spans.0.iter().copied())
    }

    /// The span of a key.
    pub(super) fn span(&self, key: &[u8]) -> Option<Span> {
        Some(self.spans.of(self.groups.keys().find(key)?))
    }

    /// These groups alone; the fragment is sealed.
    pub(super) fn take(&self, groups: &[usize]) -> Result<Self> {
        let groups = self.groups.take(groups)?;
        let mut spans = Spans::default();
        for (group, key) in groups.keys().iter().enumerate() {
            let span = self.span(key).expect("it was taken from here");
            spans.join(group, span);
        }
        Ok(Self { groups, spans })
    }

    /// Puts another one, which is sealed, behind what is here.
    pub(super) fn append(&mut self, later: &Self) -> Result<()> {
        let here = self.groups.append(&later.groups)?;
        for (group, span) in here.into_iter().zip(&later.spans.0) {
            self.spans.join(group, *span);
        }
        Ok(())
    }

    /// The memory that it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.groups.bytes() + size_of_val::<[Span]>(&self.spans.0) + size_of::<Self>()
    }
}
