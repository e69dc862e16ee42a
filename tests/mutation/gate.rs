//! Gates that jobs wait at: files that the test has locked.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::ground::GATES;

/// How long the next one may take.
const NEXT: Duration = Duration::from_millis(700);

/// Where in a run a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// A job that the others wait for.
    Before,
    /// At its beginning.
    In,
    /// At its end.
    Out,
}

impl Gate {
    /// The file that a job locks there, shared.
    pub(crate) fn path(self) -> PathBuf {
        let name = match self {
            Self::Before => "before",
            Self::In => "in",
            Self::Out => "out",
        };
        PathBuf::from(GATES).join(name)
    }

    /// Makes all three, open.
    pub(crate) fn make() {
        for gate in [Self::Before, Self::In, Self::Out] {
            fs::write(gate.path(), "").unwrap();
        }
    }

    /// Closes it.
    pub(crate) fn close(self) -> Closed {
        let file = File::open(self.path()).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        Closed { gate: self, file }
    }
}

/// A gate that is closed until this is dropped.
pub(crate) struct Closed {
    gate: Gate,
    file: File,
}

impl Closed {
    /// Waits until so many jobs wait, or until no more come: some may have failed on the way.
    ///
    /// The first has so long. Who waits in vain tests less, and nothing fails.
    pub(crate) fn wait_for(&self, jobs: usize, first: Duration) {
        let inode = format!(":{} ", self.file.metadata().unwrap().ino());
        let (mut known, mut since) = (0, Instant::now());
        while known < jobs {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let waiting = locks.lines().filter(|line| line.contains("-> FLOCK"));
            let count = waiting.filter(|line| line.contains(&inode)).count();
            if count != known {
                (known, since) = (count, Instant::now());
            }
            let patience = if count == 0 { first } else { NEXT };
            if since.elapsed() > patience {
                eprintln!(
                    "waited in vain for {jobs} jobs at {:?}, {count} came",
                    self.gate
                );
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
