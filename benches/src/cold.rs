//! The whole matrix from nothing: how much of the cores the jobs get.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{
    Result,
    document::{Bar, Section},
    kiln::{self, Run},
    row,
    site::{Site, label},
    stats::seconds,
};

/// The most by which wall time may exceed the jobs' CPU time, shared out to the cores.
const BAR: f64 = 1.10;

/// The packages and kernels that all build, with a cache that holds them.
pub(crate) struct Matrix {
    pub(crate) cache: PathBuf,
    pub(crate) packages: Vec<PathBuf>,
    /// The most memory that kiln held in a cold run.
    pub(crate) cold_memory: u64,
}

/// Builds the matrix twice from nothing, and leaves its cache.
pub(crate) fn measure(site: &Site) -> Result<(Section, Matrix)> {
    let cache = site.work("matrix-cache");
    let mut table = vec![row![
        "run",
        "jobs",
        "failed",
        "wall",
        "CPU of the jobs",
        "CPU of all",
        "longest job",
        "wall / (CPU / cores)"
    ]];
    let first = kiln::run(&mut kiln::command(
        site,
        &cache,
        &site.packages,
        &site.kernels,
    ))?;
    let mut again = kiln::command(site, &cache, &site.packages, &site.kernels);
    let second = kiln::run(again.arg("--no-cache"))?;
    let mut bars = Vec::new();
    for (name, run) in [("nothing known", &first), ("durations known", &second)] {
        let ratio = efficiency(site, run);
        table.push(row![
            name,
            run.jobs(),
            run.count("failed"),
            seconds(run.measured.wall.as_secs_f64()),
            seconds(run.job_cpu().as_secs_f64()),
            seconds(run.measured.cpu.as_secs_f64()),
            seconds(run.longest_job().as_secs_f64()),
            format!("{ratio:.3}"),
        ]);
        bars.push(Bar {
            what: format!("cold run, {name}: wall / (CPU of the jobs / cores)"),
            wanted: format!("at most {BAR:.2}"),
            measured: format!("{ratio:.3}"),
            reached: ratio <= BAR,
        });
    }
    let incomplete: BTreeSet<String> = first.incomplete();
    let mut packages = Vec::new();
    for package in &site.packages {
        if !incomplete.contains(&label(package)?) {
            packages.push(package.clone());
        }
    }
    let section = Section {
        title: "Cold: the whole matrix from nothing".to_owned(),
        text: format!(
            "`kiln build` of {} packages for {} kernels on {} cores: with an empty cache, and with `--no-cache` on the \
cache that this left, so that durations are known. Packages that do not build for all of these kernels are part of it: {}. \
The CPU of the jobs is what their records say, sandbox and shell included; that of all includes kiln itself.",
            site.packages.len(),
            site.kernels.len(),
            site.cores,
            if incomplete.is_empty() {
                "none".to_owned()
            } else {
                incomplete.into_iter().collect::<Vec<_>>().join(", ")
            }
        ),
        table,
        bars,
    };
    let matrix = Matrix {
        cache,
        packages,
        cold_memory: first.measured.peak_memory.max(second.measured.peak_memory),
    };
    Ok((section, matrix))
}

#[allow(clippy::cast_precision_loss, reason = "cores are few")]
fn efficiency(site: &Site, run: &Run) -> f64 {
    let share = run.job_cpu().as_secs_f64() / site.cores as f64;
    run.measured.wall.as_secs_f64() / share
}
