//! A run of kiln: one that has ended, with assertions on it, or one that goes on.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longer than anything here takes; keeps a hanging test from hanging for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Run {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts on the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Asserts that a text was printed.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "no {text:?} in {self}"
        );
        self
    }

    /// Asserts that a text was not printed.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(
            !self.out.contains(text) && !self.err.contains(text),
            "{text:?} in {self}"
        );
        self
    }

    /// The objects that `--json` printed.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}: {self}")))
            .collect()
    }

    /// The last object that `--json` printed, the summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_else(|| panic!("{self}"));
        assert_eq!(last["event"], "summary", "{self}");
        last
    }

    /// The summary's entry of a package, the only or the first one.
    #[track_caller]
    pub(crate) fn cell(&self, package: &str) -> Value {
        let summary = self.summary();
        let cells = summary["cells"].as_array().unwrap();
        cells
            .iter()
            .find(|cell| cell["package"].as_str().unwrap().starts_with(package))
            .unwrap_or_else(|| panic!("no {package} in {self}"))
            .clone()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, out, err } = self;
        write!(f, "exit {code:?}\n--- out\n{out}--- err\n{err}---")
    }
}

/// A run that goes on.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    out: String,
    err: JoinHandle<String>,
}

impl Running {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let err = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            lines,
            out: String::new(),
            err,
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads events until one of this kind about this package.
    #[track_caller]
    pub(crate) fn until(&mut self, event: &str, package: &str) -> Value {
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line).unwrap();
            assert!(length > 0, "no {event} of {package} in:\n{}", self.out);
            self.out.push_str(&line);
            let value: Value = serde_json::from_str(&line).unwrap();
            let of_package = value["package"]
                .as_str()
                .is_some_and(|name| name.starts_with(package));
            if value["event"] == event && of_package {
                return value;
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).unwrap();
        self.out.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().unwrap();
        Run {
            code: status.code(),
            out: self.out,
            err: self.err.join().unwrap(),
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
