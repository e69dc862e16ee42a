//! A farm for kernels from their header packages, against the same kernels installed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Result,
    document::{Bar, Section},
    kiln::{self, differences},
    row,
    site::Site,
    stats::seconds,
};

/// Who runs kiln where the bench runs as root: nobody.
const ORDINARY: u32 = 65534;

/// Builds everything for every kernel of corpus/headers: from the packages, again from the
/// cache, and for the installed kernels of the same releases.
pub(crate) fn measure(site: &Site) -> Result<Section> {
    let kernels = kernels(site)?;
    let releases: Vec<String> = kernels.iter().map(|(release, _)| release.clone()).collect();
    let home = site.work("farm");
    fs::create_dir_all(&home)?;
    let is_root = fs::metadata(&home)?.uid() == 0;
    if is_root {
        chown(&home, Some(ORDINARY), Some(ORDINARY))?;
    }
    let manifest = home.join("farm.toml");
    fs::write(&manifest, text(site, &kernels))?;
    let farm = |cache: &str| {
        let mut command = ordinary(site, is_root, &home.join(cache));
        command.args(["farm", "run", "--json"]).arg(&manifest);
        command
    };
    let cold = kiln::run(&mut farm("farmed"))?;
    let warm = kiln::run(&mut farm("farmed"))?;
    let mut build = ordinary(site, is_root, &home.join("installed"));
    build
        .args(["build", "--json"])
        .args(&site.packages)
        .args(releases.iter().flat_map(|kernel| ["-k", kernel]));
    let installed = kiln::run(&mut build)?;

    let mut table = vec![row!["run", "jobs", "failed", "wall", "CPU of all"]];
    for (name, run) in [
        ("from .deb files, nothing known", &cold),
        ("again", &warm),
        ("for installed kernels", &installed),
    ] {
        table.push(row![
            name,
            run.jobs(),
            run.count("failed"),
            seconds(run.measured.wall.as_secs_f64()),
            seconds(run.measured.cpu.as_secs_f64()),
        ]);
    }
    let different = differences(&cold.digests(), &installed.digests());
    let hits = warm.count("hits");
    Ok(Section {
        title: "Farm: kernels from their header packages".to_owned(),
        text: format!(
            "`kiln farm run` of {} packages for {} kernels from their .deb files, as an ordinary user, with an empty \
cache; the same again; and `kiln build` for the installed kernels of the same releases, with a cache of its own.",
            site.packages.len(),
            releases.len(),
        ),
        table,
        bars: vec![
            Bar {
                what: "artifacts that differ from those for installed kernels".to_owned(),
                wanted: format!("0 of {}", installed.digests().len()),
                measured: different.to_string(),
                reached: different == 0 && !installed.digests().is_empty(),
            },
            Bar {
                what: "jobs that the second run repeats".to_owned(),
                wanted: "0".to_owned(),
                measured: warm.count("built").to_string(),
                reached: warm.count("built") == 0 && hits == cold.count("built"),
            },
        ],
    })
}

/// The kernels of corpus/headers: a release and its packages, a line each.
fn kernels(site: &Site) -> Result<Vec<(String, Vec<PathBuf>)>> {
    let text = fs::read_to_string(site.root.join("corpus/headers"))
        .map_err(|_| "corpus/headers is missing: `make bench` provides it")?;
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let release = words.next()?.to_owned();
        Some((release, words.map(|word| site.root.join(word)).collect()))
    };
    let mut kernels: Vec<(String, Vec<PathBuf>)> = text.lines().filter_map(line).collect();
    kernels.retain(|(release, _)| {
        Path::new("/lib/modules")
            .join(release)
            .join("build")
            .exists()
    });
    Ok(kernels)
}

fn text(site: &Site, kernels: &[(String, Vec<PathBuf>)]) -> String {
    let mut headers: Vec<&PathBuf> = kernels.iter().flat_map(|(_, files)| files).collect();
    headers.sort();
    headers.dedup();
    format!(
        "packages = {:?}\n[[kernels]]\nheaders = {headers:?}\n",
        site.packages
    )
}

/// kiln as an ordinary user, on a cache.
fn ordinary(site: &Site, is_root: bool, cache: &Path) -> Command {
    let mut command = if is_root {
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args([format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")])
            .arg("--clear-groups")
            .arg(&site.kiln);
        setpriv
    } else {
        Command::new(&site.kiln)
    };
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("KILN_CACHE", cache)
        .current_dir("/");
    command
}
