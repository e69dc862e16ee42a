//! A run of dkms inside a machine: one that has ended, with assertions on it, or one that
//! goes on.

use std::{
    fmt,
    fs::File,
    io::{Read, Seek},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use super::kernel;

/// Longer than anything here takes; keeps a hanging test from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run that has ended.
pub(crate) struct Run {
    line: String,
    code: Option<i32>,
    /// Standard output, redacted.
    pub(crate) out: String,
    /// Standard error, redacted.
    pub(crate) err: String,
}

impl Run {
    /// Asserts on the exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The exit status; none if a signal ended it.
    pub(crate) fn exits_with(&self) -> Option<i32> {
        self.code
    }

    /// Asserts on all of standard output, and that there is no standard error.
    #[track_caller]
    pub(crate) fn prints(self, expected: &str) -> Self {
        self.prints_both(expected, "")
    }

    /// Asserts on all of standard error, and that there is no standard output.
    #[track_caller]
    pub(crate) fn warns(self, expected: &str) -> Self {
        self.prints_both("", expected)
    }

    /// Asserts on all of standard output and all of standard error.
    #[track_caller]
    pub(crate) fn prints_both(self, out: &str, err: &str) -> Self {
        let (out, err) = (text(out), text(err));
        assert!(
            self.out == out && self.err == err,
            "{self}\nexpected out:\n{out}expected err:\n{err}---"
        );
        self
    }

    /// Asserts that a text was printed.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(
            self.out.contains(part) || self.err.contains(part),
            "no {part:?} in {self}"
        );
        self
    }

    /// Asserts that a text was not printed.
    #[track_caller]
    pub(crate) fn never_says(self, part: &str) -> Self {
        assert!(
            !self.out.contains(part) && !self.err.contains(part),
            "{part:?} in {self}"
        );
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            code,
            out,
            err,
        } = self;
        write!(f, "{line}\nexit {code:?}\n--- out\n{out}--- err\n{err}---")
    }
}

/// A run that goes on.
pub(crate) struct Running {
    line: String,
    child: Child,
    out: File,
    err: File,
}

impl Running {
    /// A child whose output goes to these files.
    pub(crate) fn new(words: &[&str], child: Child, out: File, err: File) -> Self {
        Self {
            line: words.join(" "),
            child,
            out,
            err,
        }
    }

    /// What it has printed until now, on both.
    pub(crate) fn said(&mut self) -> String {
        content(&mut self.out) + &content(&mut self.err)
    }

    /// Waits until it has printed a text.
    #[track_caller]
    pub(crate) fn until_says(&mut self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().contains(part) {
            let said = self.said();
            assert!(
                Instant::now() < deadline,
                "waited in vain for {part:?}: {said}"
            );
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(
                !ended || self.said().contains(part),
                "no {part:?} in {said}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let status = self.child.wait().unwrap();
        Run {
            line: kernel::redacted(&self.line),
            code: status.code(),
            out: content(&mut self.out),
            err: content(&mut self.err),
        }
    }
}

/// Asserts that the short description of all actions and options follows a complaint.
#[track_caller]
pub(crate) fn shows_usage(run: &Run) {
    let first = run.out.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("Usage: ") && first.ends_with("/dkms [action] [options]"),
        "{run}"
    );
    for word in [
        "add",
        "remove",
        "build",
        "unbuild",
        "install",
        "uninstall",
        "match",
        "autoinstall",
        "mktarball",
        "ldtarball",
        "status",
        "generate_mok",
        "kernel_preinst",
        "kernel_postinst",
        "kernel_prerm",
        "-m",
        "-v",
        "-k",
        "-a",
        "-c",
        "-q",
        "--force",
        "--force-version-override",
        "--all",
        "--templatekernel",
        "--directive",
        "--config",
        "--archive",
        "--kernelsourcedir",
        "--rpm_safe_upgrade",
        "--dkmstree",
        "--sourcetree",
        "--installtree",
        "--binaries-only",
        "--source-only",
        "--verbose",
        "--no-depmod",
        "--modprobe-on-install",
        "-j",
        "--version",
        "--help",
    ] {
        assert!(run.out.contains(word), "no {word} in {run}");
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Text as it is meant in a test. A block, whose closing quote stands indented on a line
/// of its own, loses its first line break and its indentation; other text is as it is.
pub(crate) fn text(block: &str) -> String {
    let Some((lines, end)) = block.rsplit_once('\n') else {
        return block.to_owned();
    };
    if end.is_empty() || !end.trim_start_matches(' ').is_empty() {
        return block.to_owned();
    }
    let lines = lines.strip_prefix('\n').unwrap_or(lines);
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let least = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(indentation)
        .min()
        .unwrap_or(0);
    lines
        .split('\n')
        .map(|line| format!("{}\n", line.get(least..).unwrap_or_default()))
        .collect()
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    without_dots(&kernel::redacted(&String::from_utf8_lossy(&bytes)))
}

/// dkms prints a dot each three seconds: they go, but for the three that are always there.
fn without_dots(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(found) = text.find("....") {
        text.remove(found);
    }
    text
}
