//! What a dkms command prints, word for word as dkms prints it, and how it ends.
//!
//! Lines go to standard output or standard error exactly as dkms sends them; `--quiet`
//! silences both. Nothing else in the front end prints.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// An exit status of dkms (the list at the top of its program, and dkms.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) i32);

impl Status {
    /// Success.
    pub(crate) const SUCCESS: Self = Self(0);
    /// The package's BUILD_EXCLUSIVE rules do not let it be built.
    pub(crate) const EXCLUDED: Self = Self(77);
}

/// The end of an action, or of one package's part of it: dkms's `die`. Its message has been
/// printed when this exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Died(pub(crate) Status);

/// Where a command's words go.
pub(crate) struct Console {
    quiet: bool,
    held: Option<Vec<Held>>,
}

/// Words that wait until it is known that they are true.
enum Held {
    Out(String),
    Err(String),
}

impl Console {
    /// Speaks on standard output and standard error.
    pub(crate) fn new() -> Self {
        Self {
            quiet: false,
            held: None,
        }
    }

    /// Says nothing from here on (`--quiet`).
    pub(crate) fn silence(&mut self) {
        self.quiet = true;
    }

    /// Whether nothing is said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Keeps what follows until [`Console::release`].
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Says what was held back, in order.
    pub(crate) fn release(&mut self) {
        for words in self.held.take().into_iter().flatten() {
            match words {
                Held::Out(text) => self.out(text),
                Held::Err(text) => self.err(text),
            }
        }
    }

    /// Forgets what was held back.
    pub(crate) fn discard(&mut self) {
        self.held = None;
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.out(format!("{text}\n"));
    }

    /// A part of a line on standard output, shown at once.
    pub(crate) fn part(&mut self, text: impl Display) {
        self.out(text.to_string());
    }

    /// A line on standard error, without any mark.
    pub(crate) fn note(&mut self, text: impl Display) {
        self.err(format!("{text}\n"));
    }

    /// `Error! ...` after an empty line.
    pub(crate) fn error(&mut self, lines: &[&str]) {
        self.err(format!("\nError! {}\n", lines.join("\n")));
    }

    /// `Warning: ...`.
    pub(crate) fn warn(&mut self, lines: &[&str]) {
        self.err(format!("Warning: {}\n", lines.join("\n")));
    }

    /// `Deprecated feature: ...`.
    pub(crate) fn deprecated(&mut self, text: impl Display) {
        self.err(format!("Deprecated feature: {text}\n"));
    }

    /// Prints an error and ends with a status.
    pub(crate) fn die(&mut self, status: i32, lines: &[&str]) -> Died {
        self.error(lines);
        Died(Status(status))
    }

    /// Prints a warning and ends with a status.
    pub(crate) fn die_warning(&mut self, status: i32, lines: &[&str]) -> Died {
        self.warn(lines);
        Died(Status(status))
    }

    fn out(&mut self, text: String) {
        if self.quiet {
            return;
        }
        match &mut self.held {
            Some(held) => held.push(Held::Out(text)),
            None => {
                let mut stdout = io::stdout().lock();
                // A reader that has gone away is no reason to stop in the middle of a build.
                let _ = stdout.write_all(text.as_bytes());
                let _ = stdout.flush();
            }
        }
    }

    fn err(&mut self, text: String) {
        if self.quiet {
            return;
        }
        match &mut self.held {
            Some(held) => held.push(Held::Err(text)),
            None => {
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }
}
