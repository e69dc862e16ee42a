//! The two places where a job can run, and which of them a job allows.
//!
//! The local lane is this machine: a running job holds a token of the pool and passes the memory guard. The remote lane
//! is somebody else's machine: its executor's slots are the only limit. Beyond that the two are alike.

use std::fmt;

/// One of the two places where jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// This machine.
    Local,
    /// An engine elsewhere.
    Remote,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Local, Self::Remote];

    /// Returns the lane's position in a pair of things, one a lane.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Local => 0,
            Self::Remote => 1,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Remote => "remote",
        })
    }
}

/// Where a running job is. No two jobs that run at the same time are in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The lane.
    pub lane: Lane,
    /// The lowest number that was free in the lane when the job started, from 0. It says nothing of threads or machines.
    pub slot: u32,
}

/// In which lanes a job may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Wherever there is room first.
    #[default]
    Either,
    /// Never elsewhere.
    LocalOnly,
    /// Never here.
    RemoteOnly,
}

impl Placement {
    pub(crate) const ALL: [Self; 3] = [Self::Either, Self::LocalOnly, Self::RemoteOnly];

    pub(crate) fn only(lane: Lane) -> Self {
        match lane {
            Lane::Local => Self::LocalOnly,
            Lane::Remote => Self::RemoteOnly,
        }
    }

    /// Tells whether a job may run in a lane.
    #[must_use]
    pub fn allows(self, lane: Lane) -> bool {
        self == Self::Either || self == Self::only(lane)
    }

    /// Returns what is left when a lane is ruled out as well.
    pub(crate) fn without(self, lane: Lane) -> Option<Self> {
        self.allows(lane.other()).then(|| Self::only(lane.other()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ruled_out_stays_out() {
        assert_eq!(
            Placement::Either.without(Lane::Remote),
            Some(Placement::LocalOnly)
        );
        assert_eq!(
            Placement::LocalOnly.without(Lane::Remote),
            Some(Placement::LocalOnly)
        );
        assert_eq!(Placement::RemoteOnly.without(Lane::Remote), None);
        for lane in Lane::ALL {
            assert!(Placement::Either.allows(lane));
            assert!(Placement::only(lane).allows(lane));
            assert!(!Placement::only(lane).allows(lane.other()));
        }
    }
}
