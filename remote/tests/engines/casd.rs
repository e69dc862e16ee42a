//! buildbox-casd: CAS and ActionCache in one process, Execution if asked for. It can be killed, restarted, and
//! robbed of what it keeps.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{
    mounts,
    process::{Process, engines, free_port},
    worker,
};

/// A casd with a cache of its own.
pub(crate) struct Casd {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    /// How large its disk is, if that is one of its own.
    disk: Option<&'static str>,
    process: Option<Process>,
}

impl Casd {
    /// A cache.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// An engine that executes, two actions at once. Its workers have this machine's programs, and of kernels
    /// what is in an action's inputs.
    pub(crate) fn engine() -> Self {
        Self::engine_with(&[])
    }

    /// [`Casd::engine`] with further arguments.
    pub(crate) fn engine_with(more: &[&str]) -> Self {
        let mut arguments = executing();
        arguments.extend(worker_binds(""));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Self::with(&arguments)
    }

    /// A cache on a disk of its own, in memory, of this size.
    pub(crate) fn on_a_disk_of(size: &'static str) -> Self {
        Self::of(&[], Some(size))
    }

    /// A casd with these arguments.
    pub(crate) fn with(arguments: &[String]) -> Self {
        Self::of(arguments, None)
    }

    fn of(arguments: &[String], disk: Option<&'static str>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("kiln-casd-")
            .tempdir_in("/var/tmp");
        let mut casd = Self {
            folder: folder.unwrap(),
            port: free_port(),
            arguments: arguments.to_vec(),
            disk,
            process: None,
        };
        casd.restart();
        casd
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What kiln calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Where its programs are.
    pub(crate) fn programs() -> PathBuf {
        engines().join("buildbox")
    }

    /// Ends it and what it runs, as a machine that loses power would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        mounts::release_below(self.folder.path());
    }

    /// Kills it, and starts it again with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let programs = Self::programs();
        let said = File::create(self.folder.path().join("said")).unwrap();
        let cache = self.cache();
        let mut command = on_disk(self.disk, &cache, &programs.join("buildbox-casd"));
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .args(["--bind", &format!("127.0.0.1:{}", self.port)])
            .args(["--reserved=1M", "--log-level=warning"])
            .args(&self.arguments)
            .arg(cache)
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        self.process = Some(Process::start(&mut command, self.port));
    }

    /// What it has said since it was started.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    /// The file in which it keeps a blob.
    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.objects().join(&sha256[..2]).join(&sha256[2..])
    }

    /// Replaces a blob on its disk behind its back.
    pub(crate) fn damage(&self, sha256: &str, content: &[u8]) {
        let path = self.blob(sha256);
        // A new file, for others may have links to the old one.
        fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(path, content).unwrap();
    }

    /// Removes all blobs behind its back; how many there were.
    pub(crate) fn evict(&self) -> usize {
        let mut evicted = 0;
        for folder in fs::read_dir(self.objects()).unwrap() {
            for blob in fs::read_dir(folder.unwrap().path()).unwrap() {
                fs::remove_file(blob.unwrap().path()).unwrap();
                evicted += 1;
            }
        }
        evicted
    }

    /// The directory of all that it keeps.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn objects(&self) -> PathBuf {
        self.cache().join("cas/objects")
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The arguments of a server that executes two actions at once, and shows their workers nothing.
pub(crate) fn executing() -> Vec<String> {
    let runner = Casd::programs().join("buildbox-run");
    vec![
        format!("--buildbox-run={}", runner.display()),
        "--jobs=2".to_owned(),
        "--cache-failures=false".to_owned(),
    ]
}

/// The arguments by which workers show this machine's programs; after `when` and a colon only to actions with
/// the property `inject=when`.
pub(crate) fn worker_binds(when: &str) -> impl Iterator<Item = String> {
    let bind = move |shown| format!("--runner-arg=--ro-bind-mount={when}{shown}:{shown}");
    worker::shown().into_iter().map(bind)
}

/// A program that has, at `place`, a disk in memory of this size for itself, if any.
fn on_disk(size: Option<&str>, place: &Path, program: &Path) -> Command {
    let Some(size) = size else {
        return Command::new(program);
    };
    fs::create_dir_all(place).unwrap();
    let script = "mount -t tmpfs -o \"size=$1\" tmpfs \"$2\"; shift 2; exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script])
        .args(["sh", size])
        .arg(place)
        .arg(program);
    command
}
