//! BuildGrid as an engine: a server with its scheduler in PostgreSQL, and workers that can be killed.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::casd::Casd;
use crate::certificates::Certificates;
use crate::process::{Process, engines, free_port};
use crate::worker;

/// PostgreSQL refuses to be run by root; this is nobody.
const NOBODY: u32 = 65534;

/// A server without workers.
pub(crate) struct Grid {
    // Ended in this order: the database last.
    _server: Process,
    _database: Process,
    folder: TempDir,
    port: u16,
    /// Where it wants a certificate, if anywhere.
    secure: Option<u16>,
}

impl Grid {
    pub(crate) fn start() -> Self {
        Self::of(None)
    }

    /// A server that clients reach by TLS with a certificate of theirs; workers come in by another door.
    pub(crate) fn with_tls(certificates: &Certificates) -> Self {
        Self::of(Some(certificates))
    }

    fn of(certificates: Option<&Certificates>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let database = database(folder.path());
        let port = free_port();
        let secure = certificates.map(|_| free_port());
        let door = certificates.zip(secure).map(|(certificates, port)| {
            let file = |name| certificates.file(name).display().to_string();
            format!(
                "  - !channel\n    address: \"127.0.0.1:{port}\"\n    insecure-mode: false\n    \
                 credentials:\n      tls-server-key: {}\n      tls-server-cert: {}\n      \
                 tls-client-certs: {}\n",
                file("server.key"),
                file("server.pem"),
                file("ca.pem")
            )
        });
        let config = CONFIG
            .replace("@DOOR@", &door.unwrap_or_default())
            .replace("@PORT@", &port.to_string())
            .replace("@DIR@", &folder.path().display().to_string());
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let bgd = engines().join("buildgrid/bin/bgd");
        let url = format!(
            "postgresql+psycopg2:///bgd?host={}&user=bgd",
            folder.path().join("pg").display()
        );
        succeed(Command::new(&bgd).args(["migrate", "apply", &url]));
        let said = File::create(folder.path().join("said")).unwrap();
        let mut command = Command::new(&bgd);
        command
            .args(["server", "start"])
            .arg(path)
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        Self {
            _server: Process::start(&mut command, port),
            _database: database,
            folder,
            port,
            secure,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        match self.secure {
            Some(port) => format!("grpcs://localhost:{port}"),
            None => format!("grpc://127.0.0.1:{}", self.port),
        }
    }

    /// Starts a worker that takes what wants Linux; killed with all it runs when dropped.
    pub(crate) fn worker(&self, name: &str) -> Process {
        self.worker_by(name, self.port, &["--disable-localcas"])
    }

    /// Starts a worker that gets what it needs by a casd of its own. Without one, files of equal content cost it
    /// the square of their number, and a kernel's tree has ten thousand empty ones.
    pub(crate) fn worker_with_cas(&self, name: &str, casd: u16) -> Process {
        self.worker_by(name, casd, &[])
    }

    /// Where workers come in.
    pub(crate) fn back_door(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn worker_by(&self, name: &str, cas: u16, arguments: &[&str]) -> Process {
        let programs = Casd::programs();
        let said = self.folder.path().join(name);
        let mut command = Command::new(engines().join("buildgrid/bin/python"));
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../remote/tests/engines/worker.py"
            ))
            .arg(format!("127.0.0.1:{}", self.port))
            .arg(format!("http://127.0.0.1:{cas}"))
            .args([name, "OSFamily=linux", "--"])
            .args(arguments)
            .args(
                worker::shown()
                    .iter()
                    .map(|path| format!("--ro-bind-mount={path}:{path}")),
            )
            .stdout(File::create(&said).unwrap())
            .stderr(File::create(said.with_extension("errors")).unwrap());
        let process = Process::spawn(&mut command);
        for _ in 0..600 {
            if fs::read_to_string(&said).unwrap().contains("ready") {
                return process;
            }
            sleep(Duration::from_millis(100));
        }
        let errors = fs::read_to_string(said.with_extension("errors"));
        panic!("worker {name} is not ready: {errors:?}");
    }
}

fn succeed(command: &mut Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

fn database(folder: &Path) -> Process {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("tests/provision.sh installs PostgreSQL");
    let programs: Vec<PathBuf> = versions
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    let programs = programs.iter().max().expect("a version of PostgreSQL");
    let data = folder.join("pg");
    fs::create_dir(&data).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let program = |name: &str| {
        let mut command = match root {
            true => {
                let mut command = Command::new("setpriv");
                let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
                command.args([&user, &group]).arg("--clear-groups");
                command.arg(programs.join(name));
                command
            }
            false => Command::new(programs.join(name)),
        };
        command.current_dir(&data).env("LC_ALL", "C");
        command
    };
    let cluster = data.join("cluster");
    let (at, user) = (format!("--host={}", data.display()), "--username=bgd");
    succeed(
        program("initdb")
            .args(["--auth=trust", "--no-sync", user])
            .arg(&cluster),
    );
    let mut server = program("postgres");
    server.arg("-D").arg(&cluster).arg("-k").arg(&data);
    server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
    let said = File::create(folder.join("database")).unwrap();
    let process = Process::spawn(server.stdout(said.try_clone().unwrap()).stderr(said));
    for _ in 0..600 {
        let mut ready = program("pg_isready");
        if ready.args([&at, "--quiet"]).status().unwrap().success() {
            succeed(program("createdb").args([&at, user, "bgd"]));
            return process;
        }
        sleep(Duration::from_millis(100));
    }
    panic!(
        "no database: {:?}",
        fs::read_to_string(folder.join("database"))
    );
}

const CONFIG: &str = r#"server:
  - !channel
    address: "127.0.0.1:@PORT@"
    insecure-mode: true
@DOOR@description: cache and execution
authorization: {method: none}
monitoring: {enabled: false}
connections:
  - !sql-connection &sql
    connection-string: "postgresql+psycopg2:///bgd?host=@DIR@/pg&user=bgd"
storages:
  - !disk-storage &cas
    path: @DIR@/cas
caches:
  - !lru-action-cache &ac
    storage: *cas
    max-cached-refs: 10000
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &sched
    sql: *sql
    storage: *cas
    action-cache: *ac
    property-set: !dynamic-property-set
      match-property-keys: [OSFamily]
      wildcard-property-keys: []
    bot-session-keepalive-timeout: 10
    assigners:
      - !priority-age-assigner
        count: 1
        interval: 0.2
instances:
  - name: ''
    description: main
    services:
      - !action-cache {cache: *ac}
      - !cas {storage: *cas}
      - !bytestream {storage: *cas}
      - !execution
        scheduler: *sched
        operation-stream-keepalive-timeout: 120
thread-pool-size: 60
"#;
