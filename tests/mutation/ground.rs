//! A machine of a test's own: a mount namespace in which /usr, /etc, /opt and /var/lib are layers that may be written.
//!
//! The test's own process lives in it, so that it changes files as anybody would. Caches and packages are in memory.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    caller::Caller,
    machine,
    outcome::{Outcomes, outcomes},
    run::{Run, Running},
};

/// The program under test.
const KILN: &str = env!("CARGO_BIN_EXE_kiln");

/// Says that this process is in its own namespace already.
const INSIDE: &str = "KILN_TEST_INSIDE";

/// What may be set to direct a soak; sudo takes nothing along that is not named.
const SETTINGS: &str =
    "KILN_TEST_INSIDE,KILN_GAPS,KILN_SOAK,KILN_MUTATIONS,KILN_SEED,CARGO_MANIFEST_DIR";

const LAYERS: &str = r#"
mount -t tmpfs -o mode=755 tmpfs "$ROOT"
for directory in usr etc opt var/lib; do
    mkdir -p "$ROOT/layers/upper/$directory" "$ROOT/layers/work/$directory"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$ROOT/layers/upper/$directory,workdir=$ROOT/layers/work/$directory" "/$directory"
done
rm -rf /etc/dkms /etc/kiln /var/lib/dkms
for conf in /usr/src/*/dkms.conf; do [ ! -e "$conf" ] || rm -rf "${conf%/*}"; done
mkdir -p "$ROOT/tools" "$GATES"
mount -t tmpfs -o mode=755 tmpfs "$GATES"
"#;

/// Where the files are that jobs wait for: not in a layer, so that locks on them are listed by their own numbers.
pub(crate) const GATES: &str = "/usr/share/eye-gates";

/// Whether jobs and confs that are not followed are to be right too: their keys do not see what no package has, and
/// confs see the machine's processors.
pub(crate) fn gaps_count() -> bool {
    env::var_os("KILN_GAPS").is_some()
}

/// Runs a test's body in a namespace, as root. `name` is the test's.
pub(crate) fn inside(name: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut command = if machine::is_root() {
        Command::new("unshare")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", &format!("--preserve-env={SETTINGS}")]);
        sudo.arg("unshare");
        sudo
    };
    command
        .args(["--mount", "--propagation", "private"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, "yes");
    if env::var_os("KILN_SOAK").is_some() {
        assert!(command.status().unwrap().success());
        return;
    }
    let run = Run::of(&mut command);
    eprintln!("{}", run.err);
    assert_eq!(run.code, Some(0), "{run}");
}

/// The machine.
pub(crate) struct Ground {
    root: tempfile::TempDir,
    clean: u32,
    /// What kiln inherits.
    pub(crate) caller: Caller,
}

impl Ground {
    /// Makes the layers, in this process's namespace.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("kiln-mutation-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        let ground = Self {
            root,
            clean: 0,
            caller: Caller::default(),
        };
        let mut script = Command::new("sh");
        script.args(["-euc", LAYERS]);
        script.env("ROOT", ground.root.path()).env("GATES", GATES);
        Run::of(&mut script).exits(0);
        // The shell of the machine may be changed; the one that calls kiln is none of its inputs.
        fs::copy("/bin/sh", ground.path("tools/sh")).unwrap();
        ground
    }

    /// A path in memory, out of the sight of jobs.
    pub(crate) fn path(&self, inner: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(inner)
    }

    /// Writes a file there, and the directories that it is in.
    pub(crate) fn write(&self, inner: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(inner);
        put(&path, content, 0o644);
        path
    }

    /// What a build with the cache that all builds share gives.
    pub(crate) fn used(&self, arguments: &[String]) -> Outcomes {
        outcomes(&self.start(arguments).finish())
    }

    /// Starts the same.
    pub(crate) fn start(&self, arguments: &[String]) -> Running {
        Running::start(&mut self.command("used", arguments))
    }

    /// What a build with an empty cache gives. What it has stored stays until the next one.
    pub(crate) fn clean(&mut self, arguments: &[String]) -> Outcomes {
        let _ = fs::remove_dir_all(self.path(format!("clean-{}", self.clean)));
        self.clean += 1;
        let cache = format!("clean-{}", self.clean);
        outcomes(&Running::start(&mut self.command(&cache, arguments)).finish())
    }

    /// Why a package's outcome depends on everything installed, if it does.
    pub(crate) fn why_everything(&self, package: &Path, kernel: &Path) -> String {
        let mut command = self.caller.call(&self.path("tools/sh"), Path::new(KILN));
        command.arg("explain").arg(package).arg(self.path("first"));
        command
            .arg("-k")
            .arg(kernel)
            .arg("--cache-dir")
            .arg(self.path("used"));
        let run = Run::of(command.current_dir(self.root.path()));
        let lines = run.out.lines().filter(|line| line.contains("everything"));
        lines.collect::<Vec<_>>().join("\n    ")
    }

    fn command(&self, cache: &str, arguments: &[String]) -> Command {
        let mut command = self.caller.call(&self.path("tools/sh"), Path::new(KILN));
        command
            .args(arguments)
            .arg("--json")
            .arg("--cache-dir")
            .arg(self.path(cache))
            .current_dir(self.root.path());
        command
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The layers go with the namespace; what is in memory goes now.
        let mut umount = Command::new("umount");
        let _ = umount.args(["--lazy"]).arg(self.root.path()).output();
    }
}

/// Writes a file with a mode, and the directories that it is in.
pub(crate) fn put(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
