//! The slots of one lane: who sits where, and which is free.
//!
//! Invariants: a number is given to one job at a time, the lowest free one first. A seat is left by the end of its own
//! task, of which there is one, or with all others of a closed lane, in which nobody is seated any more. So a task that
//! speaks of a taken seat is the one that sits there, and one that speaks of an empty seat comes too late.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::job::JobId;
use crate::lane::{Lane, Place};
use crate::tokens::Token;

/// A job that runs.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) job: JobId,
    pub(super) since: Instant,
    /// The token that it holds, in the local lane.
    pub(super) token: Option<Token>,
}

/// All slots of a lane.
#[derive(Debug)]
pub(super) struct Seats {
    lane: Lane,
    capacity: usize,
    taken: usize,
    /// As many as were ever taken at once.
    seats: Vec<Option<Seat>>,
    free: BinaryHeap<Reverse<u32>>,
}

impl Seats {
    pub(super) fn new(lane: Lane, capacity: usize) -> Self {
        Self {
            lane,
            capacity,
            taken: 0,
            seats: Vec::new(),
            free: BinaryHeap::new(),
        }
    }

    /// Returns how many jobs run here.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn has_room(&self) -> bool {
        self.taken < self.capacity
    }

    /// Gives no seat away any more.
    pub(super) fn close(&mut self) {
        self.capacity = 0;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.capacity == 0
    }

    /// Seats a job. The caller has seen that there is room.
    pub(super) fn take(&mut self, job: JobId, token: Option<Token>, since: Instant) -> Place {
        self.taken += 1;
        let seat = Some(Seat { job, since, token });
        let slot = if let Some(Reverse(slot)) = self.free.pop() {
            self.seats[slot as usize] = seat;
            slot
        } else {
            self.seats.push(seat);
            u32::try_from(self.seats.len() - 1).expect("a graph holds fewer than 2^32 jobs")
        };
        self.place(slot)
    }

    /// Returns who sits in a slot that was given away before.
    pub(super) fn holder(&self, slot: u32) -> Option<JobId> {
        self.seats[slot as usize].as_ref().map(|seat| seat.job)
    }

    /// Frees a slot that was given away before, or does nothing if that has happened since.
    pub(super) fn leave(&mut self, slot: u32) -> Option<Seat> {
        let seat = self.seats[slot as usize].take()?;
        self.taken -= 1;
        self.free.push(Reverse(slot));
        Some(seat)
    }

    /// Frees all seats, in their order.
    pub(super) fn clear(&mut self) -> Vec<(Place, Seat)> {
        let slots = 0..u32::try_from(self.seats.len()).expect("slots are numbered by 32 bits");
        slots
            .filter_map(|slot| Some((self.place(slot), self.leave(slot)?)))
            .collect()
    }

    fn place(&self, slot: u32) -> Place {
        Place {
            lane: self.lane,
            slot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_given_and_an_empty_seat_is_left_by_nobody() {
        let mut seats = Seats::new(Lane::Remote, 3);
        let now = Instant::now();
        let places = [0, 1, 2].map(|job| seats.take(JobId::at(job), None, now));
        assert_eq!(places.map(|place| place.slot), [0, 1, 2]);
        assert!(!seats.has_room());
        for slot in [2, 0] {
            assert!(seats.leave(slot).is_some());
            assert!(seats.leave(slot).is_none());
        }
        assert_eq!(seats.holder(0), None);
        assert_eq!(seats.take(JobId::at(3), None, now), places[0]);
        assert_eq!(seats.holder(0), Some(JobId::at(3)));
        assert_eq!(seats.taken(), 2);
        let cleared = seats.clear();
        let jobs: Vec<usize> = cleared.iter().map(|(_, seat)| seat.job.index()).collect();
        assert_eq!(jobs, [3, 1]);
        assert_eq!((seats.taken(), seats.holder(1)), (0, None));
    }
}
