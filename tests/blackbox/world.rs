//! A world of its own for one test: packages, a cache, and kiln to run on them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    machine,
    run::{Run, Running},
};

/// The program under test.
pub(crate) const KILN: &str = env!("CARGO_BIN_EXE_kiln");

/// `nobody`: who runs kiln as an ordinary user where the tests run as root.
pub(crate) const ORDINARY: u32 = 65534;

/// Layers a world's `machine` directory over the real /etc, /usr/src and /var/lib, without
/// any DKMS packages that are registered there.
const LAYERS: &str = r#"
mkdir -p "$WORLD/layers"
mount -t tmpfs tmpfs "$WORLD/layers"
for directory in etc usr/src var/lib; do
    mkdir -p "$WORLD/layers/upper/$directory" "$WORLD/layers/work/$directory"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$WORLD/layers/upper/$directory,workdir=$WORLD/layers/work/$directory" "/$directory"
done
rm -rf /etc/dkms /etc/kiln /var/lib/dkms
for conf in /usr/src/*/dkms.conf; do [ ! -e "$conf" ] || rm -rf "${conf%/*}"; done
[ ! -d "$WORLD/machine" ] || cp -R "$WORLD/machine/." /
"#;

/// A directory with a cache and packages, gone when dropped.
pub(crate) struct World {
    root: tempfile::TempDir,
}

impl World {
    /// Makes an empty world, which everybody can look into.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("kiln-test-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        Self { root }
    }

    /// A path in it.
    pub(crate) fn path(&self, inner: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(inner)
    }

    /// The cache that commands use.
    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Writes a file, and the directories that it is in.
    pub(crate) fn write(&self, inner: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(inner);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an executable file.
    pub(crate) fn write_script(&self, inner: impl AsRef<Path>, content: &str) -> PathBuf {
        let path = self.write(inner, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a package `name` 1.0 in the directory `name` whose build only copies a module
    /// that is there, and whose dkms.conf ends in `more`. Gives the directory.
    pub(crate) fn package(&self, name: &str, more: &str) -> String {
        self.package_at(name, name, "1.0", more)
    }

    /// Like [`World::package`], with a version and in another directory.
    pub(crate) fn package_at(
        &self,
        directory: &str,
        name: &str,
        version: &str,
        more: &str,
    ) -> String {
        let conf = format!(
            "PACKAGE_NAME={name}\nPACKAGE_VERSION={version}\nBUILT_MODULE_NAME[0]={name}\n\
             DEST_MODULE_LOCATION[0]=/updates\nMAKE[0]='cp prebuilt/${{kernelver}}.ko {name}.ko'\n{more}\n"
        );
        for kernel in &machine::kernels()[..2] {
            let module = Path::new(directory).join(format!("prebuilt/{kernel}.ko"));
            self.write(module, machine::module(kernel));
        }
        self.write(Path::new(directory).join("dkms.conf"), conf);
        self.path(directory).to_str().unwrap().to_owned()
    }

    /// Has a package's commands wait until [`machine::wake`] is called: gives the command. Nothing is killed for it,
    /// which would void the job.
    pub(crate) fn waits(&self, package: &str, token: &str) -> String {
        let script = "trap 'kill $!' CONT\nsleep \"$1\" &\nwait\nwait\ntrue\n";
        self.write(format!("{package}/wait.sh"), script);
        format!("sh wait.sh {token}")
    }

    /// Writes a package `name` 1.0 that kbuild compiles from `source`.
    pub(crate) fn compiled_package(&self, name: &str, source: &str, more: &str) -> String {
        let conf = format!(
            "PACKAGE_NAME={name}\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME[0]={name}\n\
             DEST_MODULE_LOCATION[0]=/updates\n{more}\n"
        );
        self.write(format!("{name}/dkms.conf"), conf);
        self.write(format!("{name}/Makefile"), format!("obj-m := {name}.o\n"));
        self.write(format!("{name}/{name}.c"), source);
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A copy of a kernel's build tree, small enough to be changed.
    pub(crate) fn kernel_tree(&self, release: &str) -> PathBuf {
        let to = self.path("tree");
        copy_tree(&machine::tree(release), &to);
        to
    }

    /// kiln with the arguments in a line of text.
    pub(crate) fn command(&self, line: impl AsRef<str>) -> Command {
        let mut command = Command::new(KILN);
        self.complete(&mut command, line.as_ref());
        command
    }

    /// Runs kiln.
    pub(crate) fn kiln(&self, line: impl AsRef<str>) -> Run {
        Run::of(&mut self.command(line))
    }

    /// Builds a package for the usual kernel; `more` are further arguments.
    pub(crate) fn build(&self, package: &str, more: &str) -> Run {
        let kernel = machine::kernel();
        self.kiln(format!("build {package} -k {kernel} {more}"))
    }

    /// Starts kiln.
    pub(crate) fn start(&self, line: impl AsRef<str>) -> Running {
        Running::start(&mut self.command(line))
    }

    /// Runs kiln as root on a machine that has this world's `machine` directory layered over
    /// it, after a script that may change more of it.
    pub(crate) fn on_machine(&self, script: &str, line: impl AsRef<str>) -> Run {
        Run::of(&mut self.machine_command(script, line))
    }

    /// The command of [`World::on_machine`].
    pub(crate) fn machine_command(&self, script: &str, line: impl AsRef<str>) -> Command {
        let mut command = if machine::is_root() {
            Command::new("unshare")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["--non-interactive", "unshare"]);
            sudo
        };
        let world = self.root.path().display();
        command
            .args(["--mount", "--propagation", "private", "sh", "-euc"])
            .arg(format!("WORLD={world}\n{LAYERS}\n{script}\nexec \"$@\""))
            .args(["sh", KILN]);
        self.complete(&mut command, line.as_ref());
        command
    }

    /// Runs kiln as an ordinary user, with a cache of their own.
    pub(crate) fn kiln_as_user(&self, line: impl AsRef<str>) -> Run {
        let home = self.path("home");
        fs::create_dir_all(&home).unwrap();
        let kiln = home.join("kiln-program");
        if !kiln.exists() {
            fs::copy(KILN, &kiln).unwrap();
        }
        let mut command = if machine::is_root() {
            std::os::unix::fs::chown(&home, Some(ORDINARY), Some(ORDINARY)).unwrap();
            let mut setpriv = Command::new("setpriv");
            let ids = [
                format!("--reuid={ORDINARY}"),
                format!("--regid={ORDINARY}"),
                "--clear-groups".to_owned(),
            ];
            setpriv.args(ids).arg(&kiln);
            setpriv
        } else {
            Command::new(&kiln)
        };
        without_settings(&mut command);
        command.env("HOME", &home).env("XDG_CACHE_HOME", &home);
        command.current_dir("/");
        Run::of(command.args(line.as_ref().split_whitespace()))
    }

    fn complete(&self, command: &mut Command, line: &str) {
        without_settings(command);
        command
            .args(line.split_whitespace())
            .env("KILN_CACHE", self.cache())
            .env("XDG_CONFIG_HOME", self.path("settings"))
            .env_remove("MAKEFLAGS")
            .current_dir(self.root.path());
        let takes_flags = !line.contains("--cache-dir") && !line.starts_with("dkms ");
        if !machine::is_root() && takes_flags {
            command.arg("--cache-dir").arg(self.cache());
        }
    }

    /// A word that no other process has in its command line: a number that `sleep` takes.
    pub(crate) fn token(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("86400.{}0{next}", std::process::id())
    }
}

/// Takes away what would set something.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_setting = name.to_string_lossy().starts_with("KILN_");
        if is_setting || name == "NO_COLOR" || name == "XDG_CONFIG_HOME" {
            command.env_remove(&name);
        }
    }
}

/// Copies a tree; links point to where they pointed before.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&source, &target);
        } else if kind.is_file() {
            fs::copy(&source, &target).unwrap();
        } else if let Ok(place) = fs::canonicalize(&source) {
            std::os::unix::fs::symlink(place, target).unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !machine::is_root() {
            let mut remove = Command::new("sudo");
            remove.args(["--non-interactive", "rm", "-rf"]);
            let _ = remove.arg(self.root.path().join("cache")).status();
        }
    }
}
