//! What hashing, sandbox and store add to the `make` of a job.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Result,
    document::{Bar, Section},
    kiln,
    peers::PlainMake,
    row,
    site::{Site, file_name},
    source,
    stats::{median, median_seconds, percent_over, seconds},
};

/// Packages that dkms builds with one plain call of make; from one file to fifteen.
const PACKAGES: [&str; 5] = [
    "acpi-call",
    "v4l2loopback",
    "rapiddisk",
    "dm-writeboost",
    "evdi",
];

/// The most that may be added.
const BAR: f64 = 1.03;

/// The same packages, built by the one and then by the other.
#[derive(Default)]
struct Pair {
    make_cpu: Duration,
    make_wall: Duration,
    kiln_cpu: Duration,
    kiln_wall: Duration,
    /// What the records of kiln's jobs say.
    jobs_cpu: Duration,
}

/// Pairs of one row of the table.
struct Pairs(Vec<Pair>);

pub(crate) fn compare(site: &Site) -> Result<Section> {
    let kernel = &site.kernels[..1];
    let cache = site.work("overhead-cache");
    let packages: Vec<_> = PACKAGES
        .iter()
        .filter_map(|name| site.package(name))
        .collect();
    let packages = source::copies(&packages, &site.work("overhead-src"))?;
    // Fingerprints of the kernel tree and of the toolbox are taken once, and are not the
    // job's.
    kiln::run(&mut kiln::command(site, &cache, &packages, kernel))?;

    let mut table = vec![row![
        "package",
        "make, CPU",
        "kiln, CPU",
        "of it the jobs",
        "CPU added",
        "make, wall",
        "kiln, wall",
        "wall added"
    ]];
    let mut worst: f64 = 0.0;
    for package in &packages {
        let pairs = Pairs::run(site, &cache, std::slice::from_ref(package))?;
        worst = worst.max(pairs.cpu_ratio());
        table.push(pairs.row(file_name(package)));
    }
    let together = Pairs::run(site, &cache, &packages)?;
    table.push(together.row("all, in one command".to_owned()));

    let bar = |what: &str, ratio: f64| Bar {
        what: what.to_owned(),
        wanted: format!("at most {}", percent_over(BAR)),
        measured: percent_over(ratio),
        reached: ratio <= BAR,
    };
    Ok(Section {
        title: "One job: kiln against plain make".to_owned(),
        text: format!(
            "`kiln build PACKAGE -k {} -j{cores}` of a source with a file that no build has seen, on a cache that knows the kernel, against the \
package's own MAKE with `-j{cores}` and `strip -g`, as the same user, in a fresh copy of the source on the same disk. \
Copying is measured for kiln only. In turns, {} times each; times are medians, and what is added is the median of the \
ratios of neighbours. CPU is user and system time of everything below the command. In a command for one package is \
all that a command does once, however many jobs it has: looking at every file of the kernel tree, and at the toolbox. \
The last row is the packages in one command of kiln, and one make after the other.",
            kernel[0],
            site.repeats,
            cores = site.cores
        ),
        table,
        bars: vec![
            bar(
                "overhead over plain make, CPU, all in one command",
                together.cpu_ratio(),
            ),
            bar(
                "overhead over plain make, wall, all in one command",
                together.wall_ratio(),
            ),
            bar("overhead over plain make, CPU, worst package alone", worst),
        ],
    })
}

impl Pairs {
    /// Builds in turns.
    fn run(site: &Site, cache: &Path, packages: &[PathBuf]) -> Result<Self> {
        let kernel = &site.kernels[..1];
        let plain = PlainMake::new(site, site.cores, "");
        let mut pairs = Vec::new();
        for _ in 0..site.repeats {
            let mut pair = Pair::default();
            for package in packages {
                let make = plain.run(package, &kernel[0], cache)?;
                pair.make_cpu += make.cpu;
                pair.make_wall += make.wall;
            }
            source::renew(packages)?;
            let mut command = kiln::command(site, cache, packages, kernel);
            command.args(["-j", &site.cores.to_string()]);
            let run = kiln::run(&mut command)?;
            pair.kiln_cpu = run.measured.cpu;
            pair.kiln_wall = run.measured.wall;
            pair.jobs_cpu = run.job_cpu();
            pairs.push(pair);
        }
        Ok(Self(pairs))
    }

    fn median(&self, of: impl Fn(&Pair) -> &Duration) -> f64 {
        median_seconds(self.0.iter().map(of))
    }

    /// The median of the ratios of neighbours: what slows the machine for a while slows
    /// both.
    fn ratio(&self, of: impl Fn(&Pair) -> (Duration, Duration)) -> f64 {
        let ratios: Vec<f64> = self
            .0
            .iter()
            .map(|pair| {
                let (make, kiln) = of(pair);
                kiln.as_secs_f64() / make.as_secs_f64()
            })
            .collect();
        median(&ratios)
    }

    fn cpu_ratio(&self) -> f64 {
        self.ratio(|pair| (pair.make_cpu, pair.kiln_cpu))
    }

    fn wall_ratio(&self) -> f64 {
        self.ratio(|pair| (pair.make_wall, pair.kiln_wall))
    }

    fn row(&self, name: String) -> Vec<String> {
        row![
            name,
            seconds(self.median(|pair| &pair.make_cpu)),
            seconds(self.median(|pair| &pair.kiln_cpu)),
            seconds(self.median(|pair| &pair.jobs_cpu)),
            percent_over(self.cpu_ratio()),
            seconds(self.median(|pair| &pair.make_wall)),
            seconds(self.median(|pair| &pair.kiln_wall)),
            percent_over(self.wall_ratio()),
        ]
    }
}
