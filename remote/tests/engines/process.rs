//! A server process: started on a port of its own, killed with all its children when dropped.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Where the engines are installed.
pub(crate) fn engines() -> PathBuf {
    let folder = std::env::var_os("KILN_TEST_ENGINES").map(PathBuf::from);
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/engines");
    let folder = folder.unwrap_or_else(|| PathBuf::from(corpus));
    assert!(
        folder.is_dir(),
        "no engines in {}: run tests/provision.sh test",
        folder.display()
    );
    folder.canonicalize().unwrap()
}

/// A port on which nobody listens now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A running server.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        let mut process = Self::spawn(command);
        for _ in 0..3000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return process;
            }
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended: {ended:?}");
            sleep(Duration::from_millis(10));
        }
        panic!("{command:?} does not listen on {port}");
    }

    /// Starts a process that does not listen.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}
