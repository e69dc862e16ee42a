//! How much memory this machine can still give, and how much of it must stay free.
//!
//! It only measures; what a measurement means for a waiting job is decided in `admission`.

use std::fmt;
use std::fs;

/// Holds jobs back while memory is short.
///
/// It speaks of this machine, so the remote lane never asks it.
pub struct MemoryGuard {
    reserve: u64,
    gauge: Box<dyn Fn() -> Option<u64> + Send>,
}

impl MemoryGuard {
    /// Makes a guard that leaves `reserve` bytes free and asks `gauge` how many bytes are available now. A gauge that
    /// returns `None` holds nothing back. It is called at most about fifty times a second.
    pub fn new(reserve: u64, gauge: impl Fn() -> Option<u64> + Send + 'static) -> Self {
        Self {
            reserve,
            gauge: Box::new(gauge),
        }
    }

    /// Makes a guard over the whole machine's memory: `MemAvailable` of `/proc/meminfo`.
    #[must_use]
    pub fn system(reserve: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the kernel's file has an end")]
        Self::new(reserve, || {
            available(&fs::read_to_string("/proc/meminfo").ok()?)
        })
    }

    /// Returns how many bytes jobs may still take, or `None` when that is unknown.
    pub(crate) fn spendable(&self) -> Option<u64> {
        (self.gauge)().map(|available| available.saturating_sub(self.reserve))
    }
}

fn available(meminfo: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

impl fmt::Debug for MemoryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryGuard")
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_line_of_meminfo() {
        let text = "MemTotal:       16000 kB\nMemFree:         100 kB\nMemAvailable:     2048 kB\n";
        assert_eq!(available(text), Some(2048 * 1024));
        assert_eq!(available("MemTotal: 16000 kB\n"), None);
        assert_eq!(available("MemAvailable: plenty\n"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(MemoryGuard::system(0).spendable().unwrap() > 0);
    }

    #[test]
    fn the_reserve_is_not_spendable() {
        assert_eq!(MemoryGuard::new(30, || Some(100)).spendable(), Some(70));
        assert_eq!(MemoryGuard::new(300, || Some(100)).spendable(), Some(0));
        assert_eq!(MemoryGuard::new(0, || None).spendable(), None);
    }
}
