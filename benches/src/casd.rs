//! A server of the Remote Execution API on the loopback: buildbox-casd, as tests/provision.sh
//! installs it. Killed, with what it runs, when dropped.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Result, site::Site, worker};

/// It listens within some 30 ms.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Casd {
    child: Child,
    port: u16,
    has_ended: bool,
}

impl Casd {
    /// Starts one that keeps what it is given, in a directory that is made.
    pub(crate) fn cache(site: &Site, directory: &Path) -> Result<Self> {
        Self::start(site, directory, &[])
    }

    /// Starts one that also executes, so many actions at once.
    pub(crate) fn engine(site: &Site, directory: &Path, actions: usize) -> Result<Self> {
        let run = site.root.join("corpus/engines/buildbox/buildbox-run");
        let mut arguments = vec![
            format!("--buildbox-run={}", fs::canonicalize(run)?.display()),
            format!("--jobs={actions}"),
            "--cache-failures=false".to_owned(),
        ];
        for shown in worker::shown() {
            arguments.push(format!("--runner-arg=--ro-bind-mount={shown}:{shown}"));
        }
        Self::start(site, directory, &arguments)
    }

    fn start(site: &Site, directory: &Path, arguments: &[String]) -> Result<Self> {
        let programs = fs::canonicalize(site.root.join("corpus/engines/buildbox"))
            .map_err(|_| "corpus/engines/buildbox is missing: `make bench` provides it")?;
        fs::create_dir_all(directory)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        drop(listener);
        let said = File::create(directory.join("said"))?;
        // A bench that is interrupted must not leave it behind.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(programs.join("buildbox-casd"))
            .args(["--bind", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .arg(directory.join("cas"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0)
            .spawn()?;
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(directory.join("said")).unwrap_or_default();
                return Err(format!("buildbox-casd does not listen: {said}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            child,
            port,
            has_ended: false,
        })
    }

    /// What kiln calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    /// Ends it and what it runs, as a machine that loses power would.
    pub(crate) fn kill(&mut self) {
        if self.has_ended {
            return;
        }
        let _ = self.child.kill();
        // What it runs is in its group, which a negative number means; its own number is taken until
        // it is waited for.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
        self.has_ended = true;
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        self.kill();
    }
}
