//! Logs, each in a script of its own that the page loads when it is asked for.
//!
//! A page opened from a file may not read other files, but may load scripts: each is one call with the log as
//! gzip in base64, which no log text can break out of. Escape sequences are removed. A script is named after
//! what it holds and never changes, so one that is there already is left alone.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use rayon::prelude::*;

use crate::{Class, ReportError, Run, shown};

/// Of the log of a good build the last so many bytes are kept.
pub const GOOD_LOG_LIMIT: usize = 256 << 10;

/// The log of a failed build is kept whole up to this size, beyond which its end is.
pub const WHOLE_LOG_LIMIT: usize = 64 << 20;

/// The directory of the scripts.
pub(crate) const DIRECTORY: &str = "logs";

/// Where logs come from.
pub trait LogSource: Sync {
    /// Opens the log that a [`crate::Cell::log`] names; none if it is gone.
    ///
    /// # Errors
    /// Whatever opening it fails with.
    fn open(&self, log: &str) -> io::Result<Option<Box<dyn Read + '_>>>;
}

/// There are no logs.
#[derive(Debug, Clone, Copy)]
pub struct NoLogs;

impl LogSource for NoLogs {
    fn open(&self, _: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(None)
    }
}

/// Writes the logs of a run, and names the file for each cell that has one.
pub(crate) fn write(
    directory: &Path,
    run: &Run,
    source: &dyn LogSource,
) -> Result<Vec<Option<String>>, ReportError> {
    let into = directory.join(DIRECTORY);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Write { path, source }
    };
    fs::create_dir_all(&into).map_err(failed(&into))?;
    let names: Vec<Option<(String, usize)>> = run
        .cells
        .iter()
        .map(|cell| {
            let limit = match cell.outcome.class() {
                Class::Bad => WHOLE_LOG_LIMIT,
                Class::Good | Class::Void => GOOD_LOG_LIMIT,
            };
            Some((stem(cell.log.as_deref()?, limit), limit))
        })
        .collect();
    let mut wanted: Vec<(&str, &str, usize)> = run
        .cells
        .iter()
        .zip(&names)
        .filter_map(|(cell, name)| {
            let (stem, limit) = name.as_ref()?;
            Some((stem.as_str(), cell.log.as_deref()?, *limit))
        })
        .collect();
    wanted.sort_unstable();
    wanted.dedup_by_key(|(stem, _, _)| *stem);
    let written = wanted
        .par_iter()
        .map(|(stem, log, limit)| {
            let path = into.join(format!("{stem}.js"));
            let there =
                path.exists() || script(&path, stem, source, log, *limit).map_err(failed(&path))?;
            Ok(there.then_some(*stem))
        })
        .collect::<Result<BTreeSet<Option<&str>>, ReportError>>()?;
    Ok(names
        .iter()
        .map(|name| {
            let (stem, _) = name.as_ref()?;
            written
                .contains(&Some(stem.as_str()))
                .then(|| format!("{DIRECTORY}/{stem}.js"))
        })
        .collect())
}

/// Removes the scripts that are none of these: those of earlier reports.
pub(crate) fn remove_others(directory: &Path, files: &[Option<String>]) {
    let keep: BTreeSet<&str> = files
        .iter()
        .flatten()
        .filter_map(|file| file.strip_prefix(DIRECTORY)?.strip_prefix('/'))
        .collect();
    let Ok(entries) = fs::read_dir(directory.join(DIRECTORY)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| {
            name.strip_suffix(".js")
                .is_some_and(|stem| stem.len() == 32)
                && !keep.contains(name)
        });
        if ours {
            // What stays behind costs room and nothing else.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The name of a script, from what it will hold.
fn stem(log: &str, limit: usize) -> String {
    let digest = blake3::hash(format!("log 1 {limit} {log}").as_bytes());
    digest.to_hex()[..32].to_owned()
}

/// Writes one script; says whether the log was there.
fn script(
    path: &Path,
    stem: &str,
    source: &dyn LogSource,
    log: &str,
    limit: usize,
) -> io::Result<bool> {
    let Some(reader) = source.open(log)? else {
        return Ok(false);
    };
    let (text, total) = tail(reader, limit)?;
    let omitted = total - text.len() as u64;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(&plain(&text))?;
    let packed = BASE64_STANDARD.encode(encoder.finish()?);
    let mut file = super::directory::beside(path)?;
    writeln!(
        file.file(),
        "kilnLog(\"{stem}\",{total},{omitted},\"{packed}\");"
    )?;
    file.place()?;
    Ok(true)
}

/// The last bytes of a text, from the start of a line where it is cut, and how many there were in all.
fn tail(mut reader: impl Read, limit: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut text = Vec::new();
    let mut total = 0;
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        total += read as u64;
        text.extend_from_slice(&chunk[..read]);
        if text.len() > limit.saturating_mul(2) {
            text.drain(..text.len() - limit);
        }
    }
    if total > limit as u64 {
        let start = text.len().saturating_sub(limit);
        let line = text[start..].iter().position(|byte| *byte == b'\n');
        text.drain(..start + line.map_or(0, |at| at + 1));
    }
    Ok((text, total))
}

/// A text without escape sequences, in UTF-8, that is seen as it is.
fn plain(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    shown::named(&anstream::adapter::strip_str(&text).to_string()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_end_from_the_start_of_a_line() {
        let text: Vec<u8> = (0..1000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        let (kept, total) = tail(text.as_slice(), 100).unwrap();
        assert_eq!(total, text.len() as u64);
        assert!(kept.len() <= 100 && kept.starts_with(b"line 9") && kept.ends_with(b"line 999\n"));
        let (kept, total) = tail(&b"short"[..], 100).unwrap();
        assert_eq!((kept.as_slice(), total), (&b"short"[..], 5));
        assert_eq!(tail(io::repeat(b'x').take(1000), 10).unwrap().0.len(), 10);
    }

    #[test]
    fn escape_sequences_go_and_text_stays() {
        assert_eq!(plain("\u{202e}c.doc".as_bytes()), br"\u{202e}c.doc");
        let text =
            b"\x1b[1;31merror:\x1b[0m\ta \x1b]8;;http://x\x07link\x1b]8;;\x07 \xff</script>\n";
        let plain = String::from_utf8(plain(text)).unwrap();
        assert_eq!(plain, "error:\ta link \u{fffd}</script>\n");
    }
}
