//! The same matrix again: kiln from its cache, dkms building it.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    Result,
    cold::Matrix,
    document::{Bar, Section},
    kiln::{self, Run},
    measure::checked,
    peers, row,
    site::{Site, file_name},
    stats::{median_seconds, seconds},
};

/// How many times faster than dkms.
const BAR_RATIO: f64 = 300.0;
/// The most that a job may cost beyond the kernel trees' fingerprints, in seconds.
const BAR_JOB: f64 = 0.003;
/// Warm runs are short: more of them make a steady median.
const REPEATS: usize = 15;

pub(crate) fn compare(site: &Site, matrix: &Matrix) -> Result<Section> {
    let packages = &matrix.packages;
    let one = packages
        .get(..1)
        .ok_or("no package builds for all kernels")?;
    let jobs = packages.len() * site.kernels.len();
    let all = warm(site, matrix, packages, &site.kernels)?;
    let few = warm(site, matrix, one, &site.kernels)?;
    let single = warm(site, matrix, one, &site.kernels[..1])?;
    let executed = executed(site, matrix)?;

    let mut dkms_table = Vec::new();
    let mut dkms_total = Duration::ZERO;
    for package in packages {
        let times = peers::dkms(site, package, &site.kernels)?;
        let sum: Duration = times.iter().sum();
        dkms_total += sum;
        dkms_table.push((file_name(package), sum));
    }

    let per_job = (all - few) / count(jobs - site.kernels.len()).max(1.0);
    let per_tree = (few - single) / count(site.kernels.len() - 1).max(1.0) - per_job;
    let ratio = dkms_total.as_secs_f64() / all;
    let mut table = vec![row!["", "jobs", "wall"]];
    table.push(row!["kiln, warm, whole matrix", jobs, seconds(all)]);
    table.push(row![
        "kiln, warm, one package, all kernels",
        site.kernels.len(),
        seconds(few)
    ]);
    table.push(row![
        "kiln, warm, one package, one kernel",
        1,
        seconds(single)
    ]);
    table.push(row![
        "dkms build, whole matrix",
        jobs,
        seconds(dkms_total.as_secs_f64())
    ]);
    for (name, sum) in dkms_table {
        let text = format!("- {name}");
        table.push(row![text, site.kernels.len(), seconds(sum.as_secs_f64())]);
    }
    Ok(Section {
        title: "Warm: the matrix from the cache, against dkms".to_owned(),
        text: format!(
            "The {} packages that build, for {} kernels. kiln: every artifact's digest verified; medians of {REPEATS} runs. \
dkms: `dkms build` of the same cells one after the other, each with `-j{}` as it does by itself, its tree in memory, \
without `add`, `install` and depmod, once. A job's cost is the difference between all packages and one, by the number \
of jobs: {}. A kernel tree's fingerprint is the difference between all kernels and one, less the jobs: {}. Programs \
that kiln executed in a warm run, counted with strace: {executed}.",
            packages.len(),
            site.kernels.len(),
            site.cores,
            seconds(per_job),
            seconds(per_tree.max(0.0)),
        ),
        table,
        bars: vec![
            Bar {
                what: "warm kiln against dkms".to_owned(),
                wanted: format!("at least {BAR_RATIO}x"),
                measured: format!("{ratio:.0}x"),
                reached: ratio >= BAR_RATIO,
            },
            Bar {
                what: "warm run, a job".to_owned(),
                wanted: format!("at most {}", seconds(BAR_JOB)),
                measured: seconds(per_job),
                reached: per_job <= BAR_JOB,
            },
            Bar {
                what: "warm run, programs executed".to_owned(),
                wanted: "0".to_owned(),
                measured: executed.to_string(),
                reached: executed == 0,
            },
        ],
    })
}

/// The median wall time of warm runs, in seconds; each has to be all hits.
fn warm(site: &Site, matrix: &Matrix, packages: &[PathBuf], kernels: &[String]) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let run = kiln::run(&mut kiln::command(site, &matrix.cache, packages, kernels))?;
        all_hits(&run)?;
        times.push(run.measured.wall);
    }
    Ok(median_seconds(&times))
}

fn all_hits(run: &Run) -> Result<()> {
    match run.count("hits") == run.jobs() as u64 {
        true => Ok(()),
        false => Err(format!("{} hits among {} jobs", run.count("hits"), run.jobs()).into()),
    }
}

/// Programs that a warm run executes, other than kiln.
fn executed(site: &Site, matrix: &Matrix) -> Result<usize> {
    let trace = site.work("trace");
    let kiln = kiln::command(site, &matrix.cache, &matrix.packages, &site.kernels);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-e", "trace=execve,execveat", "-o"])
        .arg(&trace)
        .arg(kiln.get_program())
        .args(kiln.get_args())
        .env("KILN_CACHE", &matrix.cache);
    checked(&mut command)?;
    let text = fs::read_to_string(&trace)?;
    let lines: BTreeSet<usize> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(" execve"))
        .map(|(number, _)| number)
        .collect();
    Ok(lines.len().saturating_sub(1))
}

#[allow(clippy::cast_precision_loss, reason = "jobs are few")]
fn count(number: usize) -> f64 {
    number as f64
}
