//! A real REAPI server for kiln to talk to: buildbox-casd, as tests/provision.sh installs it. It can be
//! killed, restarted and robbed of what it keeps.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::{mounts, worker};

/// A server with a cache of its own; killed when dropped.
pub(crate) struct Casd {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    /// How large its disk is, if that is one of its own.
    disk: Option<&'static str>,
    folder: TempDir,
}

impl Casd {
    /// Starts one that keeps what it is given.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one that also executes, two actions at once: its workers have this machine's programs,
    /// and no kernel.
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

    /// Starts one whose cache is on a disk of its own, in memory, of this size.
    pub(crate) fn on_a_disk_of(size: &'static str) -> Self {
        Self::of(&[], Some(size))
    }

    /// Starts one with these arguments.
    pub(crate) fn with(arguments: &[String]) -> Self {
        Self::of(arguments, None)
    }

    fn of(arguments: &[String], disk: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut casd = Self {
            child: None,
            port,
            arguments: arguments.to_vec(),
            disk,
            folder: tempfile::Builder::new()
                .prefix("kiln-casd-")
                .tempdir_in("/var/tmp")
                .unwrap(),
        };
        casd.restart();
        casd
    }

    /// Kills it with all that it runs, and starts it again with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let programs = programs();
        let said = File::create(self.folder.path().join("said")).unwrap();
        let program = programs.join("buildbox-casd");
        let cache = self.folder.path().join("cas");
        let mut command = match self.disk {
            None => Command::new(program),
            Some(size) => {
                fs::create_dir_all(&cache).unwrap();
                let mut command = Command::new("unshare");
                let script = "mount -t tmpfs -o \"size=$1\" tmpfs \"$2\"; shift 2; exec \"$@\"";
                command
                    .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script])
                    .args(["sh", size])
                    .arg(&cache)
                    .arg(program);
                command
            }
        };
        command
            .args(["--bind", &format!("127.0.0.1:{}", self.port)])
            .args(["--reserved=1M", "--log-level=warning"])
            .args(&self.arguments)
            .arg(&cache)
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .process_group(0);
        let mut child = command.spawn().unwrap();
        for _ in 0..3000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                self.child = Some(child);
                return;
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "casd has ended: {}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
        panic!("casd does not listen: {}", self.said());
    }

    /// Where its programs are.
    pub(crate) fn programs() -> PathBuf {
        programs()
    }

    /// What kiln calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it has complained of.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap()
    }

    /// Ends it, as a machine that loses power would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
        mounts::release_below(self.folder.path());
    }

    /// Removes all blobs behind its back; how many there were.
    pub(crate) fn evict(&self) -> usize {
        let mut evicted = 0;
        for folder in fs::read_dir(self.folder.path().join("cas/cas/objects")).unwrap() {
            for blob in fs::read_dir(folder.unwrap().path()).unwrap() {
                fs::remove_file(blob.unwrap().path()).unwrap();
                evicted += 1;
            }
        }
        evicted
    }
}

/// The arguments of a server that executes two actions at once.
pub(crate) fn executing() -> Vec<String> {
    let runner = programs().join("buildbox-run");
    vec![
        format!("--buildbox-run={}", runner.display()),
        "--jobs".to_owned(),
        "2".to_owned(),
        "--cache-failures=false".to_owned(),
    ]
}

/// The arguments by which workers show this machine's programs; after `when` and a colon only to actions with
/// the property `inject=when`.
pub(crate) fn worker_binds(when: &str) -> impl Iterator<Item = String> {
    let bind = move |shown| format!("--runner-arg=--ro-bind-mount={when}{shown}:{shown}");
    worker::shown().into_iter().map(bind)
}

/// Where its programs are.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../corpus/engines/buildbox")
        .canonicalize()
        .expect("tests/provision.sh test installs the engines")
}

impl Drop for Casd {
    fn drop(&mut self) {
        self.kill();
    }
}
