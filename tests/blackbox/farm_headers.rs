//! Farms for kernels that are not installed: from the .deb files of their headers.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::world::World;

/// The kernels whose header packages the tests were provided with, each with their files.
fn header_packages() -> Vec<(String, Vec<PathBuf>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("corpus/headers")).expect(
        "the tests need header packages of two kernels; `tests/provision.sh test` downloads them",
    );
    let line = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let release = words.next()?;
        Some((release, words.map(|word| root.join(word)).collect()))
    };
    text.lines().filter_map(line).collect()
}

/// A world with corpus packages and the header packages of two kernels, for everybody to read.
fn world_of_debs() -> (World, Vec<String>) {
    let world = World::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let packages = fs::read_to_string(root.join("corpus/packages")).unwrap();
    let wanted = ["acpi-call", "bbswitch", "ddcci", "tp-smapi"];
    let copy = |from: &Path, folder: &str| {
        let name = from.file_name().unwrap().to_str().unwrap();
        let content = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        world.write(format!("{folder}/{name}"), content);
    };
    for package in packages
        .lines()
        .filter(|line| wanted.iter().any(|w| line.contains(w)))
    {
        copy(&root.join(package), "debs");
    }
    let kernels = header_packages();
    assert!(kernels.len() >= 2, "headers of two kernels");
    let kernels = &kernels[..2];
    for file in kernels.iter().flat_map(|(_, files)| files) {
        copy(file, "headers");
    }
    let releases = kernels.iter().map(|(release, _)| release.clone());
    (world, releases.collect())
}

/// The modules below a folder.
fn modules(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "ko") {
                let inner = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(inner, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn modules_for_kernels_from_packages_are_those_for_installed_ones() {
    let (world, releases) = world_of_debs();
    world.write(
        "farm.toml",
        "packages = [\"debs/*.deb\"]\n[[kernels]]\nheaders = \"headers/*.deb\"\n\
         [outputs]\ndirectory = \"home/farmed\"\n",
    );
    let farm = world.path("farm.toml");
    let home = world.path("home");
    let run = world
        .kiln_as_user(format!("farm run {} --json", farm.display()))
        .exits(0);
    assert_eq!(run.summary()["built"], 8, "{run}");
    let kernels: String = releases
        .iter()
        .map(|release| format!(" -k {release}"))
        .collect();
    let packages: Vec<String> = fs::read_dir(world.path("debs"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    let home_path = home.display();
    world
        .kiln_as_user(format!(
            "build {}{kernels} -o {home_path}/built --cache-dir {home_path}/other-cache",
            packages.join(" ")
        ))
        .exits(0)
        .says("8 built");
    let farmed = modules(&home.join("farmed"));
    assert!(farmed.len() >= 8, "{:?}", farmed.keys());
    assert_eq!(farmed, modules(&home.join("built")));
    world
        .kiln_as_user(format!("farm run {}", farm.display()))
        .exits(0)
        .says("8 from the cache");
}

#[test]
fn an_installed_kernel_and_its_packages_are_one_kernel() {
    let (world, releases) = world_of_debs();
    world.package("aa", "BUILD_EXCLUSIVE_KERNEL=none");
    let newest = &releases[0];
    world.write(
        "farm.toml",
        format!(
            "packages = [\"aa\"]\nkernels = [{newest:?}, {{ headers = \"headers/*.deb\", name = \"x\" }}]\n"
        ),
    );
    let run = world.kiln("farm plan --json").exits(0);
    assert_eq!(run.events().len(), 3, "two kernels and the forecast: {run}");
}

#[test]
fn a_kernel_lands_as_packages() {
    let (world, releases) = world_of_debs();
    let old = &releases[1];
    world.write(
        "farm.toml",
        format!("packages = [\"debs/bbswitch*.deb\"]\nkernels = [\n  {old:?}, # installed\n]\n"),
    );
    let headers: Vec<String> = header_packages()
        .into_iter()
        .find(|(release, _)| *release == releases[0])
        .into_iter()
        .flat_map(|(_, files)| files)
        .map(|file| format!("headers/{}", file.file_name().unwrap().to_str().unwrap()))
        .collect();
    let line = format!("farm add-kernel {}", headers.join(" "));
    let run = world.kiln(format!("{line} --json")).exits(0);
    assert_eq!(run.summary()["built"], 1, "{run}");
    assert_eq!(run.cell("bbswitch")["kernel"], releases[0].as_str());
    let text = fs::read_to_string(world.path("farm.toml")).unwrap();
    assert!(headers.iter().all(|file| text.contains(file)), "{text}");
    world
        .kiln("farm run")
        .exits(0)
        .says("1 from the cache, 1 built");
    world
        .kiln(&line)
        .exits(0)
        .says("is in farm.toml already")
        .says("1 from the cache");
    assert_eq!(fs::read_to_string(world.path("farm.toml")).unwrap(), text);
}

#[test]
fn a_header_package_without_another_part_is_refused_with_the_package_that_is_missing() {
    let (world, releases) = world_of_debs();
    world.package("aa", "");
    let (release, files) = header_packages().remove(0);
    assert_eq!(release, releases[0]);
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    let own = format!("linux-headers-{release}_");
    let parts = files.iter().map(|file| name(file));
    let parts: Vec<String> = parts.filter(|file| !file.starts_with(&own)).collect();
    assert!(
        parts.len() >= 2,
        "Debian's kernels have three packages: {parts:?}"
    );
    for missing in &parts {
        let given = files.iter().map(|file| name(file));
        let given: Vec<String> = given
            .filter(|file| file != missing)
            .map(|file| format!("headers/{file}"))
            .collect();
        world.write(
            "farm.toml",
            format!("packages = [\"aa\"]\n[[kernels]]\nheaders = {given:?}\n"),
        );
        let package = missing.split('_').next().unwrap();
        for command in ["farm plan", "farm run"] {
            world
                .kiln(command)
                .exits(2)
                .says("farm.toml:2")
                .says(&format!(
                    "kernel {release} is not complete: nothing brings /usr/"
                ))
                .says(&format!("package {package} is missing"))
                .never_says("built ");
        }
    }
}
