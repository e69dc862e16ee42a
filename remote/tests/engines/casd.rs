//! buildbox-casd: CAS and ActionCache in one process, Execution if asked for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{
    mounts,
    process::{Process, engines, free_port},
    worker,
};

/// A casd with a cache of its own, which may be stopped and started again.
pub(crate) struct Casd {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Casd {
    /// A cache.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// An engine that executes actions, with this machine's programs but only what is in an action's inputs
    /// of /usr/src and /usr/lib/linux-kbuild-*.
    pub(crate) fn executing() -> Self {
        let mut arguments = vec![
            format!(
                "--buildbox-run={}",
                Self::programs().join("buildbox-run").display()
            ),
            "--jobs=2".to_owned(),
            "--cache-failures=false".to_owned(),
        ];
        let shown = worker::shown().into_iter();
        arguments.extend(shown.map(|path| format!("--runner-arg=--ro-bind-mount={path}:{path}")));
        Self::with(&arguments)
    }

    /// A casd with more arguments.
    pub(crate) fn with(arguments: &[String]) -> Self {
        let mut casd = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            arguments: arguments.to_vec(),
            process: None,
        };
        casd.restart();
        casd
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Where its programs are.
    pub(crate) fn programs() -> PathBuf {
        engines().join("buildbox")
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.process = None;
        mounts::release_below(self.folder.path());
    }

    /// Starts it again, with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let programs = Self::programs();
        let said = File::create(self.folder.path().join("said")).unwrap();
        let mut command = Command::new(programs.join("buildbox-casd"));
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .arg("--bind")
            .arg(format!("127.0.0.1:{}", self.port))
            .args(["--reserved=1M", "--log-level=warning"])
            .args(&self.arguments)
            .arg(self.folder.path().join("cache"))
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
        let objects = self.folder.path().join("cache/cas/objects");
        objects.join(&sha256[..2]).join(&sha256[2..])
    }

    /// Replaces a blob on its disk behind its back.
    pub(crate) fn damage(&self, sha256: &str, content: &[u8]) {
        let path = self.blob(sha256);
        assert!(path.is_file(), "no blob {}", path.display());
        replace(&path, content);
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn replace(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}
