//! What jobs are expected to take, from what earlier ones took.

use std::{collections::HashMap, time::Duration};

use kiln_cache::{Cost, Subject};
use kiln_scheduler::Estimate;

/// How long a first build of an unknown package is taken to last: a base, and some for
/// each file of its source.
const UNKNOWN_BASE: Duration = Duration::from_millis(1200);
const UNKNOWN_PER_FILE: Duration = Duration::from_millis(60);

/// Where an estimate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The same package and kernel, built before.
    Same,
    /// The same package for another kernel.
    OtherKernel,
    /// The size of the source.
    Guess,
}

/// Expected processor time and memory, from what earlier jobs took.
pub struct Estimates {
    exact: HashMap<Subject, Estimate>,
    by_name: HashMap<String, Estimate>,
}

impl Estimates {
    /// What can be expected after jobs that took this.
    pub fn new(costs: &[(Subject, Cost)]) -> Self {
        let mut exact = HashMap::new();
        let mut by_name = HashMap::new();
        for (subject, cost) in costs {
            let estimate = Estimate {
                duration: cost.cpu,
                memory: cost.peak_memory,
            };
            by_name.insert(subject.name.clone(), estimate);
            exact.insert(subject.clone(), estimate);
        }
        Self { exact, by_name }
    }

    /// What a job with `weight` files of source would take, and why one thinks so.
    pub fn of(&self, subject: &Subject, weight: u64) -> (Estimate, Basis) {
        let exact = self.exact.get(subject).map(|known| (*known, Basis::Same));
        let by_name = || {
            let known = self.by_name.get(&subject.name)?;
            Some((*known, Basis::OtherKernel))
        };
        exact.or_else(by_name).unwrap_or_else(|| {
            let files = u32::try_from(weight).unwrap_or(u32::MAX);
            let estimate = Estimate {
                duration: UNKNOWN_BASE + UNKNOWN_PER_FILE.saturating_mul(files),
                memory: 0,
            };
            (estimate, Basis::Guess)
        })
    }
}
