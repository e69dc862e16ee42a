//! What the options of a make call say about jobs, read as GNU make reads them.
//!
//! The same words come on a command line and in MAKEFLAGS. An option that make would refuse is
//! left for make to complain of.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

/// Short options that take an argument, in the same word or the next.
const WITH_ARGUMENT: &[u8] = b"CfIoWE";

/// Short options that take one in the same word, if any.
const WITH_OPTIONAL_ARGUMENT: &[u8] = b"lO";

/// Long options whose argument may be the next word.
const LONG_WITH_ARGUMENT: [&[u8]; 12] = [
    b"directory",
    b"file",
    b"makefile",
    b"include-dir",
    b"old-file",
    b"assume-old",
    b"what-if",
    b"new-file",
    b"assume-new",
    b"eval",
    b"jobserver-auth",
    b"jobserver-fds",
];

/// How many jobs a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jobs {
    /// It says nothing.
    Unsaid,
    /// One, and so none beside it.
    One,
    /// A number, or as many as there are.
    Many,
}

/// The words of a call, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The last word on the number of jobs.
    pub(super) jobs: Jobs,
    /// All words but those that say the number of jobs.
    pub(super) others: Vec<OsString>,
    /// The arguments of `-C`.
    pub(super) directories: Vec<OsString>,
    /// Whether a jobserver is named.
    pub(super) has_jobserver: bool,
}

/// What a word is.
enum Word<'w> {
    /// The end of all options.
    End,
    /// The number of jobs, behind other options in the same word, and perhaps without a number.
    Jobs(&'w [u8], Option<&'w [u8]>),
    /// An option whose argument is the rest of its word, or the next word.
    Argument(&'w [u8], Option<&'w [u8]>),
    /// Anything else.
    Other,
}

impl<'w> Word<'w> {
    fn of(word: &'w [u8]) -> Self {
        match word {
            b"--" => Self::End,
            [b'-', b'-', long @ ..] => Self::long(long),
            [b'-', ..] => Self::short(word),
            _ => Self::Other,
        }
    }

    fn long(long: &'w [u8]) -> Self {
        let mut parts = long.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default();
        match (name, parts.next()) {
            (b"jobs", number) => Self::Jobs(&[], number),
            (name, value) if LONG_WITH_ARGUMENT.contains(&name) => Self::Argument(name, value),
            _ => Self::Other,
        }
    }

    fn short(word: &'w [u8]) -> Self {
        for (index, letter) in word.iter().enumerate().skip(1) {
            let tail = Some(&word[index + 1..]).filter(|tail| !tail.is_empty());
            match letter {
                b'j' if index == 1 => return Self::Jobs(&[], tail),
                b'j' => return Self::Jobs(&word[..index], tail),
                letter if WITH_ARGUMENT.contains(letter) => {
                    return Self::Argument(&word[index..=index], tail);
                }
                letter if WITH_OPTIONAL_ARGUMENT.contains(letter) => break,
                _ => {}
            }
        }
        Self::Other
    }
}

impl Options {
    /// Reads words in their order.
    pub(super) fn of(words: &[OsString]) -> Self {
        let mut options = Self {
            jobs: Jobs::Unsaid,
            others: Vec::new(),
            directories: Vec::new(),
            has_jobserver: false,
        };
        let mut rest = words.iter().peekable();
        while let Some(word) = rest.next() {
            match Word::of(word.as_bytes()) {
                Word::End => {
                    options.others.push(word.clone());
                    options.others.extend(rest.by_ref().cloned());
                }
                Word::Jobs(before, number) => {
                    let next = match number {
                        Some(_) => None,
                        None => rest.next_if(|next| next.as_bytes().iter().all(u8::is_ascii_digit)),
                    };
                    let number = number.or(next.map(|next| next.as_bytes()));
                    if let Some(jobs) = jobs(number) {
                        options.jobs = jobs;
                        if !before.is_empty() {
                            options.others.push(OsStr::from_bytes(before).to_owned());
                        }
                    } else {
                        options.others.push(word.clone());
                        options.others.extend(next.cloned());
                    }
                }
                Word::Argument(name, value) => {
                    options.others.push(word.clone());
                    let next = if value.is_none() { rest.next() } else { None };
                    options.others.extend(next.cloned());
                    let value = value.or(next.map(|next| next.as_bytes()));
                    if matches!(name, b"C" | b"directory") {
                        let directory = value.map(|value| OsStr::from_bytes(value).to_owned());
                        options.directories.extend(directory);
                    }
                    options.has_jobserver |= name.starts_with(b"jobserver-");
                }
                Word::Other => options.others.push(word.clone()),
            }
        }
        options
    }
}

/// The meaning of a number of jobs; none if make would refuse it.
fn jobs(number: Option<&[u8]>) -> Option<Jobs> {
    let Some(number) = number else {
        return Some(Jobs::Many);
    };
    let is_number = number.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(number).ok().filter(|_| is_number)?;
    match text.parse::<u32>().ok()? {
        0 => None,
        1 => Some(Jobs::One),
        _ => Some(Jobs::Many),
    }
}
