//! kiln as dkms against the distribution's dkms: the same commands on the same trees.
//!
//! Both work at dkms's real paths, on the same disk, in turns. Everything that is not about
//! compiling is measured on trees that are written, not built.

mod machine;
mod trees;

use std::{fs, path::PathBuf};

pub(crate) use self::machine::enter;
use self::machine::{Kernel, Machine, Program};
use crate::{
    Result,
    document::{Bar, Section},
    row,
    site::{Site, file_name, label},
    stats::{median, median_seconds, seconds},
};

/// What autoinstall installs; all of them compile, and install themselves automatically.
const PACKAGES: [&str; 12] = [
    "acpi-call",
    "bbswitch",
    "ddcci",
    "digimend",
    "dm-writeboost",
    "evdi",
    "linux-apfs",
    "rapiddisk",
    "tp_smapi",
    "v4l2loopback",
    "vpoll",
    "xtables-addons",
];

/// Rows of a long status: packages, and kernels for each.
const ROWS: (usize, usize) = (25, 40);
/// Modules that have nothing to do.
const INSTALLED: usize = 30;
/// Modules of one large package.
const MODULES: usize = 600;

pub(crate) fn compare(site: &Site) -> Result<Section> {
    let title = "kiln as dkms, against dkms".to_owned();
    if !machine::is_possible() {
        return Ok(Section {
            title,
            text: "Not measured: this needs root, and the distribution's dkms.".to_owned(),
            ..Section::default()
        });
    }
    let machine = Machine::new(site)?;
    let mut report = Report {
        table: vec![row!["", "kiln", "dkms", "ratio"]],
        bars: Vec::new(),
    };
    status(site, &machine, &mut report)?;
    nothing_to_do(site, &machine, &mut report)?;
    let packages: Vec<PathBuf> = PACKAGES
        .iter()
        .filter_map(|name| site.package(name))
        .collect();
    for (kernel, bars) in [
        (Kernel::Headers, [0.85, 0.02]),
        (Kernel::Image, [0.5, 0.1]),
        (Kernel::CompressedImage, [0.5, 0.1]),
    ] {
        if machine.has(kernel) {
            autoinstall(site, &machine, kernel, &packages, bars, &mut report)?;
        }
    }
    uninstall(site, &machine, &mut report)?;
    let dkms = crate::machine::first_line(machine::THEIRS, &["--version"]);
    Ok(Section {
        title,
        text: format!(
            "{dkms} and kiln called as dkms, on the same disk, in turns, for {}; nothing is signed. kiln syncs what it \
writes, dkms does not. `autoinstall` installs {} packages that are added ({}); cold is an empty cache, warm the same \
after everything was removed but the cache; dkms has no cache, so that its time is the same. Ratios are medians of \
those of neighbours. The kernel's image {}.",
            site.kernels[0],
            packages.len(),
            packages
                .iter()
                .map(|path| file_name(path))
                .collect::<Vec<_>>()
                .join(", "),
            if machine.has(Kernel::Image) {
                "is its package's modules, thousands, which depmod reads at each run; as .ko.xz, as Debian 13 and Fedora \
have them, it has to unpack them too, and takes seconds"
            } else {
                "was not measured: `make bench` downloads it"
            },
        ),
        table: report.table,
        bars: report.bars,
    })
}

/// What has been measured until now.
struct Report {
    table: Vec<Vec<String>>,
    bars: Vec<Bar>,
}

impl Report {
    /// Adds a row, in seconds; dkms need not have been measured.
    fn row(&mut self, what: &str, ours: f64, theirs: Option<f64>, ratio: Option<f64>) {
        let ratio = ratio.or_else(|| theirs.map(|theirs| ours / theirs));
        self.table.push(row![
            what,
            seconds(ours),
            theirs.map_or_else(String::new, seconds),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.4}")),
        ]);
    }

    fn at_most_seconds(&mut self, what: &str, bar: f64, measured: f64) {
        self.bars.push(Bar {
            what: what.to_owned(),
            wanted: format!("at most {}", seconds(bar)),
            measured: seconds(measured),
            reached: measured <= bar,
        });
    }

    fn at_most_ratio(&mut self, what: &str, bar: f64, measured: f64) {
        self.bars.push(Bar {
            what: format!("{what}, kiln / dkms"),
            wanted: format!("at most {bar}"),
            measured: format!("{measured:.3}"),
            reached: measured <= bar,
        });
    }
}

/// `dkms status` of many rows.
fn status(site: &Site, machine: &Machine, report: &mut Report) -> Result<()> {
    machine.reset(Kernel::Headers)?;
    let (packages, kernels) = ROWS;
    trees::installed(machine, packages, &trees::releases(kernels))?;
    let rows = packages * kernels;
    let mut ours = Vec::new();
    for _ in 0..=site.repeats {
        let run = machine.run(Program::Ours, &["status"])?;
        let lines = run
            .output
            .stdout
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        if lines != rows {
            return Err(format!("kiln's status has {lines} rows, not {rows}").into());
        }
        ours.push(run.wall);
    }
    let first = ours.remove(0).as_secs_f64();
    let ours = median_seconds(&ours);
    let theirs = machine
        .run(Program::Theirs, &["status"])?
        .wall
        .as_secs_f64();
    let what = format!("status, {rows} rows");
    report.row(&format!("{what}, the first time"), first, None, None);
    report.row(&what, ours, Some(theirs), None);
    report.at_most_seconds(&what, 0.030, ours);
    Ok(())
}

