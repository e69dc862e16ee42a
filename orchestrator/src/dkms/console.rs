//! What a dkms command prints, word for word as dkms prints it, and how it ends.
//!
//! Lines go to standard output or standard error exactly as dkms sends them; `--quiet`
//! silences both. Nothing else in the front end prints. What a terminal would obey and not show, in the words of packages, is shown.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::report::{self, printable_lines};

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

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Words that wait until it is known that they are true.
pub(crate) type Held = (Stream, String);

/// Where a command's words go.
pub(crate) struct Console {
    quiet: bool,
    held: Option<Vec<Held>>,
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

    /// Whether words are kept.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// How many words are kept.
    pub(crate) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, Vec::len)
    }

    /// Takes back what was kept from `from` on.
    pub(crate) fn take_back(&mut self, from: usize) -> Vec<Held> {
        match &mut self.held {
            Some(held) if from <= held.len() => held.split_off(from),
            _ => Vec::new(),
        }
    }

    /// Puts words among those that are kept.
    pub(crate) fn insert(&mut self, at: usize, words: Vec<Held>) {
        if let Some(held) = &mut self.held {
            let at = at.min(held.len());
            held.splice(at..at, words);
        }
    }

    /// Says what was kept, in order, and keeps no more.
    pub(crate) fn release(&mut self) {
        let mut together: Option<Held> = None;
        for (stream, text) in self.held.take().into_iter().flatten() {
            match &mut together {
                Some((same, words)) if *same == stream => words.push_str(&text),
                _ => {
                    if let Some((stream, words)) = together.replace((stream, text)) {
                        self.words(stream, words);
                    }
                }
            }
        }
        if let Some((stream, words)) = together {
            self.words(stream, words);
        }
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.out(format!("{text}\n"));
    }

    /// A part of a line on standard output, shown at once.
    pub(crate) fn part(&mut self, text: impl Display) {
        self.out(text.to_string());
    }

    /// A dot on standard output, as a sign of life.
    pub(crate) fn dot() {
        report::write(".");
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

    /// `Warning: ...` at once, also while words are kept, which may be taken back.
    pub(crate) fn warn_at_once(&mut self, lines: &[&str]) {
        let held = self.held.take();
        self.warn(lines);
        self.held = held;
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
        self.words(Stream::Out, text);
    }

    fn err(&mut self, text: String) {
        self.words(Stream::Err, text);
    }

    /// Words, except for what a terminal would obey ([`printable_lines`]).
    pub(crate) fn words(&mut self, stream: Stream, text: String) {
        if self.quiet {
            return;
        }
        if let Some(held) = &mut self.held {
            held.push((stream, text));
            return;
        }
        // A reader that has gone away is no reason to stop in the middle of a build.
        let text = printable_lines(&text);
        match stream {
            Stream::Out => report::write(&text),
            Stream::Err => {
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
        }
    }
}
