//! A job's log: compressed as it is written, and searched for the first real error.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::doubt::{Doubt, Doubts};

/// Level 1 keeps up with a build that prints as fast as it can.
const COMPRESSION_LEVEL: i32 = 1;

/// No line of a log is looked at beyond this many bytes.
const LINE_LIMIT: u64 = 4096;

/// Writes a log to a file, compressed.
pub struct LogWriter {
    encoder: zstd::stream::write::Encoder<'static, File>,
    failed: Option<io::Error>,
}

impl LogWriter {
    /// Starts a log.
    ///
    /// # Errors
    /// Fails if the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(File::create(path)?, COMPRESSION_LEVEL)?;
        Ok(Self {
            encoder,
            failed: None,
        })
    }

    /// Adds bytes; a failure is kept for [`LogWriter::finish`].
    pub fn add(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.encoder.write_all(bytes)
        {
            self.failed = Some(error);
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    /// Fails if any of it could not be written.
    pub fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.encoder.finish().map(drop),
        }
    }
}

/// Opens a stored log for reading.
///
/// # Errors
/// Fails if the file is not a compressed log.
pub fn open_log(file: File) -> io::Result<impl Read> {
    zstd::stream::read::Decoder::new(file)
}

/// The first real error of a failed build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// The source file, relative to the build directory where it is in it.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for FirstError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

/// Signs in a log that no input is to blame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OutsideCauses {
    /// The disk was full.
    pub(super) disk_full: bool,
    /// A process was killed from outside, as when memory runs out.
    pub(super) killed: bool,
    /// The first sign that it may be something else.
    pub(super) doubt: Option<Doubt>,
}

/// Finds the first real error in a log: the first line of the best kind that it has. The
/// last line stands in where no line looks like an error.
///
/// `build` is the build directory, taken off the front of file names.
///
/// # Errors
/// Fails if the log cannot be read.
pub(super) fn first_error(
    log: impl Read,
    build: &Path,
) -> io::Result<(Option<FirstError>, OutsideCauses)> {
    let mut log = BufReader::new(log);
    let mut best: Option<(u8, String)> = None;
    let mut last = None;
    let mut causes = OutsideCauses::default();
    let mut doubts = Doubts::new();
    while let Some(line) = next_line(&mut log)? {
        let line = line.trim();
        causes.disk_full |= line.contains("No space left on device");
        causes.killed |= line.contains("Killed signal terminated program")
            || line.ends_with("Killed")
            || line.contains(" Killed  ")
            || line.contains("virtual memory exhausted");
        doubts.hear(line);
        if line.is_empty() || line.starts_with('#') || line.starts_with("-----") {
            continue;
        }
        if let Some(rank) = rank(line)
            && best.as_ref().is_none_or(|(known, _)| rank < *known)
        {
            best = Some((rank, line.to_owned()));
        }
        last = Some(line.to_owned());
    }
    causes.doubt = doubts.first();
    let line = best.map(|(_, line)| line).or(last);
    Ok((line.map(|line| parse(&line, build)), causes))
}

/// Reads a log of anybody's.
#[cfg(feature = "fuzzing")]
pub fn read_log_for_fuzzing(log: &[u8]) {
    let _ = first_error(log, Path::new("/var/lib/dkms/a/1/build"));
}

/// Reads one line, of which no more than a limit is kept.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// How much a line looks like the cause; smaller is better.
fn rank(line: &str) -> Option<u8> {
    let compiler = |marker: &str| {
        line.find(marker)
            .is_some_and(|at| line[..at].contains(':') && !line[..at].contains(' '))
    };
    let tool = ["configure: error:", "ERROR:", "can't find file to patch"]
        .iter()
        .any(|start| line.starts_with(start))
        || line.contains("FAILED at")
        || line.contains(": undefined reference to ");
    if line.starts_with("configure: error: in `") {
        None
    } else if !line.starts_with("configure:")
        && (compiler(": error: ") || compiler(": fatal error: "))
    {
        Some(0)
    } else if tool {
        Some(1)
    } else if line.contains("*** ") && (line.contains("No rule to make") || line.contains("Stop."))
    {
        Some(2)
    } else if line.contains("command not found")
        || line.contains(": not found")
        || line.contains("No such file or directory")
        || line.contains("Permission denied")
        || line.contains("Read-only file system")
    {
        Some(3)
    } else if line.contains("rror:") || line.starts_with("Error") {
        Some(4)
    } else if line.contains("*** ") {
        Some(5)
    } else {
        None
    }
}

fn parse(line: &str, build: &Path) -> FirstError {
    let compiler = [": fatal error: ", ": error: "]
        .into_iter()
        .find_map(|marker| line.split_once(marker))
        .filter(|(place, _)| *place != "configure");
    let Some((place, message)) = compiler else {
        return FirstError {
            file: None,
            line: None,
            message: line.to_owned(),
        };
    };
    let mut parts = place.split(':');
    let file = parts.next().unwrap_or_default();
    let file = Path::new(file);
    FirstError {
        file: Some(
            file.strip_prefix(build)
                .unwrap_or(file)
                .display()
                .to_string(),
        ),
        line: parts.next().and_then(|number| number.parse().ok()),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(log: &str) -> String {
        let (error, _) = first_error(log.as_bytes(), Path::new("/b")).unwrap();
        error.map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_first_error_of_the_best_kind_is_found() {
        assert_eq!(
            find(
                "make: Entering\nsh: foo: not found\n/b/src/a.c:12:5: error: bad thing\n/b/b.c:1: error: second\nmake: *** [x] Error 1\n"
            ),
            "src/a.c:12: bad thing"
        );
        assert_eq!(
            find("ERROR: modpost: \"foo\" [/b/x.ko] undefined!\nmake: *** [y] Error 1\n"),
            "ERROR: modpost: \"foo\" [/b/x.ko] undefined!"
        );
        assert_eq!(
            find("make[1]: *** No rule to make target 'x'.  Stop.\n# exit code: 2\n"),
            "make[1]: *** No rule to make target 'x'.  Stop."
        );
        assert_eq!(
            find("configure: error: in `/b':\nconfigure: error: no compiler\nSee `config.log'\n"),
            "configure: error: no compiler"
        );
        assert_eq!(find("hello\nworld\n# exit code: 1\n"), "world");
        assert_eq!(find(""), "");
    }

    #[test]
    fn outside_causes_are_seen() {
        let (_, causes) = first_error(
            &b"gcc: fatal error: Killed signal terminated program cc1\ncp: x: No space left on device\n"[..],
            Path::new("/b"),
        )
        .unwrap();
        assert!(causes.killed && causes.disk_full);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let long = io::repeat(b'x').take(64 << 20);
        let (error, _) = first_error(long, Path::new("/b")).unwrap();
        assert!(error.unwrap().message.len() <= LINE_LIMIT as usize);
    }
}
