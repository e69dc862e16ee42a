//! A throw-away copy of this machine: its root with everything that is changed kept in memory.
//!
//! An overlay in a mount namespace of its own, with a process that keeps the namespace. There
//! is no network for apt: it knows the packages that the copy was made with, and no others.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Makes the namespace's root, with the files in `$@` in /packages, then waits to be killed.
const SETUP: &str = r#"
new=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$new"
mkdir "$new/upper" "$new/work" "$new/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$new/upper,workdir=$new/work" "$new/root"
# A copy of a machine that has never had kiln.
rm -rf "$new/root/var/cache/kiln" "$new/root/etc/kiln"
mkdir "$new/root/packages"
cp "$@" "$new/root/packages"
cd "$new/root"
for directory in proc sys dev; do mount --rbind "/$directory" "$directory"; done
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir .old
pivot_root . .old
echo "$$"
umount --lazy /.old
rmdir /.old
cd /
exec cat
"#;

/// What a command sees of the environment.
const ENVIRONMENT: [&str; 4] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND=noninteractive",
    "LC_ALL=C.UTF-8",
    "HOME=/root",
];

/// Functions that scripts may use.
const PRELUDE: &str = r#"
apt() {
    apt-get -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null "$@"
}
# What there is but for what package managers note down about themselves. Other tests work in
# /var/tmp, and what they remove there goes from this copy as well.
listing() {
    find /etc /usr /var /lib /opt -xdev -path /var/tmp -prune -o \
        ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/var/lib/rpm/*' \
        ! -path '/var/log/*' ! -path '/var/cache/*/*' -printf '%p %y %m %l\n' | sort
}
"#;

/// A copy of this machine, gone when dropped.
pub(crate) struct Machine {
    keeper: Child,
    namespace: String,
}

impl Machine {
    /// A copy with files in /packages.
    pub(crate) fn new(packages: &[&Path]) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut keeper = as_root("unshare");
        keeper
            .args(["--mount", "--propagation", "private"])
            .args(["bash", "-euc", SETUP, "bash"])
            .args(packages)
            .env("TMPDIR", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut namespace = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut namespace)
            .unwrap();
        let namespace = namespace.trim().to_owned();
        assert!(!namespace.is_empty(), "cannot copy this machine");
        Self { keeper, namespace }
    }

    /// Runs a script of bash; gives its exit code, and what it printed on either stream.
    pub(crate) fn run(&self, script: &str) -> (i32, String) {
        let output = as_root("nsenter")
            .args(["--mount", "--target", &self.namespace])
            .args(["env", "-i"])
            .args(ENVIRONMENT)
            .args(["bash", "-uc"])
            .arg(format!("cd /; exec 2>&1\n{PRELUDE}\nset -e\n{script}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text)
    }

    /// Runs a script that has to succeed.
    pub(crate) fn expect(&self, script: &str) -> String {
        let (code, text) = self.run(script);
        assert_eq!(code, 0, "{script}\n{text}");
        text
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A command that runs as root, by sudo if the tests do not.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", "--preserve-env=TMPDIR", program]);
    sudo
}
