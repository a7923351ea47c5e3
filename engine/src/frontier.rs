//! Frontiers: when the batch will come that closes a window, and so until when others of that window may wait.
//!
//! A batch that only accumulates need not hurry (Cameo, section 4.2): what it leads to leaves when its window closes. The *frontier
//! progress* of a batch is the progress at which that happens, a [`Slide::border`]; the *frontier time* is when the
//! batch with that progress is expected to arrive at its source.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{EventTime, Instant, convert};

use crate::batch::Header;
use crate::mailbox::Channel;

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

/// What a batch does for a slide behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It closes something, or nobody can say when that will be: its own age counts.
    Closes,
    /// It accumulates until `border`, which is expected to be reached at `frontier`.
    Accumulates {
        /// The frontier progress.
        border: EventTime,
        /// The frontier time.
        frontier: Instant,
    },
}

/// When the windows behind a component close, learned from what comes in.
#[derive(Debug, Default)]
pub struct Frontiers {
    slides: Vec<Slide>,
    ways: BTreeMap<Channel, Way>,
    /// For each slide the border that was asked for last, and when it is expected: many batches ask for one.
    expected: Vec<Option<(EventTime, Option<Instant>)>>,
}

/// One way in.
#[derive(Debug)]
struct Way {
    progress: EventTime,
    /// One for each slide.
    fits: Vec<Fit>,
}

impl Frontiers {
    /// From now on these slides count.
    pub fn set_slides(&mut self, slides: impl IntoIterator<Item = Slide>) {
        let slides: Vec<Slide> = slides.into_iter().collect();
        if slides == self.slides {
            return;
        }
        self.expected = vec![None; slides.len()];
        for way in self.ways.values_mut() {
            way.fits = vec![Fit::default(); slides.len()];
        }
        self.slides = slides;
    }

    /// The slides that count.
    pub fn slides(&self) -> &[Slide] {
        &self.slides
    }

    /// What a batch that has come in does for the slide at `place`; to be asked before [`Frontiers::enter`].
    ///
    /// What moves progress across a closing is urgent: rule A. As published, a batch counts as part of the window that it begins, one slide
    /// too late, unless its sender closes as rarely as the receiver and so gives whole windows: `grain_micros`, where given, is the
    /// longest slide on the batch's way here, and what is asked is as published.
    pub fn effect(
        &mut self,
        now: Instant,
        place: usize,
        channel: Channel,
        header: &Header,
        grain_micros: Option<i64>,
    ) -> Effect {
        let slide = self.slides[place];
        let before = self.ways.get(&channel).map(|way| way.progress);
        let is_closing = match grain_micros {
            None => slide.closes_between(before.unwrap_or(EventTime::MIN), header.progress),
            Some(grain) => grain >= slide.every_micros || header.progress == EventTime::MAX,
        };
        if is_closing {
            return Effect::Closes;
        }
        let border = slide.border(header.progress);
        match self.expect(place, border) {
            None => Effect::Closes,
            Some(frontier) => Effect::Accumulates {
                border,
                frontier: frontier.max(now),
            },
        }
    }

    /// The last closing that a batch that has come in moves progress across, of any slide; to be asked before [`Frontiers::enter`].
    pub fn last_closing(&self, channel: Channel, header: &Header) -> Option<EventTime> {
        if header.progress == EventTime::MAX {
            return None;
        }
        let before = self.ways.get(&channel).map(|way| way.progress);
        let before = before.unwrap_or(EventTime::MIN);
        let slides = self.slides.iter();
        let closing = slides.filter(|slide| slide.closes_between(before, header.progress));
        closing
            .map(|slide| slide.border(header.progress).minus(slide.every_micros))
            .max()
    }

    /// Notes what a batch that has come in tells of progress.
    pub fn enter(&mut self, channel: Channel, header: &Header) {
        let slides = &self.slides;
        let way = self.ways.entry(channel).or_insert_with(|| Way {
            progress: EventTime::MIN,
            fits: vec![Fit::default(); slides.len()],
        });
        let before = way.progress;
        way.progress = header.progress.max(before);
        if header.progress == EventTime::MAX {
            return;
        }
        for ((fit, slide), expected) in way.fits.iter_mut().zip(slides).zip(&mut self.expected) {
            if slide.closes_between(before, header.progress) {
                let reached = slide.border(header.progress).minus(slide.every_micros);
                fit.observe(reached, header.arrival);
                *expected = None;
            }
        }
    }

    /// When a border is expected to be reached by all that come in; nothing where that cannot be said.
    fn expect(&mut self, place: usize, border: EventTime) -> Option<Instant> {
        if let Some((known, frontier)) = self.expected[place]
            && known == border
        {
            return frontier;
        }
        let waited_for = self.ways.values().filter(|way| way.progress < border);
        let predicted: Option<Vec<Instant>> = waited_for
            .map(|way| way.fits[place].predict(border))
            .collect();
        let frontier = predicted.and_then(|all| all.into_iter().max());
        self.expected[place] = Some((border, frontier));
        frontier
    }
}

/// How a closing counts less with each one after it.
///
/// Unit: factor. Range: above 0, below 1. Source: guess; some ten closings count.
const KEEP: f64 = 0.9;

/// Event time and arrival belong together where one passes at least half and at most twice as fast as the other.
///
/// Unit: seconds of arrival per second of event time. Source: design.
const SLOPES: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// When progress arrives at its source: a line through the last closing, as steep as the last closings were.
///
/// `t = t_last + slope * (p - p_last) - deviation`: too early costs little, too late the target.
#[derive(Debug, Clone, Default)]
struct Fit {
    last: Option<(EventTime, Instant)>,
    /// Seconds of event time and of arrival between closings, and the squares of what the line missed.
    progressed: f64,
    passed: f64,
    weight: f64,
    missed_squared: f64,
}

