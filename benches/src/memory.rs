//! How much memory kiln itself holds, at its peak.

use std::{fs, path::PathBuf};

use crate::{
    Result,
    cold::Matrix,
    document::{Bar, Section},
    kiln, row,
    site::Site,
    stats::mebibytes,
};

/// The most that kiln may hold.
const BAR: u64 = 300 << 20;

/// A job that prints a gigabyte in lines before it builds: as much as `limits.log` lets it, nearly.
const LOUD: [(&str, &str); 3] = [
    (
        "dkms.conf",
        "PACKAGE_NAME=loud\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=loud\nDEST_MODULE_LOCATION=/updates\n\
MAKE=\"yes 'a line that a talkative build prints over and over' | head -c 1000000000; \
make -C $kernel_source_dir M=$dkms_tree/loud/1/build\"\n",
    ),
    ("Makefile", "obj-m := loud.o\n"),
    (
        "loud.c",
        "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"loud\");\n",
    ),
];

pub(crate) fn measure(site: &Site, matrix: &Matrix) -> Result<Section> {
    let warm = kiln::run(&mut kiln::command(
        site,
        &matrix.cache,
        &matrix.packages,
        &site.kernels,
    ))?;
    let package = loud(site)?;
    let mut command = kiln::command(
        site,
        &site.work("loud-cache"),
        std::slice::from_ref(&package),
        &site.kernels[..1],
    );
    let loud = kiln::run(&mut command)?;
    if loud.count("built") != 1 {
        return Err("the loud package does not build".into());
    }
    let peaks = [
        ("cold matrix", matrix.cold_memory),
        ("warm matrix", warm.measured.peak_memory),
        ("a job that prints 1 GB", loud.measured.peak_memory),
    ];
    let mut table = vec![row!["run", "peak"]];
    table.extend(peaks.map(|(name, peak)| row![name, mebibytes(peak)]));
    let worst = peaks.map(|(_, peak)| peak).into_iter().max().unwrap_or(0);
    Ok(Section {
        title: "Memory of kiln itself".to_owned(),
        text: "VmHWM of the kiln process, without its children, read every 10 ms.".to_owned(),
        table,
        bars: vec![Bar {
            what: "kiln's own memory".to_owned(),
            wanted: format!("at most {}", mebibytes(BAR)),
            measured: mebibytes(worst),
            reached: worst <= BAR,
        }],
    })
}

fn loud(site: &Site) -> Result<PathBuf> {
    let directory = site.work("loud");
    fs::create_dir(&directory)?;
    for (name, text) in LOUD {
        fs::write(directory.join(name), text)?;
    }
    Ok(directory)
}
