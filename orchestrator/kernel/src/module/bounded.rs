//! A file of which only so much may be read into memory.

use std::{cell::Cell, ops::Range};

use object::ReadRef;

/// Reads from another, as long as anything is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounded<'b, R> {
    inner: R,
    left: &'b Cell<u64>,
}

impl<'b, R> Bounded<'b, R> {
    /// `left` is how many bytes may be read; it is 0 once more were asked for.
    pub(super) fn new(inner: R, left: &'b Cell<u64>) -> Self {
        Self { inner, left }
    }

    fn spend(&self, bytes: u64) -> Result<(), ()> {
        let left = self.left.get().checked_sub(bytes).filter(|left| *left > 0);
        self.left.set(left.unwrap_or_default());
        left.map(drop).ok_or(())
    }
}

impl<'d, R: ReadRef<'d>> ReadRef<'d> for Bounded<'d, R> {
    fn len(self) -> Result<u64, ()> {
        self.inner.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        self.spend(size)?;
        self.inner.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        let bytes = self.inner.read_bytes_at_until(range, delimiter)?;
        self.spend(bytes.len() as u64 + 1)?;
        Ok(bytes)
    }
}
