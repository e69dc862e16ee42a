//! A make.log as dkms writes it, and what a build's log tells, piece by piece: no log is in memory as a whole, however
//! long it or a line of it is.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
};

use kiln_kernel::package::PackageId;

use super::{arguments::RELEASE, target::Target};

/// No line that is looked for is longer, in bytes; a longer one comes in pieces.
const PIECE: u64 = 64 << 10;

/// A line with its end, or a piece of a long one.
struct Piece<'a> {
    bytes: &'a [u8],
    /// Whether it is the first of its line.
    begins: bool,
}

impl Piece<'_> {
    /// Its text, if it begins a line, without the line's end.
    fn line(&self) -> &[u8] {
        match self.begins {
            true => self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes),
            false => b"",
        }
    }
}

/// Hands on each piece of a text. What cannot be read is its end: a log is there to be looked at.
fn pieces(text: impl Read, mut act: impl FnMut(Piece<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut text = BufReader::with_capacity(PIECE as usize, text);
    let mut bytes = Vec::new();
    let mut begins = true;
    loop {
        bytes.clear();
        let read = (&mut text).take(PIECE).read_until(b'\n', &mut bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        let bytes = &bytes[..];
        act(Piece { bytes, begins })?;
        begins = bytes.ends_with(b"\n");
        if read.is_err() {
            return Ok(());
        }
    }
}

/// The first line of a make.log.
pub(crate) fn headline(package: &PackageId, target: &Target) -> String {
    format!("{} for kernel {target}\n", start(package))
}

/// What the first line for each kernel of a package begins with.
fn start(package: &PackageId) -> String {
    format!("DKMS ({RELEASE}) make.log for {package}")
}

/// Writes what follows the first lines: the command with the `-j` that was asked for, without kiln's own first line.
pub(crate) fn copy(
    log: impl Read,
    target: &Target,
    jobs: &str,
    to: &mut impl Write,
) -> io::Result<()> {
    let shared = format!("# command: make -j KERNELRELEASE={}", target.kernel);
    let told = format!("# command: make -j{jobs} KERNELRELEASE={}", target.kernel);
    let (mut is_first, mut is_told) = (true, false);
    pieces(log, |piece| {
        if piece.begins && std::mem::take(&mut is_first) && piece.bytes.starts_with(b"kiln ") {
            return Ok(());
        }
        match piece.line().strip_prefix(shared.as_bytes()) {
            Some(_) if !is_told => {
                is_told = true;
                to.write_all(told.as_bytes())?;
                to.write_all(&piece.bytes[shared.len()..])
            }
            _ => to.write_all(piece.bytes),
        }
    })
}

/// Writes what a make.log says of kernels other than `target`, as far as kiln wrote it.
pub(crate) fn copy_others(
    log: File,
    package: &PackageId,
    target: &Target,
    to: &mut impl Write,
) -> io::Result<()> {
    let own = headline(package, target);
    let start = format!("{} for kernel ", start(package));
    let mut keeps = false;
    pieces(log, |piece| {
        if piece.begins && piece.bytes.starts_with(start.as_bytes()) {
            keeps = piece.bytes != own.as_bytes();
        }
        match keeps {
            true => to.write_all(piece.bytes),
            false => Ok(()),
        }
    })
}

/// What the log of a failed build tells.
#[derive(Default)]
pub(crate) struct Told {
    /// How many steps were begun.
    pub(crate) begun: usize,
    /// The last exit status.
    pub(crate) code: Option<i32>,
    /// The file that make should have made, from the job's own words, which are its last: what make itself
    /// complained of may come before.
    pub(crate) missing: Option<String>,
}

impl Told {
    /// Reads a log; a step begins with a line that `is_title`.
    pub(crate) fn by(log: impl Read, is_title: impl Fn(&str) -> bool) -> Self {
        let mut told = Self::default();
        let read = pieces(log, |piece| {
            let Ok(line) = std::str::from_utf8(piece.line()) else {
                return Ok(());
            };
            if is_title(line) {
                told.begun += 1;
            }
            if let Some(code) = line.strip_prefix("# exit code: ") {
                told.code = code.trim().parse().ok();
            }
            let missing = line
                .strip_prefix("Build of ")
                .and_then(|rest| rest.split_once(" failed: make made"));
            if let Some((module, _)) = missing {
                told.missing = Some(module.to_owned());
            }
            Ok(())
        });
        read.expect("nothing is written");
        told
    }
}