/// `dkms autoinstall` where everything is installed.
fn nothing_to_do(site: &Site, machine: &Machine, report: &mut Report) -> Result<()> {
    machine.reset(Kernel::Headers)?;
    trees::installed(machine, INSTALLED, &[site.kernels[0].clone()])?;
    let arguments = ["autoinstall", "-k", &site.kernels[0]];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..=site.repeats {
        ours.push(machine.run(Program::Ours, &arguments)?.wall);
        theirs.push(machine.run(Program::Theirs, &arguments)?.wall);
    }
    let (ours, theirs) = (median_seconds(&ours), median_seconds(&theirs));
    let what = format!("autoinstall, {INSTALLED} packages that are installed");
    report.row(&what, ours, Some(theirs), None);
    report.at_most_seconds(&what, 0.060, ours);
    Ok(())
}

/// `dkms autoinstall` of real packages, with an empty and with a full cache.
fn autoinstall(
    site: &Site,
    machine: &Machine,
    kernel: Kernel,
    packages: &[PathBuf],
    [bar_cold, bar_warm]: [f64; 2],
    report: &mut Report,
) -> Result<()> {
    let run = |program, cache: Cache| -> Result<f64> {
        machine.reset(kernel)?;
        if cache == Cache::Empty {
            machine.forget()?;
        }
        for package in packages {
            machine.source(package)?;
            let package = label(package)?;
            let (name, version) = package.split_once('/').ok_or("a package has a version")?;
            machine.run(Program::Theirs, &["add", "-m", name, "-v", version])?;
        }
        let run = machine.run(program, &["autoinstall", "-k", &site.kernels[0]])?;
        let installed = machine.run(Program::Ours, &["status"])?.output.stdout;
        let installed = String::from_utf8_lossy(&installed);
        if installed.matches(": installed").count() != packages.len() {
            return Err(format!("not all is installed:\n{installed}").into());
        }
        Ok(run.wall.as_secs_f64())
    };
    let (mut cold, mut warm, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    // Minutes each: a pair tells.
    for _ in 0..site.repeats.div_ceil(7) {
        cold.push(run(Program::Ours, Cache::Empty)?);
        theirs.push(run(Program::Theirs, Cache::Full)?);
        warm.push(run(Program::Ours, Cache::Full)?);
    }
    let where_to = kernel.words();
    for (what, bar, ours) in [("cold", bar_cold, cold), ("warm", bar_warm, warm)] {
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
        let ratio = median(&ratios);
        let what = format!(
            "autoinstall, {} packages, {where_to}, {what}",
            packages.len()
        );
        report.row(&what, median(&ours), Some(median(&theirs)), Some(ratio));
        report.at_most_ratio(&what, bar, ratio);
    }
    machine.reset(kernel)?;
    let depmod = machine.depmod(&site.kernels[0])?.as_secs_f64();
    report.row(&format!("one depmod, {where_to}"), depmod, None, None);
    Ok(())
}

/// What kiln's cache holds before a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cache {
    Empty,
    Full,
}

/// `dkms uninstall` of one package of many modules.
fn uninstall(site: &Site, machine: &Machine, report: &mut Report) -> Result<()> {
    let kernel = if machine.has(Kernel::Image) {
        Kernel::Image
    } else {
        Kernel::Headers
    };
    let (mut ours, mut depmods) = (Vec::new(), Vec::new());
    let release = &site.kernels[0];
    let arguments = ["uninstall", "-m", "large", "-v", "1.0", "-k", release];
    for _ in 0..site.repeats.div_ceil(3) {
        machine.reset(kernel)?;
        trees::large(machine, MODULES, release)?;
        ours.push(machine.run(Program::Ours, &arguments)?.wall);
        depmods.push(machine.depmod(release)?);
        let left = fs::read_dir(format!("/lib/modules/{release}/updates/dkms"));
        if left.is_ok_and(|entries| entries.count() > 0) {
            return Err("kiln's uninstall left modules behind".into());
        }
    }
    machine.reset(kernel)?;
    trees::large(machine, MODULES, release)?;
    let theirs = machine.run(Program::Theirs, &arguments)?.wall.as_secs_f64();
    let (ours, depmod) = (median_seconds(&ours), median_seconds(&depmods));
    let what = format!("uninstall, one package of {MODULES} modules");
    report.row(&what, ours, Some(theirs), None);
    report.at_most_seconds(&format!("{what}, without depmod"), 1.0, ours - depmod);
    Ok(())
}
