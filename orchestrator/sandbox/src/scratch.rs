//! The one place that an action may write: a directory of its own, gone when it ends.
//!
//! Inside are `dkms/` (the action's private DKMS tree), `run/` (kiln's own files, which
//! the action can only read), `out/` (where it leaves results for kiln) and
//! `root/`, which is its root directory, with what it finds at /tmp and /var/tmp, and `shared/`, its /dev/shm.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use kiln_cache::{EntryKind, Manifest, ObjectDigest, copy_hashed};
use kiln_durable::regular;
use kiln_files::{TemporaryDirectory, remove_filled};
use kiln_kernel::sizes;
use rustix::fs::{FlockOperation, flock};

use super::{
    BuildUser,
    bubblewrap::{SHARED_MEMORY, TEMPORARY},
    forbids_execution,
    room::{Room, may_refuse},
};

/// The time stamp of every file of a build: make compares times, and no key holds one.
pub const BUILD_EPOCH: u64 = 1_577_836_800;

/// Where scratch directories are made: a directory that the build user can reach.
#[derive(Debug)]
pub struct ScratchBase {
    directory: TemporaryDirectory,
    user: BuildUser,
}

impl ScratchBase {
    /// Makes a base directory in `preferred` if the build user can pass there and what is there may be executed, else in
    /// `/var/tmp`.
    ///
    /// # Errors
    /// Fails if no directory can be made, or nothing in it may be executed.
    pub fn new(preferred: &Path, user: BuildUser) -> io::Result<Self> {
        let fits = user.barrier(preferred).is_none() && !forbids_execution(preferred);
        let parent = if fits {
            preferred
        } else {
            Path::new("/var/tmp")
        };
        require_execution(parent)?;
        let directory = TemporaryDirectory::new_in(parent, "kiln-run-")?;
        user.admit_alone(directory.path())?;
        Ok(Self { directory, user })
    }

    /// The base directory itself.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The user that the scratch directories belong to.
    pub fn user(&self) -> BuildUser {
        self.user
    }

    /// Makes a fresh scratch directory with a random name.
    ///
    /// # Errors
    /// Fails if a directory cannot be made.
    pub fn scratch(&self) -> io::Result<Scratch> {
        let directory = tempfile::Builder::new()
            .prefix("a")
            .tempdir_in(self.directory.path())?;
        Scratch::fill(directory.keep(), self.user)
    }

    /// Makes a directory for files that several actions share.
    ///
    /// # Errors
    /// Fails if it cannot be made.
    pub fn directory(&self, prefix: &str) -> io::Result<PathBuf> {
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(self.directory.path())?;
        Ok(directory.keep())
    }

    /// Makes a scratch directory of a given name, for bare processes, whose paths show.
    /// Waits while another action uses one: nothing but their user keeps such actions apart, and one could change the permissions
    /// of another's files.
    ///
    /// # Errors
    /// Fails if a directory cannot be made.
    pub fn named(parent: &Path, name: &str, user: BuildUser) -> io::Result<Scratch> {
        own_directory(parent, user)?;
        require_execution(parent)?;
        let lock = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            // Whoever may open it may hold it.
            .mode(0o600)
            .open(parent.join("lock"))?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
        let path = parent.join(name);
        remove_filled(&path)?;
        fs::create_dir(&path)?;
        let mut scratch = Scratch::fill(path, user)?;
        scratch.lock = Some(lock);
        Ok(scratch)
    }
}

/// Fails where a build could not run what it makes.
fn require_execution(directory: &Path) -> io::Result<()> {
    match forbids_execution(directory) {
        true => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is on a file system that is mounted noexec, and builds run what they make",
                directory.display()
            ),
        )),
        false => Ok(()),
    }
}

/// Makes a directory of this user's own in a place where everybody may make some.
fn own_directory(path: &Path, user: BuildUser) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    let mine = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != mine {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a directory of user {mine}", path.display()),
        ));
    }
    user.admit_alone(path)
}

/// One action's directory; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Held by the one action that has a directory of a given name.
    lock: Option<fs::File>,
}

