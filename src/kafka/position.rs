//! Where the next record is: kept over lost connections, and brought back into the log where the log has changed.
//!
//! Thread: kafka. Allocates: no. Blocks: no.

use super::config::Begin;

/// The place in the log, which log it is, and what is in doubt.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    begin: Begin,
    /// Offset of the next record; none before the first contact.
    next: Option<i64>,
    /// The identity of the topic that `next` counts in, where brokers tell it.
    topic: Option<[u8; 16]>,
    /// The broker said that `next` is not in the log.
    is_doubtful: bool,
    /// When the log was last heard, or first found missing: milliseconds since 1970.
    since_ms: Option<i64>,
}

/// What was stamped so long before the log was last heard still counts as new: as far as the clocks of a producer and of this
/// machine may differ, with the time that a producer keeps a record before it sends it.
const STAMPED_BEFORE_MS: i64 = 2000;
/// 2020. A machine whose clock shows less does not know the time.
const KNOWN_TIME_MS: i64 = 1_577_836_800_000;

/// What must be asked of the log's ends before going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    First,
    Next,
    Both,
    /// The first record with this stamp or a later one (milliseconds since 1970), and the end where there is none.
    Since(i64),
}

/// What happened to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// The broker no longer keeps this many records that had not been heard.
    Lost(u64),
    /// The log ends before what was heard: a leader that had not got everything took over, and what is behind is written anew.
    Cut,
    /// Another topic has the name now. What is in it and younger than the last contact is heard: as a rule all of it.
    MadeAnew,
}

impl Position {
    pub fn new(begin: Begin) -> Self {
        Self {
            begin,
            next: None,
            topic: None,
            is_doubtful: false,
            since_ms: None,
        }
    }

    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// All records below `next` have been heard.
    pub fn advance(&mut self, next: i64) {
        self.next = Some(next);
    }

    /// The broker has no such topic (yet; or not at the moment, as when it has just started).
    pub fn is_missing(&mut self, now_ms: i64) {
        self.since_ms.get_or_insert(now_ms);
    }

    /// The log was heard up to its end, or up to what came.
    pub fn is_heard(&mut self, now_ms: i64) {
        self.since_ms = Some(now_ms);
    }

    /// The broker says that the next record is not in the log.
    pub fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// What to ask, now that the topic's identity is known.
    pub fn need(&self, topic: Option<[u8; 16]>) -> Need {
        match (self.next, self.begin) {
            (None, Begin::Earliest) => Need::First,
            (None, Begin::Latest) => self.young(),
            (Some(_), _) if self.is_another(topic) => match self.begin {
                Begin::Earliest => Need::First,
                Begin::Latest => self.young(),
            },
            (Some(_), _) if self.is_doubtful => Need::Both,
            (Some(_), _) => Need::Nothing,
        }
    }

    /// What came into being while nobody could listen is not yesterday's; what a topic that is filled from a copy brings is.
    fn young(&self) -> Need {
        match self.since_ms {
            Some(at) if at > KNOWN_TIME_MS => Need::Since(at - STAMPED_BEFORE_MS),
            _ => Need::Next,
        }
    }

    fn is_another(&self, topic: Option<[u8; 16]>) -> bool {
        matches!((self.topic, topic), (Some(before), Some(now)) if before != now)
    }

