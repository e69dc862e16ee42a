//! Everything that kiln prints, and every sentence in it.
//!
//! A build is reported by one of three reports behind one trait: live on a terminal, a
//! plain line for each finished job elsewhere, or JSON. Results go to standard output,
//! errors and notices to standard error.

mod cache;
mod comparison;
mod config;
mod error;
mod explain;
mod farm;
mod json;
mod live;
mod matrix;
mod out;
mod plain;
mod plan;
mod printable;
#[cfg(feature = "remote")]
mod remote;
mod summary;
mod usage;
mod verify;
pub(crate) mod words;

use std::{collections::BTreeMap, io::IsTerminal, path::Path, time::Duration};

use kiln_build::{
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, Difference, Plan},
    shared::SharedNotice,
    sight::Finding,
};
use kiln_cache::Damage;
use kiln_sandbox::IsolationError;
use kiln_scheduler::Lane;

use crate::cli::{Global, RunArgs};

pub(crate) use cache::{cache_gc, cache_stats};
pub(crate) use comparison::comparison;
pub(crate) use config::{checked_files, settings};
pub(crate) use error::command_error;
pub(crate) use explain::explain;
pub(crate) use farm::{FarmNotice, Fate, farm_report};
pub(crate) use out::{copy_log, copy_raw_log, has_lost_output, path, write};
pub(crate) use printable::printable_lines;
#[cfg(feature = "remote")]
pub(crate) use remote::{new_keys, server, server_cannot_run, server_fails, server_not_set};
pub(crate) use usage::command_line;
pub(crate) use verify::{cache_verify, rebuilding};
pub(crate) use words::{chain, first_error, hidden_files, no_remote, result_cause};

/// Tells the user of a build, as it goes on.
pub(crate) trait Report {
    /// Actions run without bubblewrap.
    fn bare(&mut self, reason: &IsolationError) {
        out::notice(&words::bare(reason));
    }

    /// The user should know something about the farm.
    fn notice(&mut self, notice: &FarmNotice) {
        out::notice(&farm::words(notice));
    }

    /// A server that a setting names is not used.
    fn no_remote(&mut self, setting: &str) {
        out::notice(&words::no_remote(setting));
    }

    /// What the user should know of the shared cache.
    fn shared(&mut self, notices: &[SharedNotice]) {
        for notice in notices {
            out::notice(&words::shared(notice));
        }
    }

    /// The engine that jobs ran on cannot be used any more.
    fn engine_lost(&mut self, error: &dyn std::error::Error) {
        out::notice(&words::engine_lost(error));
    }

    /// Jobs with a toolchain root run here although there is an engine.
    fn roots_stay(&mut self) {
        out::notice(words::ROOTS_STAY);
    }

    /// An input was touched while something ran that is made from it: that is planned and run again.
    fn input_changed(&mut self, path: &Path) {
        out::notice(&words::input_changed(path));
    }

    /// What builds saw that is in no key.
    fn audit(&mut self, findings: &[Finding]) {
        for Finding { subject, what } in findings {
            out::notice(&format!("audit: {subject}: {what}"));
        }
        if findings.is_empty() {
            out::notice("audit: all that builds saw is in their keys");
        }
    }

    /// What was printed while a package's dkms.conf was evaluated.
    fn complaint(&mut self, package: &str, line: &str) {
        out::notice(&words::complaint(package, line));
    }

    /// So many dkms.conf files of a total have been evaluated.
    fn conf(&mut self, done: usize, total: usize);

    /// What is going to be done, and why.
    fn plan(&mut self, plan: &Plan, differences: &BTreeMap<CellId, Vec<Difference>>);

    /// Jobs are about to run: their cells and expected durations, on so many cores.
    fn start(&mut self, plan: &Plan, cells: &[(CellId, Duration)], jobs: usize);

    /// A job runs.
    fn started(&mut self, plan: &Plan, cell: CellId, lane: Lane);

    /// A job is in a phase.
    fn phase(&mut self, cell: CellId, name: &str);

    /// A job is not running any more and has no outcome: it will start again.
    fn handed_back(&mut self, _plan: &Plan, _cell: CellId) {}

    /// A cell came to its end.
    fn finished(&mut self, plan: &Plan, cell: CellId, result: &CellResult);

    /// The user asked to stop.
    fn cancelling(&mut self);

    /// A moment has passed.
    fn tick(&mut self) {}

    /// Damaged files were found in the cache.
    fn damage(&mut self, damage: &[Damage]) {
        for one in damage {
            out::notice(&words::damage(one));
        }
    }

    /// Everything is done.
    fn summary(&mut self, plan: &Plan, outcome: &Outcome, site: &BuildSite);
}

/// Chooses the report that the user's options and terminal ask for.
pub(crate) fn choose(global: &Global, arguments: &RunArgs) -> Box<dyn Report> {
    let output = arguments.output.as_deref().map(Path::to_owned);
    let style = plain::Style {
        quiet: global.quiet,
        verbose: global.verbose,
        output,
    };
    if arguments.json {
        Box::new(json::Json::new(style))
    } else if std::io::stderr().is_terminal() && !global.quiet {
        Box::new(live::Live::new(style))
    } else {
        Box::new(plain::Plain::new(style))
    }
}

/// The live view by itself, for one who says the rest in other words; none without a terminal.
pub(crate) fn live_view() -> Option<Box<dyn Report>> {
    let style = plain::Style {
        quiet: false,
        verbose: false,
        output: None,
    };
    std::io::stderr()
        .is_terminal()
        .then(|| Box::new(live::Live::new(style)) as Box<dyn Report>)
}

/// Forces colour on or off.
pub(crate) fn set_color(on: bool) {
    console::set_colors_enabled(on);
    console::set_colors_enabled_stderr(on);
}
