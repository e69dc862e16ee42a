//! What kiln inherits from whoever calls it: variables, umask, limits, processors, the host's name.

use std::{collections::BTreeMap, path::Path, process::Command};

/// One of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// The umask, in octal.
    Umask,
    /// The stack's limit in KiB, which can be raised again.
    Stack,
    /// How many files may be open, which can be raised again.
    Files,
    /// Which processors may be used, as a list.
    Processors,
    /// The host's name.
    Host,
    /// A signal that is ignored.
    Ignored,
    /// An environment variable.
    Variable(&'static str),
}

/// All of them that are not as usual.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    words: BTreeMap<Condition, String>,
}

impl Caller {
    /// Sets one; nothing is as usual.
    pub(crate) fn set(&mut self, condition: Condition, word: Option<&str>) {
        match word {
            Some(word) => self.words.insert(condition, word.to_owned()),
            None => self.words.remove(&condition),
        };
    }

    /// What one is now.
    pub(crate) fn word(&self, condition: Condition) -> Option<&str> {
        self.words.get(&condition).map(String::as_str)
    }

    /// Calls a program so.
    pub(crate) fn call(&self, shell: &Path, program: &Path) -> Command {
        let mut script = String::new();
        let mut before: Vec<&str> = Vec::new();
        let mut command = Command::new("unshare");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
        for (condition, word) in &self.words {
            match condition {
                Condition::Umask => script.push_str(&format!("umask {word}; ")),
                Condition::Stack => script.push_str(&format!("ulimit -S -s {word}; ")),
                Condition::Files => script.push_str(&format!("ulimit -S -n {word}; ")),
                Condition::Ignored => script.push_str(&format!("trap '' {word}; ")),
                Condition::Host => script.push_str(&format!("hostname {word}; ")),
                Condition::Processors => before = vec!["taskset", "-c", word],
                Condition::Variable(name) => {
                    command.env(name, word);
                }
            }
        }
        command
            .args(["--uts", "--"])
            .args(before)
            .arg(shell)
            .args(["-euc", &format!("{script}exec \"$@\""), "sh"])
            .arg(program);
        command
    }
}
