//! A job on a remote execution engine, against the same job here, and against plain make.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    casd::Casd,
    document::{Bar, Section},
    kiln::{self, Run, differences},
    peers::PlainMake,
    row,
    site::{Site, is_root},
    source,
    stats::{median, seconds},
};

/// The package, of one file: what is added stands out most.
const PACKAGE: &str = "acpi-call";

/// How many jobs run one after the other in one command.
const CHAIN: usize = 8;

/// The most that a job may take longer there, in seconds.
const BAR: f64 = 0.3;

/// Jobs by plain make, here and there.
struct Turns {
    jobs: usize,
    make: Vec<f64>,
    here: Vec<f64>,
    there: Vec<f64>,
    /// What the engine says that the jobs themselves took.
    ran: Vec<f64>,
    different: usize,
}

pub(crate) fn compare(site: &Site) -> Result<Section> {
    let title = "A remote execution engine, against this machine".to_owned();
    if !is_root() {
        return Ok(Section {
            title,
            text: "Not measured: this needs root, for the engine's FUSE.".to_owned(),
            ..Section::default()
        });
    }
    let home = site.work("remote");
    let source = site.package(PACKAGE).ok_or("the corpus lacks acpi-call")?;
    let chain = chain(&source, &home)?;
    let engine = Casd::engine(site, &home.join("server"), 1)?;
    let endpoint = engine.endpoint();
    // Fingerprints are taken, and the kernel's tree gets there.
    let cold = there(site, &home, &chain[..1], &endpoint)?;
    here(site, &home, &chain)?;
    let alone = Turns::run(site, &home, &chain[..1], &endpoint)?;
    let together = Turns::run(site, &home, &chain, &endpoint)?;

    let mut table = vec![row![
        "jobs in one command",
        "plain make",
        "here",
        "there",
        "of it the jobs",
        "the rest, a job",
        "over here, a job",
        "over plain make, a job"
    ]];
    for turns in [&alone, &together] {
        table.push(row![
            turns.jobs,
            seconds(median(&turns.make)),
            seconds(median(&turns.here)),
            seconds(median(&turns.there)),
            seconds(median(&turns.ran)),
            seconds(turns.over(&turns.ran)),
            seconds(turns.over(&turns.here)),
            seconds(turns.over(&turns.make)),
        ]);
    }
    let different = alone.different + together.different;
    let bar = |what: &str, over: &[f64]| {
        let measured = together.over(over);
        Bar {
            what: format!("a job on an engine that has the kernel's tree, {what}"),
            wanted: format!("at most {}", seconds(BAR)),
            measured: seconds(measured),
            reached: measured <= BAR,
        }
    };
    Ok(Section {
        title,
        text: format!(
            "`kiln build -j1 -k {}` of {PACKAGE} with a file that no build has seen, here and with `--remote-exec`, in turns, {} times each, after the \
kernel's tree has been uploaded (that first job took {}). The engine is buildbox-casd on the loopback, one action at a \
time, on the same cores. {CHAIN} jobs are copies of the package that depend on each other, so that one runs at a time, here \
as there. Times are medians. The jobs are what the engine says that they ran; the rest is kiln, the transfers and the \
engine's own doings, and what a command does once: connecting, and hashing the kernel's tree for the engine. The last columns are medians of \
the differences of neighbours. Jobs run longer there than here because each file of the kernel is read through FUSE. Plain \
make is what dkms runs, with -j1, copying the source not counted.",
            site.kernels[0],
            site.repeats,
            seconds(cold.measured.wall.as_secs_f64()),
        ),
        table,
        bars: vec![
            bar("beside its run there", &together.ran),
            bar("over the same job here", &together.here),
            bar("over plain make -j1 here", &together.make),
            Bar {
                what: "modules from the engine that differ from those from here".to_owned(),
                wanted: "0".to_owned(),
                measured: different.to_string(),
                reached: different == 0,
            },
        ],
    })
}

impl Turns {
    /// Builds in turns.
    fn run(site: &Site, home: &Path, packages: &[PathBuf], endpoint: &str) -> Result<Self> {
        let mut turns = Self {
            jobs: packages.len(),
            make: Vec::new(),
            here: Vec::new(),
            there: Vec::new(),
            ran: Vec::new(),
            different: 0,
        };
        let plain = PlainMake::new(site, 1, "");
        for _ in 0..site.repeats {
            let mut make = 0.0;
            for package in packages {
                let built = plain.run(package, &site.kernels[0], home)?;
                make += built.wall.as_secs_f64();
            }
            turns.make.push(make);
            let here = here(site, home, packages)?;
            let there = there(site, home, packages, endpoint)?;
            turns.here.push(here.measured.wall.as_secs_f64());
            turns.there.push(there.measured.wall.as_secs_f64());
            turns.ran.push(there.job_wall().as_secs_f64());
            turns.different += differences(&here.digests(), &there.digests());
        }
        Ok(turns)
    }

    /// How much longer a job takes there than by that: the median of neighbours, in seconds.
    #[allow(clippy::cast_precision_loss, reason = "jobs are few")]
    fn over(&self, that: &[f64]) -> f64 {
        let turns = self.there.iter().zip(that);
        let more: Vec<f64> = turns.map(|(there, that)| there - that).collect();
        median(&more) / self.jobs as f64
    }
}

fn here(site: &Site, home: &Path, packages: &[PathBuf]) -> Result<Run> {
    source::renew(packages)?;
    all_built(kiln::run(&mut command(site, home, packages))?, 0)
}

fn there(site: &Site, home: &Path, packages: &[PathBuf], endpoint: &str) -> Result<Run> {
    source::renew(packages)?;
    let mut command = command(site, home, packages);
    command.args(["--remote-exec", endpoint, "--remote-jobs", "1"]);
    all_built(kiln::run(&mut command)?, packages.len())
}

fn command(site: &Site, home: &Path, packages: &[PathBuf]) -> Command {
    let mut command = kiln::command(site, &home.join("cache"), packages, &site.kernels[..1]);
    command.arg("-j1");
    command
}

/// A run in which every job was built, so many of them on the engine.
fn all_built(run: Run, on_the_engine: usize) -> Result<Run> {
    let (built, there) = (run.count("built"), run.on_an_engine());
    if built == run.jobs() as u64 && there == on_the_engine {
        return Ok(run);
    }
    Err(format!(
        "of {} jobs {built} were built, {there} on the engine",
        run.jobs()
    )
    .into())
}

/// Copies of a package, each of which depends on the one before.
fn chain(source: &Path, home: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for link in 0..CHAIN {
        let to = home.join(format!("src/link{link}"));
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        let conf = fs::read_to_string(source.join("dkms.conf"))?;
        let named = format!("PACKAGE_NAME=link{link}");
        let lines = conf
            .lines()
            .map(|line| match line.starts_with("PACKAGE_NAME=") {
                true => named.as_str(),
                false => line,
            });
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if let Some(before) = link.checked_sub(1) {
            text.push_str(&format!("\nBUILD_DEPENDS[0]=link{before}"));
        }
        fs::write(to.join("dkms.conf"), text + "\n")?;
        packages.push(to);
    }
    Ok(packages)
}
