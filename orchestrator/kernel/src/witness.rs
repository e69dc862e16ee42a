//! What a key was made of, kept so that it can be looked at again: whether anything was touched between
//! planning and the end of an action. An outcome is only worth its key if nothing was.
//!
//! One check serves all actions that had ended when it began. What has moved once has moved for good, even
//! if its old content is back: what ran meanwhile may have seen the other.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use kiln_cache::{
    FileSnapshot, ObjectDigest, ScanError, ScanOptions, Spot, TreeScan, lag, moved, scan_file,
    scan_tree,
};

/// By how much longer than its time may lie behind the clock a file is left alone.
const MARGIN: Duration = Duration::from_millis(2);

/// How often something is waited for to settle. What still has not has times in the future, and is read
/// again after the action.
const PATIENCE: u32 = 4;

/// Waits until the times of something that was touched tell whether it is touched again.
pub fn settle(path: &Path) {
    // What is gone, or cannot be looked at, is as any other.
    let nanoseconds = fs::symlink_metadata(path).map_or(1, |metadata| metadata.ctime_nsec());
    thread::sleep(lag(nanoseconds) + MARGIN);
}

/// Something on disk that a part of a key was made of.
#[derive(Debug)]
pub struct Witness {
    digest: Option<ObjectDigest>,
    scan: Option<Arc<TreeScan>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    look: Look,
    /// Whether a later look will tell.
    steady: bool,
    /// When the last check began that found nothing touched.
    clean: Option<Instant>,
    moved: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Look {
    Tree(PathBuf, Arc<TreeScan>),
    File(FileSnapshot),
    Spot(Spot),
}

impl Witness {
    /// A directory tree with everything in it.
    pub fn tree(root: PathBuf, scan: Arc<TreeScan>) -> Self {
        Self::new(
            Some(scan.digest),
            Some(Arc::clone(&scan)),
            Look::Tree(root, scan),
        )
    }

    /// A file, links followed.
    pub fn file(snapshot: FileSnapshot) -> Self {
        Self::new(Some(snapshot.digest()), None, Look::File(snapshot))
    }

    /// A link, a directory that was listed, or a path where nothing was.
    pub fn spot(spot: Spot) -> Self {
        Self::new(None, None, Look::Spot(spot))
    }

    fn new(digest: Option<ObjectDigest>, scan: Option<Arc<TreeScan>>, look: Look) -> Self {
        let state = State {
            look,
            steady: false,
            clean: None,
            moved: None,
        };
        Self {
            digest,
            scan,
            state: Mutex::new(state),
        }
    }

    /// The digest of a tree or a file.
    pub fn digest(&self) -> Option<ObjectDigest> {
        self.digest
    }

    /// What was found out about a tree.
    pub fn scan(&self) -> Option<&Arc<TreeScan>> {
        self.scan.as_ref()
    }

    /// Makes sure, before an action starts, that a look after it will tell whether this was touched.
    /// Waits for what was written a moment ago.
    ///
    /// # Errors
    /// Gives the path that is not what it was, or was touched before.
    pub fn steady(&self) -> Result<(), PathBuf> {
        let mut state = self.lock();
        if let Some(path) = &state.moved {
            return Err(path.clone());
        }
        let mut patience = PATIENCE;
        while !state.steady {
            let Some(settles_in) = state.look.settles_in().filter(|_| patience > 0) else {
                state.steady = true;
                break;
            };
            patience -= 1;
            thread::sleep(settles_in + MARGIN);
            match state.look.again() {
                Ok(Some(look)) => state.look = look,
                Ok(None) | Err(_) => {
                    let path = state.look.path().to_owned();
                    state.moved = Some(path.clone());
                    return Err(path);
                }
            }
        }
        Ok(())
    }

    /// What was touched from when this was looked at until `until`, a moment in the past; later ones may
    /// count too.
    pub fn moved(&self, until: Instant) -> Option<PathBuf> {
        let mut state = self.lock();
        if state.moved.is_none() && state.clean.is_none_or(|began| began < until) {
            let began = Instant::now();
            match state.look.moved() {
                None => state.clean = Some(began),
                some => state.moved = some,
            }
        }
        state.moved.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look {
    fn path(&self) -> PathBuf {
        match self {
            Self::Tree(root, _) => root.clone(),
            Self::File(snapshot) => snapshot.path(),
            Self::Spot(spot) => spot.path().to_owned(),
        }
    }

    fn settles_in(&self) -> Option<Duration> {
        match self {
            Self::Tree(_, scan) => scan.snapshot.settles_in(),
            Self::File(snapshot) => snapshot.settles_in(),
            Self::Spot(spot) => spot.settles_in(),
        }
    }

    /// The same, looked at now; none if it is not the same.
    fn again(&self) -> Result<Option<Self>, ScanError> {
        Ok(match self {
            Self::Tree(root, scan) => {
                let now = scan_tree(root, Some(&scan.snapshot), &ScanOptions::default())?;
                (now.digest == scan.digest).then(|| Self::Tree(root.clone(), Arc::new(now)))
            }
            Self::File(snapshot) => {
                let now = scan_file(&snapshot.path(), Some(snapshot))?.snapshot;
                (now.digest() == snapshot.digest()).then_some(Self::File(now))
            }
            Self::Spot(spot) => {
                let failed = |source: io::Error| ScanError::Io {
                    path: spot.path().to_owned(),
                    source,
                };
                let now = Spot::look_at(spot.path()).map_err(failed)?;
                (!spot.has_moved()).then_some(Self::Spot(now))
            }
        })
    }

    fn moved(&self) -> Option<PathBuf> {
        match self {
            Self::Tree(root, scan) => match moved(root, &scan.snapshot) {
                Ok(found) => found.map(|path| join(root, &path)),
                Err(_) => Some(root.clone()),
            },
            Self::File(snapshot) => snapshot.has_moved().then(|| snapshot.path()),
            Self::Spot(spot) => spot.has_moved().then(|| spot.path().to_owned()),
        }
    }
}

fn join(root: &Path, relative: &Path) -> PathBuf {
    match relative.as_os_str().is_empty() {
        true => root.to_owned(),
        false => root.join(relative),
    }
}

/// Where a part of a key comes from. There is no third: what is neither told nor seen cannot be in a key.
#[derive(Debug, Clone)]
pub enum Origin {
    /// From kiln itself, from its caller, or from records of the store: nothing that changes by itself.
    Told,
    /// From what was seen on disk.
    Seen(Arc<[Arc<Witness>]>),
}

impl Origin {
    /// What was seen.
    pub fn witnesses(&self) -> &[Arc<Witness>] {
        match self {
            Self::Told => &[],
            Self::Seen(witnesses) => witnesses,
        }
    }

    /// Makes sure that a look after an action will tell; see [`Witness::steady`].
    ///
    /// # Errors
    /// Gives the path that is not what it was.
    pub fn steady(&self) -> Result<(), PathBuf> {
        self.witnesses()
            .iter()
            .try_for_each(|witness| witness.steady())
    }

    /// What was touched until `until`; see [`Witness::moved`].
    pub fn moved(&self, until: Instant) -> Option<PathBuf> {
        self.witnesses()
            .iter()
            .find_map(|witness| witness.moved(until))
    }
}

impl From<Arc<Witness>> for Origin {
    fn from(witness: Arc<Witness>) -> Self {
        Self::Seen(Arc::new([witness]))
    }
}

impl FromIterator<Arc<Witness>> for Origin {
    fn from_iter<I: IntoIterator<Item = Arc<Witness>>>(witnesses: I) -> Self {
        Self::Seen(witnesses.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
