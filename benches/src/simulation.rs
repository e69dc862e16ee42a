//! Local and remote side by side, by simulation: the real coordinator over a fake engine in virtual time.

use std::{env, process::Command};

use crate::{
    Result,
    document::{Bar, Section},
    measure::checked,
    row,
    scheduler::{duration, value},
    site::Site,
    stats::seconds,
};

const BAR_PERCENT: f64 = 97.0;
const BAR_MEBIBYTES: f64 = 1024.0;
const EXAMPLE: [&str; 6] = [
    "run",
    "--release",
    "-p",
    "kiln-scheduler",
    "--example",
    "simulation",
];
const SEEDS: std::ops::RangeInclusive<u32> = 1..=5;

pub(crate) fn measure(site: &Site) -> Result<Section> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut table = vec![row![
        "seed", "attempts", "failed", "blocked", "makespan", "ideal", "reached", "run", "peak"
    ]];
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for seed in SEEDS {
        let mut command = Command::new(&cargo);
        command.args(EXAMPLE).arg("--").arg(seed.to_string());
        let measured = checked(command.current_dir(&site.root))?;
        let printed = String::from_utf8_lossy(&measured.output.stdout).into_owned();
        let text = |name| value(&printed, name);
        let reached: f64 = text("reached")?.trim_end_matches(" %").parse()?;
        let peak: f64 = text("peak")?.trim_end_matches(" MiB").parse()?;
        table.push(row![
            seed,
            text("attempts")?,
            text("failed")?,
            text("blocked")?,
            seconds(duration(text("makespan")?)?),
            seconds(duration(text("ideal")?)?),
            format!("{reached:.2} %"),
            seconds(duration(text("real")?)?),
            format!("{peak} MiB")
        ]);
        least = least.min(reached);
        most = most.max(peak);
    }
    Ok(Section {
        title: "The scheduler with a remote engine, by simulation".to_owned(),
        text: format!(
            "100,000 jobs with dependencies on a fake engine of 2,000 workers and on 8 cores here, in virtual time; delays, \
             failures and lost attempts are drawn from the seed. Ideal is what no schedule can beat on machines that never \
             fail: docs/scheduling.md. A run in which any job ends otherwise than its seed says ends the bench. `cargo {} -- \
             SEED`.",
            EXAMPLE.join(" ")
        ),
        table,
        bars: vec![
            Bar {
                what: "100,000 jobs on 2,000 workers: of the ideal makespan, worst seed".to_owned(),
                wanted: format!("at least {BAR_PERCENT} %"),
                measured: format!("{least:.2} %"),
                reached: least >= BAR_PERCENT,
            },
            Bar {
                what: "memory of 100,000 jobs on 2,000 workers".to_owned(),
                wanted: format!("at most {BAR_MEBIBYTES} MiB"),
                measured: format!("{most} MiB"),
                reached: most <= BAR_MEBIBYTES,
            },
        ],
    })
}
