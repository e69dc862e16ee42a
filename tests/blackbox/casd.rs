//! A real REAPI server for kiln to talk to: buildbox-casd, as tests/provision.sh installs it.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{run::wait_until, world::World};

/// A server with a cache in a world of its own; killed when dropped.
pub(crate) struct Casd {
    child: Child,
    port: u16,
    _world: World,
}

impl Casd {
    /// Starts one and waits until it listens.
    pub(crate) fn start() -> Self {
        let world = World::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/engines/buildbox");
        let programs = programs
            .canonicalize()
            .expect("tests/provision.sh test installs the engines");
        let said = File::create(world.path("said")).unwrap();
        let mut child = Command::new(programs.join("buildbox-casd"))
            .args(["--bind", &format!("127.0.0.1:{port}")])
            .arg(world.path("cas"))
            .env("PATH", &programs)
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

impl Drop for Casd {
    fn drop(&mut self) {
        self.kill();
    }
}
