//! `report.json`: a run with what is derived from it, under a format name and a version.
//!
//! Fields are only added within a version, and readers skip what they do not know; the version changes when
//! a field changes its meaning or goes. The schema is in docs/report.md.

use std::{
    io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use serde::{Deserialize, Serialize};

use crate::{CoreUse, CriticalPath, ReportError, Run, Totals, core_use, critical_path, shown};

/// What `format` says in a report.
pub const FORMAT: &str = "kiln-report";

/// No report is larger, in bytes.
pub(crate) const LIMIT: u64 = 1 << 30;

/// The version of the schema.
pub const VERSION: u64 = 1;

/// The name of the file in a report's directory.
pub(crate) const FILE: &str = "report.json";

#[derive(Serialize)]
struct Written<'a> {
    format: &'a str,
    version: u64,
    run: &'a Run,
    totals: Totals,
    core_use: CoreUse,
    critical_path: CriticalPath,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// Only what cannot be derived is read.
#[derive(Deserialize)]
struct Read {
    run: Run,
}

/// The text of `report.json`.
pub(crate) fn encode(run: &Run) -> io::Result<Vec<u8>> {
    let text = serde_json::to_string(&Written {
        format: FORMAT,
        version: VERSION,
        run,
        totals: run.totals(),
        core_use: core_use(run),
        critical_path: critical_path(run),
    })?;
    Ok((shown::json(&text) + "\n").into_bytes())
}

/// Reads a report: a `report.json`, or a directory with one.
///
/// # Errors
/// Fails if there is none, if it is something else, or of another version.
pub fn load(path: &Path) -> Result<Run, ReportError> {
    let path = file_of(path);
    let text = regular::read_at_once(&path, LIMIT).map_err(|source| ReportError::Read {
        path: path.clone(),
        source,
    })?;
    decode(&text, &path)
}

fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(FILE)
    } else {
        path.to_owned()
    }
}

fn decode(text: &[u8], path: &Path) -> Result<Run, ReportError> {
    let not_a_report = |source| ReportError::NotAReport {
        path: path.to_owned(),
        source,
    };
    let header: Header = serde_json::from_slice(text).map_err(|e| not_a_report(Some(e)))?;
    if header.format != FORMAT {
        return Err(not_a_report(None));
    }
    if header.version != VERSION {
        return Err(ReportError::Version {
            path: path.to_owned(),
            found: header.version,
            expected: VERSION,
        });
    }
    let mut run = serde_json::from_slice::<Read>(text)
        .map_err(|e| not_a_report(Some(e)))?
        .run;
    drop_dangling_places(&mut run);
    Ok(run)
}

/// Makes every place that a cell names one that exists.
fn drop_dangling_places(run: &mut Run) {
    let count = run.cells.len();
    for cell in &mut run.cells {
        cell.dependencies.retain(|place| *place < count);
        cell.blocked_by = cell.blocked_by.filter(|place| *place < count);
    }
}

/// Whether a text is a report of kiln, in whichever version.
pub(crate) fn is_report(text: &[u8]) -> bool {
    serde_json::from_slice::<Header>(text).is_ok_and(|header| header.format == FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Outcome};

    #[test]
    fn what_is_written_is_read_and_other_things_are_refused() {
        let mut cell = Cell::new("a", "1", "k", "x86_64", Outcome::Hit);
        cell.dependencies = vec![7];
        let run = Run {
            kiln: "0".to_owned(),
            started_ms: 1,
            finished_ms: 2,
            cores: 2,
            remote_slots: 0,
            protection: String::new(),
            interrupted: false,
            cells: vec![cell],
        };
        let text = encode(&run).unwrap();
        let read = decode(&text, Path::new("r")).unwrap();
        assert_eq!(read.cells[0].outcome, Outcome::Hit);
        assert!(read.cells[0].dependencies.is_empty());

        let text = String::from_utf8(text).unwrap();
        let refuse = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            decode(changed.as_bytes(), Path::new("r"))
                .unwrap_err()
                .to_string()
        };
        assert!(refuse("kiln-report", "tar").contains("not a report"));
        assert!(refuse(r#""version":1,"run""#, r#""version":9,"run""#).contains("version 9"));
        assert!(refuse(r#""cells":["#, r#""sells":["#).contains("not a report"));
        assert!(decode(b"PK\x03", Path::new("r")).is_err());
    }
}
