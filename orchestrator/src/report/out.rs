//! The two streams. A reader that has gone away is no reason to fail; a disk that is full is, at the end.

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::OnceLock,
};

use super::printable::{printable, printable_json, printable_lines};

/// How much of a log is in memory at a time.
const PIECE: u64 = 64 << 10;

/// Prints a line on standard output.
pub(super) fn line(text: &str) {
    composed(&printable(text));
}

/// Prints a line on standard output that has kiln's colours: what others have said in it is printable already.
pub(super) fn composed(text: &str) {
    write(&format!("{text}\n"));
}

static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes printable words to standard output, at once.
pub(crate) fn write(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Says that something could not be written to standard output, if that was so; gives whether it was.
pub(crate) fn has_lost_output() -> bool {
    if let Some(error) = LOST.get() {
        notice(&format!(
            "standard output is not whole, it cannot be written: {error}"
        ));
    }
    LOST.get().is_some()
}

/// Prints a line on standard error.
pub(super) fn error_line(text: &str) {
    composed_error(&printable(text));
}

/// Prints a line on standard error that has kiln's colours: what others have said in it is printable already.
pub(super) fn composed_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a notice on standard error.
pub(super) fn notice(text: &str) {
    error_line(&format!("kiln: {text}"));
}

/// Prints a JSON text, in a line.
pub(super) fn json(value: &serde_json::Value) {
    composed(&printable_json(&value.to_string()));
}

/// Prints a path.
pub(crate) fn path(path: &Path) {
    line(&path.display().to_string());
}

/// Copies a log to standard output.
///
/// # Errors
/// Fails if the log cannot be read; not if nobody wants to see it.
pub(crate) fn copy_log(mut log: impl Read) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        let read = log.by_ref().take(PIECE).read_to_end(&mut piece)?;
        let cut = if read == 0 { 0 } else { cut_character(&piece) };
        let rest = piece.split_off(piece.len() - cut);
        let text = String::from_utf8_lossy(&piece).replace("\r\n", "\n");
        write(&printable_lines(&text));
        if read == 0 {
            return Ok(());
        }
        piece = rest;
    }
}

/// Copies a log to standard output as it is.
///
/// # Errors
/// As [`copy_log`].
pub(crate) fn copy_raw_log(mut log: impl Read) -> io::Result<()> {
    match io::copy(&mut log, &mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// How many bytes at the end are the beginning of a character.
fn cut_character(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let invalid = last.map_or(&[][..], |chunk| chunk.invalid());
    match str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}