impl Scratch {
    fn fill(path: PathBuf, user: BuildUser) -> io::Result<Self> {
        let scratch = Self { path, lock: None };
        fs::set_permissions(&scratch.path, fs::Permissions::from_mode(0o711))?;
        let root = scratch.root();
        let temporary = TEMPORARY.map(|directory| scratch.temporary(Path::new(directory)));
        let other = [
            scratch.dkms_tree(),
            scratch.out(),
            root.clone(),
            // bubblewrap makes other directories in it.
            root.join("var"),
        ];
        for directory in other.iter().chain(&temporary) {
            fs::create_dir_all(directory)?;
            user.own(directory)?;
        }
        fs::create_dir_all(scratch.run().join("out"))?;
        Ok(scratch)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The action's private DKMS tree.
    pub fn dkms_tree(&self) -> PathBuf {
        self.path.join("dkms")
    }

    /// kiln's own files, read-only inside.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Where the action leaves results.
    pub fn out(&self) -> PathBuf {
        self.path.join("out")
    }

    /// The action's root directory, where it has namespaces of its own.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// What the action finds at one of the [`TEMPORARY`] directories.
    pub(super) fn temporary(&self, directory: &Path) -> PathBuf {
        match directory.strip_prefix("/dev") {
            // There is a file system of its own above this one.
            Ok(_) => self.path.join("shared"),
            Err(_) => self
                .root()
                .join(directory.strip_prefix("/").unwrap_or(directory)),
        }
    }

    /// The directories in it that are the action's.
    pub(super) fn writable(&self) -> [PathBuf; 4] {
        let shared = self.temporary(Path::new(SHARED_MEMORY));
        [self.dkms_tree(), self.out(), self.root(), shared]
    }

    /// Whether its file system has little room, or does not tell.
    pub fn is_scarce(&self) -> bool {
        Room::at(&self.path).is_none_or(|room| room.is_below(Room::PLENTY))
    }

    /// Whether its file system has so little room that an action is stopped.
    pub fn is_full(&self) -> bool {
        Room::at(&self.path).is_some_and(|room| room.is_below(Room::FLOOR))
    }

    /// Whether an action that writes there may be refused what another machine gives it.
    pub fn may_run_out(&self) -> bool {
        self.is_scarce() || may_refuse(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_filled(&self.path);
    }
}

/// Copies the tree that `manifest` describes from `from` to `to`, giving every entry to
/// `user` and the same time stamp.
///
/// # Errors
/// Fails on any I/O error, and with [`io::ErrorKind::InvalidData`] naming the first file
/// whose content is not the one in the manifest: it changed since it was hashed.
pub fn copy_tree(from: &Path, manifest: &Manifest, to: &Path, user: BuildUser) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let place = |path: &[u8]| to.join(std::ffi::OsStr::from_bytes(path));
    fs::create_dir_all(to)?;
    user.own(to)?;
    for entry in manifest.entries() {
        let target = place(&entry.path);
        let source = from.join(std::ffi::OsStr::from_bytes(&entry.path));
        match &entry.kind {
            EntryKind::Directory => {
                fs::create_dir(&target)?;
                user.own(&target)?;
            }
            EntryKind::Symlink { target: link } => {
                symlink(std::ffi::OsStr::from_bytes(link), &target)?;
                user.own(&target)?;
            }
            EntryKind::File { digest, executable } => {
                copy_file(&source, &target, *digest, *executable)?;
                user.own(&target)?;
            }
        }
    }
    stamp(to)
}

fn copy_file(from: &Path, to: &Path, digest: ObjectDigest, executable: bool) -> io::Result<()> {
    let mut source = regular::open_at_once(from)?;
    regular::must_have_at_most(sizes::BINARY, &source.metadata()?)?;
    let mut file = fs::File::create(to)?;
    let (copied, _) = copy_hashed(&mut source, |piece| file.write_all(piece))?;
    if copied != digest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} changed while it was read", from.display()),
        ));
    }
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(BUILD_EPOCH))
}

/// Sets the time stamp of a directory.
fn stamp(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(BUILD_EPOCH))
}
