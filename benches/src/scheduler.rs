//! The scheduler alone, with a million jobs that do nothing.

use std::{env, process::Command};

use crate::{
    Result,
    document::{Bar, Section},
    measure::checked,
    row,
    site::Site,
    stats::{median, seconds},
};

const BAR_SECONDS: f64 = 5.0;
const BAR_MEBIBYTES: f64 = 1024.0;
const EXAMPLE: [&str; 6] = [
    "run",
    "--release",
    "-p",
    "kiln-scheduler",
    "--example",
    "million",
];

pub(crate) fn measure(site: &Site) -> Result<Section> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut table = vec![row!["run", "plan", "run", "both", "peak"]];
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for index in 1..=3 {
        let measured = checked(Command::new(&cargo).args(EXAMPLE).current_dir(&site.root))?;
        let printed = String::from_utf8_lossy(&measured.output.stdout).into_owned();
        let plan = duration(value(&printed, "plan")?)?;
        let run = duration(value(&printed, "run")?)?;
        let peak: f64 = value(&printed, "peak")?.trim_end_matches(" MiB").parse()?;
        table.push(row![
            index,
            seconds(plan),
            seconds(run),
            seconds(plan + run),
            format!("{peak} MiB")
        ]);
        times.push(plan + run);
        peaks.push(peak);
    }
    Ok(Section {
        title: "The scheduler alone".to_owned(),
        text: format!(
            "A million jobs that do nothing: 1,000 packages for 1,000 kernels, in chains of three. `cargo {}`.",
            EXAMPLE.join(" ")
        ),
        table,
        bars: vec![
            Bar {
                what: "a million jobs, planned and run".to_owned(),
                wanted: format!("at most {}", seconds(BAR_SECONDS)),
                measured: seconds(median(&times)),
                reached: median(&times) <= BAR_SECONDS,
            },
            Bar {
                what: "memory of a million jobs".to_owned(),
                wanted: format!("at most {BAR_MEBIBYTES} MiB"),
                measured: format!("{} MiB", median(&peaks)),
                reached: median(&peaks) <= BAR_MEBIBYTES,
            },
        ],
    })
}

/// What the example prints after a name.
pub(crate) fn value<'a>(printed: &'a str, name: &str) -> Result<&'a str> {
    let line = printed.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .ok_or_else(|| format!("no {name} in {printed:?}"))?
        .trim())
}

/// Reads a duration as `{:?}` writes it.
pub(crate) fn duration(text: &str) -> Result<f64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("ms") {
        (number, 1e-3)
    } else if let Some(number) = text.strip_suffix("µs") {
        (number, 1e-6)
    } else {
        (text.trim_end_matches('s'), 1.0)
    };
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_they_are_printed() {
        assert!((duration("1.25s").unwrap() - 1.25).abs() < 1e-9);
        assert!((duration("812.50ms").unwrap() - 0.8125).abs() < 1e-9);
        assert!(duration("soon").is_err());
    }
}
