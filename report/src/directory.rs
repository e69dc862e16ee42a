//! The directory of a report: what is in it, and how a new report takes the place of the former one.
//!
//! Each file is written beside its place and renamed into it, the page last: a reader finds a former report
//! or a new one. `report.json` of the former one stays as `previous.json`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use kiln_durable::regular;
use kiln_files::NewFile;

use crate::{LogSource, ReportError, Run, compare, document, junit, logs, metrics, page, trace};

const PREVIOUS: &str = "previous.json";
const PAGE: &str = "index.html";

/// A directory that reports are written into.
#[derive(Debug)]
pub struct ReportDirectory {
    path: PathBuf,
}

impl ReportDirectory {
    /// Makes the directory if need be, and sees that a report may be written there.
    ///
    /// # Errors
    /// Fails if it cannot be made or written to, or if it holds files by the names of a report's that are
    /// none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let directory = Self { path: path.into() };
        let path = &directory.path;
        let failed = |source| ReportError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(path).map_err(failed)?;
        // Gone at once: that a file can be made is all that is asked.
        beside(&path.join(PAGE)).map_err(failed)?;
        let report = directory.file(document::FILE);
        match regular::read_at_once(&report, document::LIMIT) {
            Ok(text) if document::is_report(&text) => {}
            Ok(_) => return Err(ReportError::Occupied { path: report }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(path) = directory.others().find(|path| path.exists()) {
                    return Err(ReportError::Occupied { path });
                }
            }
            Err(source) => {
                return Err(ReportError::Read {
                    path: report,
                    source,
                });
            }
        }
        Ok(directory)
    }

    /// Where the page is.
    #[must_use]
    pub fn page(&self) -> PathBuf {
        self.file(PAGE)
    }

    /// Writes the report of a run. The page tells what changed since the report that was here before; with
    /// one that cannot be read it does not.
    ///
    /// # Errors
    /// Fails if a file cannot be written, or a log not be read; the former report is still whole then,
    /// except that some of its files may be those of the new one.
    pub fn write(&self, run: &Run, source: &dyn LogSource) -> Result<(), ReportError> {
        let report = self.file(document::FILE);
        let former = document::load(&report).ok();
        let changes = former.as_ref().map(|former| compare(former, run));
        let files = logs::write(&self.path, run, source)?;
        let encoded = |result: io::Result<Vec<u8>>, name: &str| {
            result.map_err(|source| ReportError::Write {
                path: self.file(name),
                source,
            })
        };
        let text = encoded(document::encode(run), document::FILE)?;
        let html = encoded(page::page(run, changes.as_ref(), &files, &text), PAGE)?;
        let trace = encoded(trace::trace(run), "trace.json")?;
        let junit = encoded(junit::junit(run), "junit.xml")?;
        if let Ok(former) = regular::read_at_once(&report, document::LIMIT) {
            self.put(PREVIOUS, &former)?;
        }
        self.put("trace.json", &trace)?;
        self.put("junit.xml", &junit)?;
        self.put("metrics.txt", metrics::metrics(run).as_bytes())?;
        self.put(document::FILE, &text)?;
        self.put(PAGE, &html)?;
        logs::remove_others(&self.path, &files);
        Ok(())
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<(), ReportError> {
        let path = self.file(name);
        let write = || -> io::Result<()> {
            let mut file = beside(&path)?;
            file.file().write_all(content)?;
            Ok(file.place()?)
        };
        write().map_err(|source| ReportError::Write {
            path: path.clone(),
            source,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The files of a report that none but its own may be replaced by.
    fn others(&self) -> impl Iterator<Item = PathBuf> {
        [PAGE, PREVIOUS, "trace.json", "junit.xml", "metrics.txt"]
            .into_iter()
            .map(|name| self.file(name))
    }
}

/// A file that is gone unless it takes its place, readable for all as far as the umask allows.
pub(crate) fn beside(path: &Path) -> io::Result<NewFile> {
    NewFile::named(path, 0o644, ".kiln-report-").map_err(Into::into)
}
