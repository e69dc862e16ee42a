//! Other processes: this test binary started again to play a role.
//!
//! A role says what happens in lines that begin with `@ `, and ends when its standard input does.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use kiln_cache::{GcOptions, Index, ScanOptions, Store, scan_tree};

use crate::fixture;

const ROLE: &str = "KILN_CACHE_TEST_ROLE";
const PLACE: &str = "KILN_CACHE_TEST_PLACE";

/// Another process; killed when dropped.
pub(crate) struct Other {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// The command that plays a role at a place.
pub(crate) fn command(role: &str, place: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "process::play",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ROLE, role)
        .env(PLACE, place);
    command
}

pub(crate) fn start(role: &str, place: &Path) -> Other {
    let mut child = command(role, place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    Other { child, output }
}

/// What a role says first when it is played by a user who may do nothing.
pub(crate) fn as_nobody(role: &str, place: &Path) -> String {
    start(&format!("nobody:{role}"), place).hear().unwrap()
}

impl Other {
    /// Waits for the next thing it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            // The test harness writes the test's name in front of the first line.
            if let Some((_, said)) = line.split_once("@ ") {
                return Some(said.trim_end().to_owned());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended; whether its role went well.
    pub(crate) fn finish(mut self) -> bool {
        drop(self.child.stdin.take());
        while self.hear().is_some() {}
        self.child.wait().unwrap().success()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: impl std::fmt::Display) {
    println!("@ {what}");
}

fn wait_for_end_of_input() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

#[test]
#[ignore = "a role that other tests start"]
fn play() {
    let role = std::env::var(ROLE).unwrap_or_default();
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap_or_default());
    let role = match role.strip_prefix("nobody:") {
        Some(role) => {
            become_nobody();
            role
        }
        None => &role,
    };
    match role {
        "scan_unreadable" => {
            let error = scan_tree(&place, None, &ScanOptions::default()).unwrap_err();
            say(error);
        }
        "open" => match Store::open(&place) {
            Ok(_) => say("opened"),
            Err(error) => say(format!("{error:?}")),
        },
        "drop_scratch" => {
            let store = Store::open(&place.join("cache")).unwrap();
            let scratch = store.scratch("x").unwrap();
            let locked = scratch.path().join("a/locked");
            std::fs::create_dir_all(&locked).unwrap();
            std::fs::write(locked.join("file"), "").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
            std::fs::set_permissions(&locked, mode).unwrap();
            let path = scratch.path().to_path_buf();
            drop(scratch);
            say(path.exists());
        }
        "open_reading" => match Store::open_reading(&place) {
            Ok(_) => say("opened"),
            Err(error) => say(format!("{error:?}")),
        },
        "read_shared" => {
            let store = Store::open_reading(&place).unwrap();
            let key = fixture::key("shared 1").0;
            let record = store.lookup_verified(&key).unwrap().unwrap();
            store.read(&record.log.unwrap()).unwrap().unwrap();
            store.stats().unwrap();
            say("read");
        }
        "publish_some" => {
            let store = Store::open(&place).unwrap();
            for seed in 0..40 {
                fixture::publish(&store, &format!("{} {seed}", std::process::id()));
                fixture::publish(&store, &format!("shared {seed}"));
            }
        }
        "publish_for_ever" => {
            let store = Store::open(&place).unwrap();
            for seed in 0.. {
                fixture::publish(&store, &format!("{seed}"));
                say(seed);
            }
        }
        "publish_for_ever_where_it_is_full" => {
            let store = Store::open(&place).unwrap();
            let content = vec![7; 300_000];
            for seed in 0_u32.. {
                let bytes = [&seed.to_le_bytes()[..], &content].concat();
                if let Err(error) = store.put_bytes(&bytes) {
                    say(format!("{seed} {error:?}"));
                    break;
                }
            }
            wait_for_end_of_input();
        }
        "collect_for_ever" => {
            let store = Store::open(&place).unwrap();
            say("collecting");
            loop {
                let max_size = Some(0);
                store
                    .gc(&GcOptions {
                        max_size,
                        older_than: None,
                    })
                    .unwrap();
            }
        }
        "use_under_lease" => {
            let store = Store::open(&place).unwrap();
            let _lease = store.lease().unwrap();
            store
                .lookup_verified(&fixture::key("used").0)
                .unwrap()
                .unwrap();
            say("used");
            wait_for_end_of_input();
        }
        "lock_and_scratch" => {
            let store = Store::open(&place).unwrap();
            let _lock = store
                .lock_action(&fixture::key("locked").0)
                .unwrap()
                .unwrap();
            let scratch = store.scratch("job").unwrap();
            std::fs::write(scratch.path().join("half"), "x").unwrap();
            let mut publication = store.publication();
            publication.put_bytes(b"half published").unwrap();
            say("locked");
            wait_for_end_of_input();
        }
        "hold_index" => {
            let store = Store::open(&place).unwrap();
            let index = Index::burst(&store, Duration::ZERO).unwrap().unwrap();
            index.put_memo("who", b"", b"other").unwrap();
            say("held");
            wait_for_end_of_input();
        }
        "index_for_ever" => {
            let store = Store::open(&place).unwrap();
            for number in 0_u32.. {
                let index = Index::burst(&store, Duration::from_secs(60)).unwrap();
                let index = index.unwrap();
                for at in 0..20_u8 {
                    let value = number.to_le_bytes().repeat(100);
                    index.put_memo("n", &[at], &value).unwrap();
                }
                drop(index);
                say(number);
            }
        }
        other => panic!("no such role: {other}"),
    }
}

/// Changes this thread, and those it will start, to a user who owns nothing.
fn become_nobody() {
    let nobody = rustix::process::Uid::from_raw(65_534);
    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
}
