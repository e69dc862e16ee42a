//! kiln-report: what became of a matrix of packages and kernels, written for people and for programs.
//!
//! Plain data in ([`Run`]), files out ([`ReportDirectory`]): a page that needs neither a network nor a
//! server, `report.json`, a trace for Perfetto, JUnit XML and OpenMetrics text. [`compare`] says what
//! changed between two runs. The crate knows nothing of caches, kernels or schedulers: whoever has those
//! fills in a [`Run`] and hands over logs by a [`LogSource`]. docs/report.md describes the files.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod cell;
mod compare;
mod compare_text;
mod core_use;
mod critical_path;
mod directory;
mod document;
mod error;
mod junit;
mod logs;
mod metrics;
mod outcome;
mod page;
mod run;
mod shown;
mod trace;

pub use cell::{Cell, Cost, FirstError, Lane, Output, Phase, Place, Span};
pub use compare::{Change, ChangeKind, Comparison, Side, compare};
pub use compare_text::comparison_text;
pub use core_use::{CoreUse, core_use};
pub use critical_path::{Because, CriticalPath, Link, critical_path};
pub use directory::ReportDirectory;
pub use document::{FORMAT, VERSION, load};
pub use error::ReportError;
pub use logs::{GOOD_LOG_LIMIT, LogSource, NoLogs, WHOLE_LOG_LIMIT};
pub use outcome::{Class, Outcome};
pub use page::write_comparison_page;
pub use run::{Run, Totals};
pub use shown::turns;
