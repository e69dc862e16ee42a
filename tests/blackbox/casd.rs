//! A real REAPI server for kiln to talk to: buildbox-casd, as tests/provision.sh installs it.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{run::wait_until, world::World};

/// What a worker shows of this machine: programs and libraries, but neither kernels nor their kbuild.
const WORKER: [&str; 7] = [
    "/usr/bin",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/gcc",
    "/usr/lib64",
    "/usr/include",
    "/usr/share/perl",
    "/etc/alternatives",
];

/// A server with a cache in a world of its own; killed when dropped.
pub(crate) struct Casd {
    child: Child,
    port: u16,
    _world: World,
}

impl Casd {
    /// Starts one that keeps what it is given.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one that also executes, two actions at once: its workers have this machine's programs,
    /// and no kernel.
    pub(crate) fn engine() -> Self {
        let mut arguments = vec![
            format!(
                "--buildbox-run={}",
                programs().join("buildbox-run").display()
            ),
            "--jobs".to_owned(),
            "2".to_owned(),
            "--cache-failures=false".to_owned(),
        ];
        for shown in WORKER {
            arguments.push(format!("--runner-arg=--ro-bind-mount={shown}:{shown}"));
        }
        Self::with(&arguments)
    }

    fn with(arguments: &[String]) -> Self {
        let world = World::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let programs = programs();
        let said = File::create(world.path("said")).unwrap();
        let mut child = Command::new(programs.join("buildbox-casd"))
            .args(["--bind", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .arg(world.path("cas"))
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        wait_until("casd listens", || {
            assert!(child.try_wait().unwrap().is_none(), "casd has ended");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Self {
            child,
            port,
            _world: world,
        }
    }

    /// What kiln calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Ends it, as a machine that loses power would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
