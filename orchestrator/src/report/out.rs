//! The two streams. A reader that has gone away is no reason to fail.

use std::{
    io::{self, Read, Write},
    path::Path,
};

/// Prints a line on standard output.
pub(super) fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line on standard error.
pub(super) fn error_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a notice on standard error.
pub(super) fn notice(text: &str) {
    error_line(&format!("kiln: {text}"));
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
    match io::copy(&mut log, &mut io::stdout().lock()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
