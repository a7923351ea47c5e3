//! Frontiers: when the batch will come that closes a window, and so until when others of that window may wait.
//!
//! A batch that only accumulates need not hurry (Cameo, section 4.2): what it leads to leaves when its window closes. The *frontier
//! progress* of a batch is the progress at which that happens, a [`Slide::border`]; the *frontier time* is when the
//! batch with that progress is expected to arrive at its source.

use model::EventTime;

/// At which progresses an operator closes something: at each multiple of the slide, later by the allowed lateness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slide {
    /// From one closing to the next. Unit: microseconds of event time. Range: above zero.
    pub every_micros: i64,
    /// How much later than a multiple of that. Unit: microseconds of event time. Range: not negative.
    pub lateness_micros: i64,
}

impl Slide {
    /// The first closing beyond a progress: what accumulates at that progress leaves then.
    pub const fn border(self, progress: EventTime) -> EventTime {
        let Self {
            every_micros,
            lateness_micros,
        } = self;
        let within = progress.0.saturating_sub(lateness_micros);
        let next = within.div_euclid(every_micros).saturating_add(1);
        EventTime(
            next.saturating_mul(every_micros)
                .saturating_add(lateness_micros),
        )
    }

    /// Whether something closes on the way from one progress to another.
    pub fn closes_between(self, before: EventTime, progress: EventTime) -> bool {
        progress >= self.border(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_by_table() {
        let slide = Slide {
            every_micros: 10,
            lateness_micros: 3,
        };
        for (progress, border) in [(2, 3), (3, 13), (12, 13), (13, 23), (-8, -7), (-7, 3)] {
            assert_eq!(
                slide.border(EventTime(progress)),
                EventTime(border),
                "progress {progress}"
            );
        }
        assert!(slide.closes_between(EventTime(12), EventTime(13)));
        assert!(!slide.closes_between(EventTime(13), EventTime(22)));
        assert!(slide.closes_between(EventTime::MIN, EventTime(0)));
        assert!(slide.border(EventTime::MAX) > EventTime(i64::MAX - 100));
    }
}
