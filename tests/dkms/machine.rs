//! A machine of its own for one test: mount and process namespaces in which /usr/src,
//! /var/lib/dkms, /lib/modules and /etc/dkms are directories of the test.
//!
//! What a test reads or writes there it reads and writes below [`Machine::path`], from
//! outside. Everything is gone when the machine is dropped.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    kernel::{self, RELEASE},
    run::{Run, Running},
    source::Source,
};

/// The trees of the machine that are directories of the world.
const TREES: [&str; 4] = ["/usr/src", "/var/lib/dkms", "/lib/modules", "/etc/dkms"];

/// What a machine has when the test says nothing else: a Debian that signs nothing and
/// runs one compiler at a time.
const FRAMEWORK: &str = "try_sign_modules=\"false\"\nparallel_jobs=\"1\"\n";

/// What is to be different on a machine, until it starts.
pub(crate) struct Setup {
    world: tempfile::TempDir,
    layered: BTreeSet<PathBuf>,
}

/// A machine that runs.
pub(crate) struct Machine {
    world: tempfile::TempDir,
    holder: Child,
    process: u32,
}

impl Setup {
    /// Puts a file at an absolute path, where it covers the real one.
    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let inside = Path::new(path);
        let mut directory = inside.parent().unwrap();
        if TREES.iter().any(|tree| inside.starts_with(tree)) {
            write(&join(self.world.path(), inside), content.as_ref());
            return self;
        }
        write(
            &join(&self.world.path().join("files"), inside),
            content.as_ref(),
        );
        while !directory.is_dir() {
            directory = directory.parent().unwrap();
        }
        if !directory.starts_with("/etc") {
            self.layered.insert(directory.to_owned());
        }
        self
    }

    /// Puts an executable file at an absolute path.
    pub(crate) fn script(self, path: &str, content: &str) -> Self {
        self.file(path, content).mode(path, 0o755)
    }

    /// Puts a file at an absolute path that only its owner can read.
    pub(crate) fn secret(self, path: &str, content: &str) -> Self {
        self.file(path, content).mode(path, 0o600)
    }

    /// Sets the mode of a file that was put somewhere.
    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        let files = if TREES.iter().any(|tree| path.starts_with(tree)) {
            self.world.path().to_owned()
        } else {
            self.world.path().join("files")
        };
        let path = join(&files, Path::new(path));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Puts a program where the machine's commands look first.
    pub(crate) fn program(self, name: &str, script: &str) -> Self {
        let path = self.world.path().join("bin").join(name);
        write(&path, script.as_bytes());
        executable(&path);
        self
    }

    /// Is a machine of another distribution, by the content of its os-release.
    pub(crate) fn distribution(self, os_release: &str) -> Self {
        self.file("/etc/os-release", os_release)
    }

    /// Gives the kernel that runs the headers that [`RELEASE`] has.
    pub(crate) fn running_kernel(self) -> Self {
        install_kernel(self.world.path(), kernel::running(), kernel::release());
        self
    }

    /// Gives a kernel that is installed, not only its headers: depmod has work to do.
    /// Its runs are recorded, and [`Machine::depmods`] tells them.
    pub(crate) fn installed_kernel(self) -> Self {
        let directory = self
            .world
            .path()
            .join("lib/modules")
            .join(kernel::release());
        fs::write(directory.join("modules.dep"), "kernel/a.ko:\n").unwrap();
        let log = self.world.path().join("depmod.log");
        self.program(
            "depmod",
            &format!("#!/bin/sh\necho \"$*\" >>{}\n", log.display()),
        )
    }

    /// Starts the machine.
    pub(crate) fn start(self) -> Machine {
        let world = self.world.path();
        let mut command = kernel::root_command("sh");
        command
            .args(["-c", "echo $$; exec unshare --mount --propagation private --pid --fork --mount-proc sh -eu \"$@\"", "sh"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/dkms/machine.sh"))
            .arg(world)
            .arg(kernel::cache())
            .args(&self.layered)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
        let process = said.next().unwrap().unwrap().parse().unwrap();
        if said.next().is_none() {
            let mut complaint = String::new();
            let _ = holder.stderr.take().unwrap().read_to_string(&mut complaint);
            panic!("the machine does not start: {complaint}");
        }
        Machine {
            world: self.world,
            holder,
            process,
        }
    }
}

impl Machine {
    /// What is to be different on a machine; [`Setup::start`] starts it.
    pub(crate) fn setup() -> Setup {
        let world = tempfile::Builder::new()
            .prefix("kiln-dkms-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        let root = world.path();
        for directory in TREES
            .into_iter()
            .chain(["/bin", "/files", "/layers", "/home", "/tmp"])
        {
            fs::create_dir_all(join(root, Path::new(directory))).unwrap();
        }
        let everybody = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(root.join("tmp"), everybody).unwrap();
        symlink(kernel::dkms(), root.join("bin/dkms")).unwrap();
        for release in kernel::releases() {
            install_kernel(root, release, release);
        }
        let setup = Setup {
            world,
            layered: BTreeSet::new(),
        };
        setup
            .file("/etc/dkms/framework.conf", FRAMEWORK)
            .distribution("ID=debian\n")
    }

    /// A machine with nothing special.
    pub(crate) fn new() -> Self {
        Self::setup().start()
    }

    /// A machine on which a package's source lies in /usr/src, and is added.
    pub(crate) fn with_added(source: &Source) -> Self {
        let machine = Self::new();
        machine.add(source);
        machine
    }

    /// Where an absolute path of the machine's trees is, seen from outside.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        join(self.world.path(), inside.as_ref())
    }

    /// Writes a file into one of the machine's trees.
    pub(crate) fn write(&self, inside: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        write(&self.path(inside), content.as_ref());
    }

    /// Reads a file of the machine's trees.
    #[track_caller]
    pub(crate) fn read(&self, inside: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&self.bytes(inside)).into_owned()
    }

    /// Reads a file of the machine's trees.
    #[track_caller]
    pub(crate) fn bytes(&self, inside: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(inside);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether a path is there; a link need not lead anywhere.
    pub(crate) fn has(&self, inside: impl AsRef<Path>) -> bool {
        self.path(inside).symlink_metadata().is_ok()
    }

    /// Where a link leads.
    #[track_caller]
    pub(crate) fn link(&self, inside: impl AsRef<Path>) -> String {
        let path = self.path(inside);
        let target = fs::read_link(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        kernel::redacted(&target.to_string_lossy())
    }

    /// Everything below a directory of the machine's trees: a path a line, sorted, with
    /// `/` after directories and ` -> target` after links. Kernel headers are left out.
    #[track_caller]
    pub(crate) fn tree(&self, inside: &str) -> String {
        let mut lines = Vec::new();
        list(&self.path(inside), Path::new(""), &mut lines);
        lines.sort();
        lines.concat()
    }

    /// Asserts what is below a directory, as [`Machine::tree`] tells it.
    #[track_caller]
    pub(crate) fn holds(&self, inside: &str, expected: &str) {
        let expected = super::run::text(expected);
        let found = self.tree(inside);
        assert_eq!(found, expected, "below {inside} is:\n{found}");
    }

    /// The module that is installed for [`RELEASE`] at a place below its directory.
    #[track_caller]
    pub(crate) fn installed(&self, place: &str) -> Vec<u8> {
        self.bytes(format!("/lib/modules/{}/{place}", kernel::release()))
    }

    /// Writes a package's source to /usr/src.
    pub(crate) fn source(&self, source: &Source) -> String {
        let directory = format!("/usr/src/{}-{}", source.name(), source.version());
        source.write(&self.path(&directory));
        directory
    }

    /// Writes a package's source to another directory and gives its path.
    pub(crate) fn source_at(&self, directory: &str, source: &Source) -> String {
        let path = self.path(Path::new("/home").join(directory));
        source.write(&path);
        path.to_str().unwrap().to_owned()
    }

    /// Writes a package's source to /usr/src and adds it.
    #[track_caller]
    pub(crate) fn add(&self, source: &Source) {
        self.source(source);
        self.dkms(format!("add {}/{}", source.name(), source.version()))
            .exits(0);
    }

    /// Adds and builds a package for [`RELEASE`].
    #[track_caller]
    pub(crate) fn build(&self, source: &Source) {
        self.add(source);
        self.dkms(format!(
            "build {}/{} -k {RELEASE}",
            source.name(),
            source.version()
        ))
        .exits(0);
    }

    /// Adds, builds and installs a package for [`RELEASE`].
    #[track_caller]
    pub(crate) fn install(&self, source: &Source) {
        self.add(source);
        self.dkms(format!(
            "install {}/{} -k {RELEASE}",
            source.name(),
            source.version()
        ))
        .exits(0);
    }

    /// Runs dkms with the words of a line, in which kernels may be given by the names that
    /// the output is redacted to.
    pub(crate) fn dkms(&self, line: impl AsRef<str>) -> Run {
        let line = kernel::named(line.as_ref());
        self.dkms_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs dkms with words that may have blanks in them.
    pub(crate) fn dkms_words(&self, words: &[&str]) -> Run {
        let mut arguments = vec!["dkms"];
        arguments.extend(words);
        self.run(&arguments)
    }

    /// Runs dkms with the words of a line as an ordinary user.
    pub(crate) fn dkms_as_user(&self, line: &str) -> Run {
        // The program may lie where only its owner can go.
        let program = self.path("/user/dkms");
        if !program.exists() {
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            fs::copy(kernel::dkms(), &program).unwrap();
        }
        let mut words = vec![
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        words.push(program.to_str().unwrap());
        let line = kernel::named(line);
        words.extend(line.split_whitespace());
        self.run(&words)
    }

    /// Runs a line of shell.
    pub(crate) fn shell(&self, script: &str) -> Run {
        self.run(&["sh", "-euc", &kernel::named(script)])
    }

    /// Starts dkms with the words of a line.
    pub(crate) fn start(&self, line: &str) -> Running {
        let line = kernel::named(line);
        let mut words = vec!["dkms"];
        words.extend(line.split_whitespace());
        let (mut command, out, err) = self.command(&words);
        Running::new(&words, command.spawn().unwrap(), out, err)
    }

    /// The arguments of each run of depmod on a machine with an installed kernel.
    pub(crate) fn depmods(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("/depmod.log")).unwrap_or_default();
        log.lines().map(kernel::redacted).collect()
    }

    fn run(&self, words: &[&str]) -> Run {
        let (mut command, out, err) = self.command(words);
        Running::new(words, command.spawn().unwrap(), out, err).finish()
    }

    /// A command inside. Its output goes to files: who waits for the end of a pipe also
    /// waits for what a command leaves running.
    fn command(&self, words: &[&str]) -> (Command, File, File) {
        let [out, err] = [(); 2].map(|()| tempfile::tempfile_in(self.world.path()).unwrap());
        let mut command = kernel::root_command("nsenter");
        let process = self.process;
        command
            .arg(format!("--mount=/proc/{process}/ns/mnt"))
            .arg(format!("--pid=/proc/{process}/ns/pid_for_children"))
            // Longer than anything here takes.
            .args(["timeout", "--foreground", "300"])
            .args(["env", "-i", "LC_ALL=C", "HOME=/root"])
            .arg(format!(
                "PATH={}:/usr/sbin:/usr/bin:/sbin:/bin",
                self.path("/bin").display()
            ))
            .arg(format!("TMPDIR={}", self.path("/tmp").display()))
            .arg(format!("KILN_CACHE={}", kernel::cache().display()))
            // A parent that the command can ask about: nsenter is outside.
            .args(["sh", "-c", "cd \"$0\"; \"$@\"; exit $?"])
            .arg(self.path("/home"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap());
        (command, out, err)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
        if !kernel::is_root() {
            let mut remove = kernel::root_command("find");
            remove
                .arg(self.world.path())
                .args(["-mindepth", "1", "-delete"]);
            let _ = remove.status();
        }
    }
}

/// Makes a directory of a kernel whose headers are those of another that is real.
fn install_kernel(world: &Path, release: &str, real: &str) {
    let directory = world.join("lib/modules").join(release);
    fs::create_dir_all(&directory).unwrap();
    for link in ["build", "source"] {
        if let Ok(target) = fs::canonicalize(Path::new("/lib/modules").join(real).join(link)) {
            symlink(target, directory.join(link)).unwrap();
        }
    }
}

fn join(root: &Path, inside: &Path) -> PathBuf {
    root.join(inside.strip_prefix("/").unwrap_or(inside))
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn list(directory: &Path, below: &Path, lines: &mut Vec<String>) {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let entry = entry.unwrap();
        let (path, inside) = (entry.path(), below.join(entry.file_name()));
        if is_headers(&path, &entry.file_name(), below) {
            continue;
        }
        let kind = entry.file_type().unwrap();
        let end = match fs::read_link(&path) {
            Ok(target) => format!(" -> {}", target.display()),
            Err(_) if kind.is_dir() => "/".to_owned(),
            Err(_) => String::new(),
        };
        lines.push(kernel::redacted(&format!("{}{end}\n", inside.display())));
        if kind.is_dir() {
            list(&path, &inside, lines);
        }
    }
}

/// Whether an entry belongs to the kernels' headers.
fn is_headers(path: &Path, name: &OsStr, below: &Path) -> bool {
    let headers = |name: &str| name.starts_with("linux-") || name == "kernels";
    let linked = fs::read_link(path).is_ok_and(|target| {
        let inside = target.strip_prefix("/usr/src").unwrap_or(Path::new(""));
        headers(&inside.to_string_lossy())
    });
    linked || below.as_os_str().is_empty() && headers(&name.to_string_lossy())
}
