//! BuildGrid: CAS and ActionCache on disk, with TLS and tokens.

use std::fs::{self, File};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::process::{Process, engines, free_port};

/// Whom a BuildGrid lets in.
#[derive(Clone, Copy)]
pub(crate) enum Door<'c> {
    Open,
    /// Whoever has a certificate.
    MutualTls(&'c Certificates),
    /// Whoever has a token that was signed with this secret.
    Token(&'c str),
}

/// A BuildGrid that is a cache, with a folder of its own.
pub(crate) struct BuildGrid {
    _folder: TempDir,
    port: u16,
    secure: bool,
    _process: Process,
}

impl BuildGrid {
    pub(crate) fn start(door: Door) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let credentials = match door {
            Door::MutualTls(certificates) => {
                let file = |name| certificates.file(name).display().to_string();
                format!(
                    "insecure-mode: false\n    credentials:\n      tls-server-key: {}\n      \
                     tls-server-cert: {}\n      tls-client-certs: {}\n",
                    file("server.key"),
                    file("server.pem"),
                    file("ca.pem")
                )
            }
            _ => "insecure-mode: true\n".to_owned(),
        };
        let authorization = match door {
            Door::Token(secret) => {
                let file = folder.path().join("secret");
                fs::write(&file, secret).unwrap();
                format!(
                    "{{method: jwt, algorithm: hs256, secret: {}}}",
                    file.display()
                )
            }
            _ => "{method: none}".to_owned(),
        };
        let config = CONFIG
            .replace("@PORT@", &port.to_string())
            .replace("@CREDENTIALS@", &credentials)
            .replace("@AUTHORIZATION@", &authorization)
            .replace("@DIR@", &folder.path().display().to_string());
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let said = File::create(folder.path().join("said")).unwrap();
        let mut command = Command::new(engines().join("buildgrid/bin/bgd"));
        command
            .args(["server", "start"])
            .arg(path)
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        Self {
            _process: Process::start(&mut command, port),
            secure: matches!(door, Door::MutualTls(_)),
            _folder: folder,
            port,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.secure { "grpcs" } else { "grpc" };
        format!("{scheme}://localhost:{}", self.port)
    }
}

const CONFIG: &str = r#"server:
  - !channel
    address: "127.0.0.1:@PORT@"
    @CREDENTIALS@
description: cache only
authorization: @AUTHORIZATION@
monitoring: {enabled: false}
storages:
  - !disk-storage &cas
    path: @DIR@/cas
caches:
  - !lru-action-cache &ac
    storage: *cas
    max-cached-refs: 10000
    allow-updates: true
    cache-failed-actions: false
instances:
  - name: ''
    description: main
    services:
      - !action-cache {cache: *ac}
      - !cas {storage: *cas}
      - !bytestream {storage: *cas}
thread-pool-size: 30
"#;
