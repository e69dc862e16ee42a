//! What hashing, sandbox and store add to the `make` of one job.

use crate::{
    Result,
    document::{Bar, Section},
    kiln,
    peers::PlainMake,
    row,
    site::{Site, file_name},
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

pub(crate) fn compare(site: &Site) -> Result<Section> {
    let kernel = &site.kernels[..1];
    let cache = site.work("overhead-cache");
    let packages: Vec<_> = PACKAGES
        .iter()
        .filter_map(|name| site.package(name))
        .collect();
    let plain = PlainMake::new(site, site.cores, "");
    // Fingerprints of the kernel tree and of the toolbox are taken once, and are not the
    // job's; the confs are evaluated once as well.
    kiln::run(&mut kiln::command(site, &cache, &packages, kernel))?;

    let mut table = vec![row![
        "package",
        "make, CPU",
        "kiln, CPU",
        "of it the job",
        "CPU added",
        "make, wall",
        "kiln, wall",
        "wall added"
    ]];
    let (mut make_cpu, mut kiln_cpu, mut make_wall, mut kiln_wall) = (0.0, 0.0, 0.0, 0.0);
    let mut worst: f64 = 0.0;
    for package in &packages {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..site.repeats {
            theirs.push(plain.run(package, &kernel[0], &cache)?);
            let one = std::slice::from_ref(package);
            let mut command = kiln::command(site, &cache, one, kernel);
            command.args(["--no-cache", "-j", &site.cores.to_string()]);
            ours.push(kiln::run(&mut command)?);
        }
        // Ratios of neighbours: what slows the machine for a while slows both.
        let pairs = || theirs.iter().zip(&ours);
        let cpu: Vec<f64> = pairs()
            .map(|(make, kiln)| kiln.measured.cpu.as_secs_f64() / make.cpu.as_secs_f64())
            .collect();
        let wall: Vec<f64> = pairs()
            .map(|(make, kiln)| kiln.measured.wall.as_secs_f64() / make.wall.as_secs_f64())
            .collect();
        let job: Vec<_> = ours.iter().map(kiln::Run::job_cpu).collect();
        let medians = [
            median_seconds(theirs.iter().map(|m| &m.cpu)),
            median_seconds(ours.iter().map(|r| &r.measured.cpu)),
            median_seconds(theirs.iter().map(|m| &m.wall)),
            median_seconds(ours.iter().map(|r| &r.measured.wall)),
        ];
        make_cpu += medians[0];
        kiln_cpu += medians[1];
        make_wall += medians[2];
        kiln_wall += medians[3];
        worst = worst.max(median(&cpu));
        table.push(row![
            file_name(package),
            seconds(medians[0]),
            seconds(medians[1]),
            seconds(median_seconds(&job)),
            percent_over(median(&cpu)),
            seconds(medians[2]),
            seconds(medians[3]),
            percent_over(median(&wall)),
        ]);
    }
    let bar = |what: &str, ratio: f64| Bar {
        what: what.to_owned(),
        wanted: format!("at most {}", percent_over(BAR)),
        measured: percent_over(ratio),
        reached: ratio <= BAR,
    };
    Ok(Section {
        title: "One job: kiln against plain make".to_owned(),
        text: format!(
            "`kiln build PACKAGE -k {} --no-cache -j{cores}`, the kernel tree fingerprinted before, against the \
package's own MAKE with `-j{cores}` and `strip -g`, as the same user, in a fresh copy of the source on the same disk. \
Copying is measured for kiln only. In turns, {} times each; times are medians, and what is added is the median of the \
ratios of neighbours. CPU is user and system time of everything below the command.",
            kernel[0],
            site.repeats,
            cores = site.cores
        ),
        table,
        bars: vec![
            bar(
                "overhead over plain make, CPU, all packages of the table",
                kiln_cpu / make_cpu,
            ),
            bar(
                "overhead over plain make, wall, all packages of the table",
                kiln_wall / make_wall,
            ),
            bar("overhead over plain make, CPU, worst package", worst),
        ],
    })
}
