//! Why a failure is no outcome: it may be the machine's doing, which no key holds.
//!
//! A failure that is not remembered costs time, one that is remembered wrongly a module. So whatever sounds as if
//! something was killed, had run out or was not there makes a failure doubtful: it is kept to be looked at,
//! and tried again by the next run.

use kiln_cache::ActionRecord;
use kiln_sandbox::shortages;

/// The key under which a record's note holds why its failure is doubtful.
const NOTE: &str = "doubt";

/// What makes a failure doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    /// Builds could not have the limits that they have elsewhere.
    #[error("the limits of the caller (ulimit) are low")]
    Limits,
    /// A program was not there, and may be some day.
    #[error("a program was not found: {line}")]
    MissingProgram {
        /// What was said.
        line: String,
    },
    /// Memory, room or the like had run out.
    #[error("something had run out: {line}")]
    Shortage {
        /// What was said.
        line: String,
    },
    /// A process did not end by itself.
    #[error("a process did not end by itself: {line}")]
    Died {
        /// What was said.
        line: String,
    },
}

impl Doubt {
    /// What goes into the note of a record.
    pub(super) fn note(&self) -> (String, String) {
        (NOTE.to_owned(), self.to_string())
    }
}

/// Why the failure that a record tells of is no outcome, if it is none.
pub fn doubt_of(record: &ActionRecord) -> Option<&str> {
    if record.status.is_success() {
        return None;
    }
    record.note.get(NOTE).map(String::as_str)
}

/// What shells say of a command that a signal ended.
const DEATHS: [&str; 13] = [
    "Killed",
    "Terminated",
    "Hangup",
    "Quit",
    "Aborted",
    "Bus error",
    "Segmentation fault",
    "Illegal instruction",
    "Floating point exception",
    "Trace/breakpoint trap",
    "Bad system call",
    "CPU time limit exceeded",
    "File size limit exceeded",
];

/// Looks for doubts in the lines of a log.
pub(super) struct Doubts {
    shortages: Vec<String>,
    first: Option<Doubt>,
}

impl Doubts {
    pub(super) fn new() -> Self {
        let own = ["out of memory", "memory exhausted", "Memory exhausted"];
        let shortages = shortages().map(|(_, words)| words);
        Self {
            shortages: shortages.chain(own.map(str::to_owned)).collect(),
            first: None,
        }
    }

    /// Looks at one line.
    pub(super) fn hear(&mut self, line: &str) {
        if self.first.is_none() {
            self.first = self.of(line);
        }
    }

    /// The first that there was.
    pub(super) fn first(self) -> Option<Doubt> {
        self.first
    }

    fn of(&self, line: &str) -> Option<Doubt> {
        let said = || line.to_owned();
        if let Some(code) = code_of_step(line).or_else(|| code_of_make(line)?) {
            return match code {
                126 | 127 => Some(Doubt::MissingProgram { line: said() }),
                128.. => Some(Doubt::Died { line: said() }),
                _ => None,
            };
        }
        if code_of_make(line).is_some()
            || line.contains("signal terminated program")
            || line.contains("internal compiler error")
            || tells_of_death(line)
        {
            Some(Doubt::Died { line: said() })
        } else if self.shortages.iter().any(|words| line.contains(words)) {
            Some(Doubt::Shortage { line: said() })
        } else if line.ends_with(": not found") || line.ends_with(": command not found") {
            Some(Doubt::MissingProgram { line: said() })
        } else {
            None
        }
    }
}

/// Whether a shell says that a signal ended a command, at the end or before the command itself.
fn tells_of_death(line: &str) -> bool {
    let line = line.strip_suffix(" (core dumped)").unwrap_or(line);
    DEATHS.iter().any(|death| {
        line.split_once(death).is_some_and(|(before, after)| {
            after.is_empty() || (before.ends_with(' ') && after.starts_with("  "))
        })
    })
}

/// The exit code that a step of the job's own script ended with.
fn code_of_step(line: &str) -> Option<u32> {
    line.strip_prefix("# exit code: ")?.parse().ok()
}

/// How a recipe ended, where make says so: its exit code, or none where a signal ended it.
fn code_of_make(line: &str) -> Option<Option<u32>> {
    let (program, rest) = line.split_once(": ")?;
    if !program.rsplit('/').next()?.starts_with("make") && !program.starts_with("gmake") {
        return None;
    }
    let rest = rest.strip_prefix("*** ").unwrap_or(rest);
    let (_, end) = rest.strip_prefix('[')?.rsplit_once("] ")?;
    let code = |words: &str| words.split(' ').next()?.parse().ok();
    Some(end.strip_prefix("Error ").and_then(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(line: &str) -> Option<Doubt> {
        let mut doubts = Doubts::new();
        doubts.hear(line);
        doubts.first()
    }

    #[test]
    fn a_failure_of_the_inputs_is_certain() {
        for line in [
            "/b/a.c:12:5: error: bad thing",
            "make[1]: *** [Makefile:3: all] Error 2",
            "make: *** No rule to make target 'x'.  Stop.",
            "make[2]: [Makefile:7: x] Error 1 (ignored)",
            "ERROR: modpost: \"foo\" [/b/x.ko] undefined!",
            "# exit code: 1",
            "a.c:1:10: fatal error: none.h: No such file or directory",
        ] {
            assert_eq!(doubt(line), None, "{line}");
        }
    }

    #[test]
    fn what_died_ran_out_or_was_not_there_is_doubtful() {
        for line in [
            "make[1]: *** [Makefile:3: all] Terminated",
            "make[1]: *** [Makefile:3: all] Segmentation fault (core dumped)",
            "make: *** [all] Error 143",
            "gcc: fatal error: Terminated signal terminated program cc1",
            "gcc: internal compiler error: CPU time limit exceeded signal terminated program cc1",
            "./gen.sh: line 3: 412 Bus error               cc1 x",
            "# exit code: 137",
        ] {
            assert!(matches!(doubt(line), Some(Doubt::Died { .. })), "{line}");
        }
        for line in [
            "/bin/sh: 1: mygen: not found",
            "./gen.sh: line 2: python: command not found",
            "make[2]: *** [Makefile:9: gen.h] Error 127",
            "# exit code: 127",
        ] {
            let doubt = doubt(line);
            assert!(
                matches!(doubt, Some(Doubt::MissingProgram { .. })),
                "{line}"
            );
        }
        for line in [
            "sh: 0: Cannot fork: Resource temporarily unavailable",
            "cc1: out of memory allocating 65536 bytes after a total of 0 bytes",
            "/tmp/ccx.s: fatal error: error writing to x: Disk quota exceeded",
            "virtual memory exhausted: Cannot allocate memory",
        ] {
            assert!(
                matches!(doubt(line), Some(Doubt::Shortage { .. })),
                "{line}"
            );
        }
    }
}
