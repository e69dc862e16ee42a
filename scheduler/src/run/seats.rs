//! The slots of one lane: who sits where, and which is free.
//!
//! Invariants: a number is given to one job at a time, the lowest free one first; and a seat is left only with the ticket
//! with which it was taken, so that a late word of an earlier task changes nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::job::JobId;
use crate::lane::{Lane, Place};
use crate::task::Ticket;
use crate::tokens::Token;

/// A job that runs.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) job: JobId,
    pub(super) since: Instant,
    /// The token that it holds, in the local lane.
    pub(super) token: Option<Token>,
    serial: u32,
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
    next_serial: u32,
}

impl Seats {
    pub(super) fn new(lane: Lane, capacity: usize) -> Self {
        Self {
            lane,
            capacity,
            taken: 0,
            seats: Vec::new(),
            free: BinaryHeap::new(),
            next_serial: 0,
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
    pub(super) fn take(&mut self, job: JobId, token: Option<Token>, since: Instant) -> Ticket {
        let serial = self.next_serial;
        // Two tasks of one slot would have to be 2^32 starts apart to be mistaken.
        self.next_serial = serial.wrapping_add(1);
        self.taken += 1;
        let seat = Seat {
            job,
            since,
            token,
            serial,
        };
        let slot = if let Some(Reverse(slot)) = self.free.pop() {
            self.seats[slot as usize] = Some(seat);
            slot
        } else {
            self.seats.push(Some(seat));
            u32::try_from(self.seats.len() - 1).expect("a graph holds fewer than 2^32 jobs")
        };
        Ticket {
            place: self.place(slot),
            serial,
        }
    }

    /// Returns who has a ticket, while its seat is taken with it.
    pub(super) fn holder(&self, ticket: Ticket) -> Option<JobId> {
        let seat = self.seats[ticket.place.slot as usize].as_ref()?;
        (seat.serial == ticket.serial).then_some(seat.job)
    }

    /// Frees the seat of a ticket, or does nothing if that has happened before.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Seat> {
        self.holder(ticket)?;
        self.vacate(ticket.place.slot)
    }

    /// Frees all seats, in their order.
    pub(super) fn clear(&mut self) -> Vec<(Place, Seat)> {
        let slots = 0..u32::try_from(self.seats.len()).expect("slots are numbered by 32 bits");
        slots
            .filter_map(|slot| Some((self.place(slot), self.vacate(slot)?)))
            .collect()
    }

    fn vacate(&mut self, slot: u32) -> Option<Seat> {
        let seat = self.seats[slot as usize].take()?;
        self.taken -= 1;
        self.free.push(Reverse(slot));
        Some(seat)
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
    fn the_lowest_free_number_is_given_and_a_used_ticket_is_worth_nothing() {
        let mut seats = Seats::new(Lane::Remote, 3);
        let now = Instant::now();
        let tickets = [0, 1, 2].map(|job| seats.take(JobId::at(job), None, now));
        assert_eq!(tickets.map(|ticket| ticket.place.slot), [0, 1, 2]);
        assert!(!seats.has_room());
        for ticket in [tickets[2], tickets[0]] {
            assert!(seats.leave(ticket).is_some());
            assert!(seats.leave(ticket).is_none());
        }
        let again = seats.take(JobId::at(3), None, now);
        assert_eq!(again.place, tickets[0].place);
        assert_eq!(seats.holder(tickets[0]), None);
        assert!(seats.leave(tickets[0]).is_none());
        assert_eq!(seats.holder(again), Some(JobId::at(3)));
        assert_eq!(seats.taken(), 2);
        let cleared = seats.clear();
        let jobs: Vec<usize> = cleared.iter().map(|(_, seat)| seat.job.index()).collect();
        assert_eq!(jobs, [3, 1]);
        assert_eq!(seats.taken(), 0);
    }
}