impl Fit {
    fn observe(&mut self, border: EventTime, arrival: Instant) {
        if let Some((before, since)) = self.last {
            let progressed = seconds_between(before, border);
            let passed = arrival.since(since).as_secs_f64();
            if progressed <= 0.0 {
                return;
            }
            let missed = match self.slope() {
                Some(slope) => passed - slope * progressed,
                None => 0.0,
            };
            self.weight = KEEP.mul_add(self.weight, 1.0);
            self.progressed = KEEP.mul_add(self.progressed, progressed);
            self.passed = KEEP.mul_add(self.passed, passed);
            self.missed_squared = KEEP.mul_add(self.missed_squared, missed * missed);
        }
        self.last = Some((border, arrival));
    }

    fn predict(&self, border: EventTime) -> Option<Instant> {
        let (last, since) = self.last?;
        let slope = self.slope()?;
        let deviation = (self.missed_squared / self.weight).sqrt();
        let ahead = slope.mul_add(seconds_between(last, border), -deviation);
        Some(since + convert::seconds(ahead.max(0.0)))
    }

    fn slope(&self) -> Option<f64> {
        (self.progressed > 0.0)
            .then(|| self.passed / self.progressed)
            .filter(|slope| SLOPES.contains(slope))
    }
}

fn seconds_between(before: EventTime, after: EventTime) -> f64 {
    let micros = after.0.saturating_sub(before.0).max(0);
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use model::{Interval, Origin};

    use super::*;
    use crate::batch::Token;

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

    const SECOND: Slide = Slide {
        every_micros: 1_000_000,
        lateness_micros: 0,
    };

    fn channel(origin: u128) -> Channel {
        Channel {
            port: 0,
            origin: Origin(origin),
        }
    }

    /// A batch that brings progress at this millisecond and arrived at that one.
    fn header(progress: i64, arrival: u64) -> Header {
        Header {
            origin: Origin(1),
            interval: Interval::empty(0),
            arrival: at(arrival),
            progress: EventTime(progress * 1000),
            missing: 0,
            token: Token::Unmetered,
            note: None,
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Feeds batches of one origin; what the last of them does.
    fn fed(frontiers: &mut Frontiers, origin: u128, batches: &[(i64, u64)]) -> Effect {
        let mut effect = Effect::Closes;
        for (progress, arrival) in batches {
            let header = header(*progress, *arrival);
            let now = header.arrival;
            effect = frontiers.effect(now, 0, channel(origin), &header, None);
            frontiers.enter(channel(origin), &header);
        }
        effect
    }

    #[test]
    fn what_accumulates_waits_for_the_latest_of_all_origins() {
        let mut frontiers = Frontiers::default();
        frontiers.set_slides([SECOND]);
        let border = EventTime(3_000_000);
        assert_eq!(
            fed(&mut frontiers, 1, &[(0, 10), (500, 510)]),
            Effect::Closes,
            "nothing is known yet"
        );
        let first = [(1000, 1010), (2000, 2010), (2300, 2310)];
        let frontier = at(3010);
        assert_eq!(
            fed(&mut frontiers, 1, &first),
            Effect::Accumulates { border, frontier }
        );
        let slower = [(0, 80), (1000, 1080), (2000, 2080), (2400, 2480)];
        let frontier = at(3080);
        assert_eq!(
            fed(&mut frontiers, 2, &slower),
            Effect::Accumulates { border, frontier }
        );
        assert_eq!(
            fed(&mut frontiers, 1, &[(2900, 2910)]),
            Effect::Accumulates { border, frontier }
        );
        assert_eq!(fed(&mut frontiers, 1, &[(3001, 3011)]), Effect::Closes);
    }

    #[test]
    fn a_prediction_is_early_by_how_far_others_were_off() {
        let mut fit = Fit::default();
        for (second, arrival) in [(0, 0), (1, 1000), (2, 2100), (3, 2900), (4, 4000)] {
            fit.observe(EventTime(second * 1_000_000), at(arrival));
        }
        let predicted = fit.predict(EventTime(5_000_000)).expect("a slope near one");
        assert!(
            predicted < at(5000) && predicted > at(4800),
            "{predicted:?}"
        );
    }

    #[test]
    fn who_reads_faster_than_time_passes_tells_nothing_of_it() {
        let mut frontiers = Frontiers::default();
        frontiers.set_slides([SECOND]);
        let replayed = [(0, 0), (1000, 1), (2000, 2), (2500, 3)];
        assert_eq!(fed(&mut frontiers, 1, &replayed), Effect::Closes);
    }

    #[test]
    fn as_published_who_gives_whole_windows_is_urgent_and_closing_is_not() {
        let mut frontiers = Frontiers::default();
        frontiers.set_slides([SECOND]);
        fed(&mut frontiers, 1, &[(0, 10), (1000, 1010), (2000, 2010)]);
        let closing = header(3000, 3010);
        let mut effect = |grain| frontiers.effect(at(3010), 0, channel(1), &closing, grain);
        assert_eq!(effect(None), Effect::Closes);
        assert_eq!(effect(Some(1_000_000)), Effect::Closes);
        let (border, frontier) = (EventTime(4_000_000), at(4010));
        assert_eq!(effect(Some(0)), Effect::Accumulates { border, frontier });
    }
}