    /// Settles where to go on, with the places in the log that [`need`](Self::need) asked for: `low` the first record (that is
    /// young enough), `high` the end.
    pub fn settle(&mut self, topic: Option<[u8; 16]>, low: i64, high: i64) -> Change {
        let need = self.need(topic);
        let change = match self.next {
            Some(_) if self.is_another(topic) => Change::MadeAnew,
            _ => Change::None,
        };
        self.topic = topic.or(self.topic);
        self.is_doubtful = false;
        let (to, change) = match (need, self.next) {
            (Need::Nothing, _) => return Change::None,
            (Need::First | Need::Since(_), _) => (low, change),
            (Need::Next, _) => (high, change),
            (Need::Both, Some(at)) if at < low => (low, Change::Lost(low.abs_diff(at))),
            // Nothing is heard twice: what stands between is not what was heard, but neither is it known to be new.
            (Need::Both, Some(at)) if at > high => (high, Change::Cut),
            (Need::Both, _) => return Change::None,
        };
        self.next = Some(to);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<[u8; 16]> = Some([1; 16]);
    const OTHER: Option<[u8; 16]> = Some([2; 16]);
    const NOW: i64 = 1_800_000_000_000;

    fn at(next: i64) -> Position {
        let mut position = Position::new(Begin::Latest);
        position.settle(ONE, 0, next);
        position
    }

    #[test]
    fn a_run_begins_at_the_end_or_where_it_is_told() {
        let mut latest = Position::new(Begin::Latest);
        assert_eq!(latest.need(ONE), Need::Next);
        assert_eq!(latest.settle(ONE, 3, 9), Change::None);
        assert_eq!(latest.next(), Some(9));
        let mut earliest = Position::new(Begin::Earliest);
        assert_eq!(earliest.need(ONE), Need::First);
        assert_eq!(earliest.settle(ONE, 3, 9), Change::None);
        assert_eq!(earliest.next(), Some(3));
    }

    #[test]
    fn of_a_topic_that_was_waited_for_what_is_young_is_heard() {
        let mut position = Position::new(Begin::Latest);
        position.is_missing(NOW);
        position.is_missing(NOW + 60_000);
        assert_eq!(position.need(ONE), Need::Since(NOW - STAMPED_BEFORE_MS));
        assert_eq!(position.settle(ONE, 0, 5), Change::None);
        assert_eq!(position.next(), Some(0));
    }

    #[test]
    fn a_machine_that_does_not_know_the_time_begins_at_the_end() {
        let mut position = Position::new(Begin::Latest);
        position.is_missing(60_000);
        assert_eq!(position.need(ONE), Need::Next);
    }

    #[test]
    fn a_connection_that_comes_back_goes_on_where_it_was() {
        let mut position = at(9);
        position.advance(12);
        assert_eq!(position.need(ONE), Need::Nothing);
        assert_eq!(position.settle(ONE, 0, 0), Change::None);
        assert_eq!(position.next(), Some(12));
    }

    #[test]
    fn of_another_topic_of_that_name_what_is_young_is_heard() {
        let mut position = at(9);
        position.is_heard(NOW);
        assert_eq!(position.need(OTHER), Need::Since(NOW - STAMPED_BEFORE_MS));
        assert_eq!(position.settle(OTHER, 2, 20), Change::MadeAnew);
        assert_eq!(position.next(), Some(2));
        // And from then on it is the one.
        assert_eq!(position.need(OTHER), Need::Nothing);
        let mut all = Position::new(Begin::Earliest);
        all.settle(ONE, 0, 9);
        assert_eq!(all.need(OTHER), Need::First);
        assert_eq!(all.settle(OTHER, 4, 0), Change::MadeAnew);
        assert_eq!(all.next(), Some(4));
    }

    #[test]
    fn what_the_broker_no_longer_keeps_is_counted_and_what_it_cut_off_is_not_heard_again() {
        let mut position = at(9);
        position.doubt();
        assert_eq!(position.need(ONE), Need::Both);
        assert_eq!(position.settle(ONE, 14, 30), Change::Lost(5));
        assert_eq!(position.next(), Some(14));
        let mut position = at(9);
        position.doubt();
        assert_eq!(position.settle(ONE, 0, 7), Change::Cut);
        assert_eq!(position.next(), Some(7));
        // Without a reason for the doubt nothing moves.
        let mut position = at(9);
        position.doubt();
        assert_eq!(position.settle(ONE, 0, 20), Change::None);
        assert_eq!(position.next(), Some(9));
    }

    #[test]
    fn where_brokers_tell_no_identity_the_place_is_kept() {
        let mut position = Position::new(Begin::Latest);
        position.settle(None, 0, 9);
        assert_eq!(position.need(None), Need::Nothing);
        assert_eq!(position.next(), Some(9));
    }
}
