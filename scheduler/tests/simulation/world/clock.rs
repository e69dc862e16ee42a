//! Virtual time: what is due, in order.

use std::collections::BTreeMap;

/// Microseconds since the start of the run.
pub(crate) type Time = u64;

pub(crate) const MILLISECOND: Time = 1000;
pub(crate) const SECOND: Time = 1000 * MILLISECOND;

/// What is going to happen, by time and then in the order in which it was decided.
pub(crate) struct Agenda<T> {
    now: Time,
    entries: BTreeMap<(Time, u64), T>,
    decided: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            entries: BTreeMap::new(),
            decided: 0,
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn add(&mut self, after: Time, entry: T) {
        self.entries.insert((self.now + after, self.decided), entry);
        self.decided += 1;
    }

    /// Goes on to the time of the next entry; false when there is none.
    pub(crate) fn proceed(&mut self) -> bool {
        let Some(((at, _), _)) = self.entries.first_key_value() else {
            return false;
        };
        self.now = *at;
        true
    }

    /// Takes the next entry of the present.
    pub(crate) fn due(&mut self) -> Option<T> {
        let entry = self.entries.first_entry()?;
        (entry.key().0 == self.now).then(|| entry.remove())
    }
}
