//! A warm ccache, and a warm kiln, on the same jobs. For information: no bar.

use std::process::Command;

use crate::{
    Result,
    document::Section,
    kiln,
    machine::first_line,
    measure::checked,
    peers::PlainMake,
    row,
    site::{Site, file_name},
    stats::{median_seconds, seconds},
};

const PACKAGES: [&str; 3] = ["acpi-call", "dm-writeboost", "evdi"];

pub(crate) fn compare(site: &Site) -> Result<Section> {
    let title = "Warm ccache, warm kiln".to_owned();
    let version = first_line("ccache", &["--version"]);
    if version == "not installed" {
        return Ok(Section {
            title,
            text: "Not measured: ccache is not installed.".to_owned(),
            ..Section::default()
        });
    }
    let kernel = &site.kernels[..1];
    let compiler = compiler_of(&kernel[0])?;
    let ccache = PlainMake::new(site, site.cores, &format!("CC='ccache {compiler}'"));
    let plain = PlainMake::new(site, site.cores, "");
    let objects = site.work("ccache");
    std::fs::create_dir(&objects)?;
    checked(Command::new("chmod").arg("777").arg(&objects))?;
    let cache = site.work("ccache-kiln");

    let mut table = vec![row![
        "package",
        "make",
        "make, ccache cold",
        "make, ccache warm",
        "kiln warm"
    ]];
    for package in PACKAGES.iter().filter_map(|name| site.package(name)) {
        let cold = ccache.run(&package, &kernel[0], &objects)?;
        let one = std::slice::from_ref(&package);
        kiln::run(&mut kiln::command(site, &cache, one, kernel))?;
        let (mut make, mut warm, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            make.push(plain.run(&package, &kernel[0], &objects)?.wall);
            warm.push(ccache.run(&package, &kernel[0], &objects)?.wall);
            let mut command = kiln::command(site, &cache, one, kernel);
            ours.push(kiln::run(&mut command)?.measured.wall);
        }
        table.push(row![
            file_name(&package),
            seconds(median_seconds(&make)),
            seconds(cold.wall.as_secs_f64()),
            seconds(median_seconds(&warm)),
            seconds(median_seconds(&ours)),
        ]);
    }
    Ok(Section {
        title,
        text: format!(
            "{version} as `CC='ccache {compiler}'` on the package's MAKE, in the same path, for {}. Wall time; \
medians of 3 but for the cold run.",
            kernel[0]
        ),
        table,
        bars: Vec::new(),
    })
}

/// The compiler that a kernel's own build uses.
fn compiler_of(kernel: &str) -> Result<String> {
    let config = format!("/lib/modules/{kernel}/build/.config");
    let text = std::fs::read_to_string(&config).map_err(|error| format!("{config}: {error}"))?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT=\""));
    let name = version.and_then(|text| text.split(' ').next());
    Ok(name
        .ok_or("the kernel does not name its compiler")?
        .to_owned())
}
